//! What a method must look like that runs under a lock, and which of its arguments is the connection.

use proc_macro2::Ident;
use syn::{Error, FnArg, ImplItemFn, Pat, PatIdent, Receiver, Result, ReturnType, Type};

use super::Options;
use crate::options::ungrouped;

pub(super) struct Signature {
    /// The argument to take the lock on.
    pub(super) conn: PatIdent,
    pub(super) returned: Type,
    /// It has `&mut self`, and not `&self`.
    pub(super) is_in_place: bool,
}

impl Signature {
    pub(super) fn read(options: &Options, method: &ImplItemFn) -> Result<Self> {
        let receiver = receiver(method)?;
        refuse_qualifiers(method)?;
        Ok(Signature {
            returned: returned(method)?.clone(),
            conn: connection(options, method)?,
            is_in_place: is_mut_reference(&receiver.ty),
        })
    }
}

fn receiver(method: &ImplItemFn) -> Result<&Receiver> {
    let form = "write `&mut self`, and the row is read again into it, or `&self`, and the body gets a fresh copy";
    let Some(receiver) = method.sig.receiver() else {
        return Err(Error::new(
            method.sig.ident.span(),
            format!("`#[locked]` stands on a method, whose `self` is the row: {form}"),
        ));
    };
    if matches!(ungrouped(&receiver.ty), Type::Reference(_)) {
        Ok(receiver)
    } else {
        Err(Error::new_spanned(
            receiver,
            format!("a locked method does not consume its row: {form}"),
        ))
    }
}

fn refuse_qualifiers(method: &ImplItemFn) -> Result<()> {
    if let Some(asyncness) = method.sig.asyncness {
        return Err(Error::new_spanned(
            asyncness,
            "Diesel's connections block: write a plain `fn`, and call it where blocking is allowed",
        ));
    }
    if let Some(constness) = method.sig.constness {
        return Err(Error::new_spanned(
            constness,
            "a lock is taken at run time: write a plain `fn`",
        ));
    }
    Ok(())
}

fn returned(method: &ImplItemFn) -> Result<&Type> {
    let form = "the lock may not be had, so a locked method returns a `Result`: write `-> QueryResult<()>`, or `-> Result<.., E>` with an `E: From<LockError>`";
    match &method.sig.output {
        ReturnType::Default => Err(Error::new(method.sig.ident.span(), form)),
        ReturnType::Type(_, type_) => match ungrouped(type_) {
            Type::ImplTrait(_) | Type::Never(_) | Type::Tuple(_) | Type::Reference(_) => {
                Err(Error::new_spanned(type_, form))
            }
            type_ => Ok(type_),
        },
    }
}

fn connection(options: &Options, method: &ImplItemFn) -> Result<PatIdent> {
    let arguments: Vec<Argument<'_>> = method
        .sig
        .inputs
        .iter()
        .filter_map(|argument| match argument {
            FnArg::Typed(typed) => match &*typed.pat {
                Pat::Ident(pattern) => Some((pattern, &*typed.ty)),
                _ => None,
            },
            FnArg::Receiver(_) => None,
        })
        .collect();
    let conn = match &options.conn {
        Some(name) => named(name, &arguments)?,
        None => only_candidate(method, &arguments)?,
    };
    if conn.by_ref.is_some() || conn.subpat.is_some() {
        return Err(Error::new_spanned(
            conn,
            "the connection is an argument with a plain name, such as `conn: &mut MysqlConnection`",
        ));
    }
    Ok(conn.clone())
}

type Argument<'m> = (&'m PatIdent, &'m Type);

fn named<'m>(name: &Ident, arguments: &[Argument<'m>]) -> Result<&'m PatIdent> {
    let named = arguments.iter().find(|(pattern, _)| pattern.ident == *name);
    let Some((pattern, type_)) = named else {
        return Err(Error::new(
            name.span(),
            format!(
                "there is no argument `{name}`: `conn = ..` names the connection among the method's arguments"
            ),
        ));
    };
    if !is_mut_reference(type_) {
        return Err(Error::new_spanned(
            type_,
            "the connection is a `&mut`, such as `conn: &mut MysqlConnection`",
        ));
    }
    Ok(pattern)
}

fn only_candidate<'m>(method: &ImplItemFn, arguments: &[Argument<'m>]) -> Result<&'m PatIdent> {
    let candidates: Vec<_> = arguments
        .iter()
        .filter(|(_, type_)| looks_like_connection(type_))
        .collect();
    match candidates[..] {
        [(pattern, _)] => Ok(pattern),
        [] => Err(Error::new(
            method.sig.ident.span(),
            "on which connection? take a `conn: &mut MysqlConnection` (or a pooled one); one of another type is named in `#[locked(conn = name)]`",
        )),
        [_, (second, _), ..] => Err(Error::new(
            second.ident.span(),
            "a second connection: say which one the lock is taken on, `#[locked(conn = name)]`",
        )),
    }
}

fn is_mut_reference(type_: &Type) -> bool {
    matches!(ungrouped(type_), Type::Reference(reference) if reference.mutability.is_some())
}

/// `&mut MysqlConnection`, `&mut PooledConnection<..>`, `&mut LockGuard<..>`, `&mut PooledLockGuard<..>`,
/// `&mut impl LockSource`.
fn looks_like_connection(type_: &Type) -> bool {
    let Type::Reference(reference) = ungrouped(type_) else {
        return false;
    };
    let name = |path: &syn::Path| {
        path.segments
            .last()
            .map(|segment| segment.ident.to_string())
    };
    let name = match ungrouped(&reference.elem) {
        Type::Path(path) => name(&path.path),
        Type::ImplTrait(bounds) => bounds.bounds.iter().find_map(|bound| match bound {
            syn::TypeParamBound::Trait(bound) => {
                name(&bound.path).filter(|name| name == "LockSource" || name == "LockConnection")
            }
            _ => None,
        }),
        _ => None,
    };
    reference.mutability.is_some()
        && name.is_some_and(|name| {
            name.ends_with("Connection")
                || name == "LockGuard"
                || name == "PooledLockGuard"
                || name == "LockSource"
        })
}

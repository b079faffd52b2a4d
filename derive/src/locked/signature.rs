//! Checks the signature of a locked method, and finds the connection among its arguments.

use proc_macro2::Ident;
use syn::{Error, FnArg, ImplItemFn, Pat, PatIdent, Receiver, Result, ReturnType, Type};

use super::Options;
use crate::library::Krate;
use crate::options::ungrouped;

pub(super) struct Signature {
    /// The argument that is the connection.
    pub(super) conn: PatIdent,
    pub(super) returned: Type,
    /// Whether the receiver is `&mut self`, not `&self`.
    pub(super) is_in_place: bool,
}

impl Signature {
    pub(super) fn read(options: &Options, method: &ImplItemFn) -> Result<Self> {
        let receiver = receiver(method)?;
        check_qualifiers(&options.krate, method)?;
        Ok(Signature {
            returned: returned(method)?.clone(),
            conn: connection(options, method)?,
            is_in_place: is_mut_reference(&receiver.ty),
        })
    }
}

fn receiver(method: &ImplItemFn) -> Result<&Receiver> {
    let form = "write `&mut self`, into which the row is reloaded, or `&self`, for which the body \
                gets a reloaded copy";
    let Some(receiver) = method.sig.receiver() else {
        return Err(Error::new(
            method.sig.ident.span(),
            format!("`#[locked]` must be on a method, whose `self` is the row; {form}"),
        ));
    };
    if matches!(ungrouped(&receiver.ty), Type::Reference(_)) {
        Ok(receiver)
    } else {
        Err(Error::new_spanned(
            receiver,
            format!("a locked method cannot take `self` by value; {form}"),
        ))
    }
}

fn check_qualifiers(krate: &Krate, method: &ImplItemFn) -> Result<()> {
    match method.sig.asyncness {
        Some(asyncness) if !krate.is_async() => {
            return Err(Error::new_spanned(
                asyncness,
                "a locked method cannot be async, since Diesel's connections block; write a plain \
                 `fn`, or use diesel-async and the `#[locked]` of `diesel-advisory-lock-async`",
            ));
        }
        None if krate.is_async() => {
            return Err(Error::new_spanned(
                method.sig.fn_token,
                "a locked method must be an `async fn`, since it waits for the server; write \
                 `async fn`, or on a connection that blocks use the `#[locked]` of \
                 `diesel-advisory-lock`",
            ));
        }
        _ => {}
    }
    if let Some(constness) = method.sig.constness {
        return Err(Error::new_spanned(
            constness,
            "a locked method cannot be const; write a plain `fn`",
        ));
    }
    Ok(())
}

fn returned(method: &ImplItemFn) -> Result<&Type> {
    let form = "a locked method must return a `Result`, since acquiring the lock may fail; write \
                `-> QueryResult<()>`, or `-> Result<.., E>` with an `E: From<LockError>`";
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
    let krate = &options.krate;
    let conn = match &options.conn {
        Some(name) => named(krate, name, &arguments)?,
        None => only_candidate(krate, method, &arguments)?,
    };
    if conn.by_ref.is_some() || conn.subpat.is_some() {
        return Err(Error::new_spanned(
            conn,
            format!(
                "the connection must be an argument with a plain name, such as `{}`",
                krate.conn_example()
            ),
        ));
    }
    Ok(conn.clone())
}

type Argument<'m> = (&'m PatIdent, &'m Type);

fn named<'m>(krate: &Krate, name: &Ident, arguments: &[Argument<'m>]) -> Result<&'m PatIdent> {
    let named = arguments.iter().find(|(pattern, _)| pattern.ident == *name);
    let Some((pattern, type_)) = named else {
        return Err(Error::new(
            name.span(),
            format!(
                "there is no argument `{name}`; `conn = ..` must name the argument that is the \
                 connection"
            ),
        ));
    };
    if !is_mut_reference(type_) {
        return Err(Error::new_spanned(
            type_,
            format!(
                "the connection must be a `&mut`, such as `{}`",
                krate.conn_example()
            ),
        ));
    }
    Ok(pattern)
}

fn only_candidate<'m>(
    krate: &Krate,
    method: &ImplItemFn,
    arguments: &[Argument<'m>],
) -> Result<&'m PatIdent> {
    let candidates: Vec<_> = arguments
        .iter()
        .filter(|(_, type_)| looks_like_connection(krate, type_))
        .collect();
    match candidates[..] {
        [(pattern, _)] => Ok(pattern),
        [] => Err(Error::new(
            method.sig.ident.span(),
            format!(
                "the method has no connection; add an argument such as `{}`, or name the argument \
                 that is the connection: `#[locked(conn = name)]`",
                krate.conn_example()
            ),
        )),
        [_, (second, _), ..] => Err(Error::new(
            second.ident.span(),
            "the method has a second connection; name the one to lock on: `#[locked(conn = name)]`",
        )),
    }
}

fn is_mut_reference(type_: &Type) -> bool {
    matches!(ungrouped(type_), Type::Reference(reference) if reference.mutability.is_some())
}

/// `&mut MysqlConnection`, `&mut PooledConnection<..>`, `&mut LockGuard<..>`,
/// `&mut PooledLockGuard<..>`, `&mut impl LockSource`, and for diesel-async the `&mut Object<..>` of
/// deadpool.
fn looks_like_connection(krate: &Krate, type_: &Type) -> bool {
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
                || (krate.is_async() && name == "Object")
        })
}

//! `#[locked]`.

use proc_macro2::{Delimiter, Group, Ident, Span, TokenStream};
use quote::{ToTokens, format_ident, quote};
use syn::parse::Parser;
use syn::{
    AttrStyle, Error, FnArg, ImplItemFn, LitStr, Pat, PatIdent, Receiver, Result, ReturnType,
    TraitItemFn, Type,
};

use crate::options::{Krate, Times, flag, once, string, ungrouped, value};

#[derive(Default)]
struct Options {
    krate: Krate,
    times: Times,
    scope: Option<Scope>,
    transaction: Option<()>,
    conn: Option<Ident>,
}

enum Scope {
    /// The method's own name.
    Method,
    Text(LitStr),
}

pub(crate) fn expand(attribute: TokenStream, method: TokenStream) -> TokenStream {
    // After a mistake the method stays as it is, so that callers see no error of their own.
    let unlocked = |error: Error| {
        let error = error.into_compile_error();
        quote!(#error #method)
    };
    let parsed = syn::parse2::<ImplItemFn>(method.clone()).map_err(|error| {
        let declared = syn::parse2::<TraitItemFn>(method.clone());
        Error::new(
            declared.map_or(error.span(), |method| method.sig.ident.span()),
            "`#[locked]` stands on a method with a body, in an `impl` of a model",
        )
    });
    match parsed.and_then(|method| lock(&Options::parse(attribute)?, method)) {
        Ok(locked) => locked,
        Err(error) => unlocked(error),
    }
}

fn lock(options: &Options, mut method: ImplItemFn) -> Result<TokenStream> {
    // Those at the start of the body say the same on the method, and its body is no longer the first.
    for attribute in &mut method.attrs {
        attribute.style = AttrStyle::Outer;
    }
    let receiver = receiver(&method)?;
    refuse_qualifiers(&method)?;
    returned(&method)?;
    let conn = connection(options, &method)?;
    if conn.by_ref.is_some() || conn.subpat.is_some() {
        return Err(Error::new_spanned(
            conn,
            "the connection is an argument with a plain name, such as `conn: &mut MysqlConnection`",
        ));
    }
    if is_mut_reference(&receiver.ty) {
        Ok(in_place(options, method, &conn))
    } else {
        Ok(on_a_copy(options, method, &conn))
    }
}

impl Options {
    fn parse(attribute: TokenStream) -> Result<Self> {
        let mut options = Options::default();
        let parser = syn::meta::parser(|meta| {
            if options.krate.take(&meta)? || options.times.take(&meta)? {
                return Ok(());
            }
            if meta.path.is_ident("scope") {
                let scope = if meta.input.peek(syn::Token![=]) {
                    Scope::Text(string(
                        &meta,
                        "write `scope = \"archive\"`, or `scope` alone for the method's own name",
                    )?)
                } else {
                    flag(&meta, "scope")?;
                    Scope::Method
                };
                once(&mut options.scope, &meta, scope)
            } else if meta.path.is_ident("transaction") {
                flag(&meta, "transaction")?;
                once(&mut options.transaction, &meta, ())
            } else if meta.path.is_ident("conn") {
                let form = "name the argument that is the connection, as in `conn = name`";
                let name = value(&meta, form)?;
                once(&mut options.conn, &meta, name)
            } else {
                Err(meta.error(
                    "unknown option: write `scope`, `scope = \"archive\"`, `timeout = \"500ms\"`, `no_wait`, \
                     `wait_forever`, `longest_hold = \"10m\"`, `transaction`, `conn = name` or `crate = path`",
                ))
            }
        });
        parser.parse2(attribute)?;
        Ok(options)
    }

    /// The options as calls on a builder.
    fn calls(&self, method: &Ident) -> TokenStream {
        let times = self.times.calls();
        let scope = match &self.scope {
            None => TokenStream::new(),
            Some(Scope::Text(text)) => quote!(.scope(#text)),
            Some(Scope::Method) => {
                let name = syn::ext::IdentExt::unraw(method).to_string();
                quote!(.scope(#name))
            }
        };
        quote!(#times #scope)
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

/// The argument to take the lock on.
fn connection(options: &Options, method: &ImplItemFn) -> Result<PatIdent> {
    let arguments: Vec<(&PatIdent, &Type)> = method
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
    if let Some(name) = &options.conn {
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
        return Ok((*pattern).clone());
    }
    let candidates: Vec<_> = arguments
        .iter()
        .filter(|(_, type_)| looks_like_connection(type_))
        .collect();
    match candidates[..] {
        [(pattern, _)] => Ok((*pattern).clone()),
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

/// `&mut MysqlConnection`, `&mut PooledConnection<..>`, `&mut Held<..>`, `&mut PooledHeld<..>`,
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
                || name == "Held"
                || name == "PooledHeld"
                || name == "LockSource"
        })
}

/// `&mut self`: the body stays in the method, and so may return what it borrows from `self`.
fn in_place(options: &Options, method: ImplItemFn, conn: &PatIdent) -> TokenStream {
    let krate = &options.krate;
    let ImplItemFn {
        attrs,
        vis,
        defaultness,
        sig,
        block,
    } = method;
    // With the user's braces, the method counts as the user's where rustc looks for unused ones.
    let braces = block.brace_token.span.join();
    let calls = options.calls(&sig.ident);
    let in_transaction = options.transaction.is_some();
    let ReturnType::Type(arrow, returned) = &sig.output else {
        unreachable!("checked by `returned`");
    };
    // A closure cannot name an `impl Trait`.
    let annotation = if mentions_impl(returned) {
        TokenStream::new()
    } else {
        quote!(#arrow #returned)
    };
    let (mutability, name) = (&conn.mutability, &conn.ident);
    let [source, entered, scope, error, result] = ["source", "entered", "scope", "error", "result"]
        .map(|name| Ident::new(name, Span::mixed_site()));
    let outcome = match_at(
        returned,
        &quote!({
            use #krate::__private::DefaultPolicy as _;
            #[allow(clippy::used_underscore_binding)]
            let #source = &mut *#name;
            #krate::__private::enter(
                #krate::Lockable::lock(&mut *self).policy(Self::LOCK_POLICY) #calls,
                #source,
                #in_transaction,
            )
        }),
        quote! {
            ::core::result::Result::Err(#error) => ::core::result::Result::Err(#error),
            ::core::result::Result::Ok(mut #entered) => {
                let #result = {
                    let #scope = #entered.scope();
                    #[allow(unused_variables, unused_mut)]
                    let #mutability #name = #entered.source();
                    #scope.call(move || #annotation #block)
                };
                ::core::result::Result::Ok((#entered, #result))
            }
        },
    );
    let mut whole = Group::new(
        Delimiter::Brace,
        quote!(#krate::__private::finish(#outcome)),
    );
    whole.set_span(braces);
    quote! {
        #(#attrs)*
        #vis #defaultness #sig #whole
    }
}

/// `&self`: the body becomes a method of its own, whose `self` is the copy.
fn on_a_copy(options: &Options, method: ImplItemFn, conn: &PatIdent) -> TokenStream {
    let krate = &options.krate;
    // With the user's braces, the method counts as the user's where rustc looks for unused ones.
    let braces = method.block.brace_token.span.join();
    let calls = options.calls(&method.sig.ident);
    let in_transaction = options.transaction.is_some();

    let mut body = method.clone();
    body.sig.ident = format_ident!("__locked_{}", syn::ext::IdentExt::unraw(&method.sig.ident));
    body.vis = syn::Visibility::Inherited;
    body.attrs.retain(|attribute| {
        ["allow", "cfg", "deny", "expect", "forbid", "warn"]
            .iter()
            .any(|name| attribute.path().is_ident(name))
    });

    let ImplItemFn {
        attrs,
        vis,
        defaultness,
        mut sig,
        ..
    } = method;
    let [entered, scope, copy, error, result] = ["entered", "scope", "copy", "error", "result"]
        .map(|name| Ident::new(name, Span::mixed_site()));
    let mut arguments = Vec::new();
    for (number, argument) in sig.inputs.iter_mut().enumerate() {
        let FnArg::Typed(argument) = argument else {
            continue;
        };
        let name = match &*argument.pat {
            Pat::Ident(pattern) if pattern.subpat.is_none() && pattern.by_ref.is_none() => {
                pattern.ident.clone()
            }
            _ => format_ident!("argument_{number}", span = Span::mixed_site()),
        };
        *argument.pat = syn::parse_quote!(#name);
        arguments.push(if name == conn.ident {
            quote!(#entered.source())
        } else {
            name.into_token_stream()
        });
    }
    let has_types = sig
        .generics
        .params
        .iter()
        .any(|param| !matches!(param, syn::GenericParam::Lifetime(_)));
    let turbofish = has_types.then(|| {
        let names = sig.generics.params.iter().filter_map(|param| match param {
            syn::GenericParam::Type(param) => Some(&param.ident),
            syn::GenericParam::Const(param) => Some(&param.ident),
            syn::GenericParam::Lifetime(_) => None,
        });
        quote!(::<#(#names),*>)
    });
    let (inner, name) = (&body.sig.ident, &conn.ident);
    let ReturnType::Type(_, returned) = &sig.output else {
        unreachable!("checked by `returned`");
    };
    let outcome = match_at(
        returned,
        &quote!({
            use #krate::__private::DefaultPolicy as _;
            #krate::__private::enter_with_copy(
                #krate::Lockable::lock_name(self).lock().policy(Self::LOCK_POLICY) #calls,
                self,
                &mut *#name,
                #in_transaction,
            )
        }),
        quote! {
            ::core::result::Result::Err(#error) => ::core::result::Result::Err(#error),
            ::core::result::Result::Ok((mut #entered, #copy)) => {
                let #scope = #entered.scope();
                let #result = #scope.call(|| Self::#inner #turbofish(
                    #copy.as_ref().unwrap_or(self),
                    #(#arguments),*
                ));
                ::core::result::Result::Ok((#entered, #result))
            }
        },
    );
    let mut whole = Group::new(
        Delimiter::Brace,
        quote!(#krate::__private::finish(#outcome)),
    );
    whole.set_span(braces);
    quote! {
        #(#attrs)*
        #[allow(clippy::used_underscore_binding)]
        #vis #defaultness #sig #whole

        // Its signature is not the user's choice.
        #[doc(hidden)]
        #[allow(clippy::unnecessary_wraps, clippy::unused_self)]
        #body
    }
}

/// A `match` that an error about its type is shown at the method's return type for.
fn match_at(returned: &Type, on: &TokenStream, arms: TokenStream) -> TokenStream {
    let tokens = returned.to_token_stream().into_iter();
    let (first, last) = tokens.fold((None, None), |(first, _), token| {
        let span = token.span().resolved_at(Span::mixed_site());
        (first.or(Some(span)), Some(span))
    });
    let keyword = Ident::new("match", first.unwrap_or_else(Span::mixed_site));
    let mut arms = Group::new(Delimiter::Brace, arms);
    arms.set_span(last.unwrap_or_else(Span::mixed_site));
    quote!(#keyword #on #arms)
}

fn mentions_impl(type_: &Type) -> bool {
    type_
        .to_token_stream()
        .into_iter()
        .any(|token| has_impl(&token))
}

fn has_impl(token: &proc_macro2::TokenTree) -> bool {
    match token {
        proc_macro2::TokenTree::Ident(ident) => ident == "impl",
        proc_macro2::TokenTree::Group(group) => {
            group.stream().into_iter().any(|token| has_impl(&token))
        }
        _ => false,
    }
}

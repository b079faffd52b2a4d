//! The expansion of a locked method.

use proc_macro2::{Delimiter, Group, Ident, Span, TokenStream, TokenTree};
use quote::{ToTokens, format_ident, quote};
use syn::{Block, FnArg, ImplItemFn, Pat, Type};

use super::{Options, Signature};
use crate::generics::as_arguments;
use crate::library::Krate;

/// Expands a method on `&mut self`: the body stays in the method, so it may return a borrow of
/// `self`.
pub(super) fn in_place(
    options: &Options,
    method: ImplItemFn,
    signature: &Signature,
) -> TokenStream {
    let krate = &options.krate;
    let Signature { conn, returned, .. } = signature;
    let ImplItemFn {
        attrs,
        vis,
        defaultness,
        mut sig,
        block,
    } = method;
    // The body declares it again, so a `mut` would be unused here.
    for argument in &mut sig.inputs {
        if let FnArg::Typed(argument) = argument
            && let Pat::Ident(pattern) = &mut *argument.pat
            && pattern.ident == conn.ident
        {
            pattern.mutability = None;
        }
    }
    // With the span of the user's braces, rustc reports the method if it is unused.
    let braces = block.brace_token.span.join();
    let calls = options.calls(&sig.ident);
    let in_transaction = options.in_transaction();
    let awaited = krate.awaited();
    let body = body(krate, returned, &block);
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
                #krate::Lockable::lock(&mut *self).policy(#krate::__private::PolicyOf::<Self>::LOCK_POLICY) #calls,
                #source,
                #in_transaction,
            )#awaited
        }),
        quote! {
            ::core::result::Result::Err(#error) => ::core::result::Result::Err(#error),
            ::core::result::Result::Ok(mut #entered) => {
                let #result = {
                    let #scope = #entered.scope();
                    #[allow(unused_variables, unused_mut)]
                    let #mutability #name = #entered.source();
                    #scope.call(#body)#awaited
                };
                ::core::result::Result::Ok((#entered, #result))
            }
        },
    );
    let mut whole = Group::new(
        Delimiter::Brace,
        quote!(#krate::__private::finish(#outcome)#awaited),
    );
    whole.set_span(braces);
    quote! {
        #(#attrs)*
        #vis #defaultness #sig #whole
    }
}

/// Expands a method on `&self`: the body becomes a separate method, whose `self` is the copy.
pub(super) fn on_a_copy(
    options: &Options,
    method: ImplItemFn,
    signature: &Signature,
) -> TokenStream {
    let krate = &options.krate;
    let Signature { conn, returned, .. } = signature;
    // With the span of the user's braces, rustc reports the method if it is unused.
    let braces = method.block.brace_token.span.join();
    let calls = options.calls(&method.sig.ident);
    let in_transaction = options.in_transaction();
    let awaited = krate.awaited();

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
    let turbofish = as_arguments(
        sig.generics
            .params
            .iter()
            .filter(|param| !matches!(param, syn::GenericParam::Lifetime(_))),
    )
    .map(|arguments| quote!(::#arguments));
    let (inner, name) = (&body.sig.ident, &conn.ident);
    // A future runs nothing before it is polled.
    let closure = (!krate.is_async()).then(|| quote!(||));
    let outcome = match_at(
        returned,
        &quote!({
            use #krate::__private::DefaultPolicy as _;
            #krate::__private::enter_with_copy(
                #krate::Lockable::lock_name(self).lock().policy(#krate::__private::PolicyOf::<Self>::LOCK_POLICY) #calls,
                self,
                &mut *#name,
                #in_transaction,
            )#awaited
        }),
        quote! {
            ::core::result::Result::Err(#error) => ::core::result::Result::Err(#error),
            ::core::result::Result::Ok((mut #entered, #copy)) => {
                let #scope = #entered.scope();
                let #result = #scope.call(#closure Self::#inner #turbofish(
                    #copy.as_deref().unwrap_or(self),
                    #(#arguments),*
                ))#awaited;
                ::core::result::Result::Ok((#entered, #result))
            }
        },
    );
    let mut whole = Group::new(
        Delimiter::Brace,
        quote!(#krate::__private::finish(#outcome)#awaited),
    );
    whole.set_span(braces);
    quote! {
        #(#attrs)*
        #[allow(clippy::used_underscore_binding)]
        #vis #defaultness #sig #whole

        // The lints are about a signature that the user cannot change.
        #[doc(hidden)]
        #[allow(clippy::unnecessary_wraps, clippy::unused_async, clippy::unused_self)]
        #body
    }
}

/// Returns the body of a method as a closure or a future, so that `return` and `?` end only the body.
/// It has the method's return type, unless that contains an `impl Trait`, which only a signature can
/// name.
fn body(krate: &Krate, returned: &Type, block: &Block) -> TokenStream {
    let returned = (!mentions_impl(returned)).then_some(returned);
    if !krate.is_async() {
        let annotation = returned.map(|returned| quote!(-> #returned));
        return quote!(move || #annotation #block);
    }
    // The first `return` sets the type of a block. The one of an async closure could not borrow from
    // `self`.
    let annotation = returned.map(|returned| {
        let never = Ident::new("never", Span::mixed_site());
        quote! {
            if false {
                let #never: #returned = #krate::__private::never();
                return #never;
            }
        }
    });
    quote!(async move { #annotation #block })
}

/// Returns a `match`. An error about its type is shown at the method's return type.
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

fn has_impl(token: &TokenTree) -> bool {
    match token {
        TokenTree::Ident(ident) => ident == "impl",
        TokenTree::Group(group) => group.stream().into_iter().any(|token| has_impl(&token)),
        _ => false,
    }
}

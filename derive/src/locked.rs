//! `#[locked]`.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{AttrStyle, Error, ImplItemFn, Result, TraitItemFn};

mod expansion;
mod options;
mod signature;

use options::Options;
use signature::Signature;

use crate::library::Library;

pub(crate) fn expand(library: Library, attribute: TokenStream, method: TokenStream) -> TokenStream {
    // An error leaves the method unchanged, so that no errors follow at its callers.
    let unlocked = |error: Error| {
        let error = error.into_compile_error();
        quote!(#error #method)
    };
    let parsed = syn::parse2::<ImplItemFn>(method.clone()).map_err(|error| {
        let declared = syn::parse2::<TraitItemFn>(method.clone());
        Error::new(
            declared.map_or(error.span(), |method| method.sig.ident.span()),
            "`#[locked]` must be on a method with a body, in an `impl` of a model",
        )
    });
    match parsed.and_then(|method| lock(&Options::parse(library, attribute)?, method)) {
        Ok(locked) => locked,
        Err(error) => unlocked(error),
    }
}

fn lock(options: &Options, mut method: ImplItemFn) -> Result<TokenStream> {
    // Inner attributes are moved to the method, since its body will no longer come first.
    for attribute in &mut method.attrs {
        attribute.style = AttrStyle::Outer;
    }
    let signature = Signature::read(options, &method)?;
    Ok(match signature.is_in_place {
        true => expansion::in_place(options, method, &signature),
        false => expansion::on_a_copy(options, method, &signature),
    })
}

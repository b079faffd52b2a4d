//! `#[locked]`.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{AttrStyle, Error, ImplItemFn, Result, TraitItemFn};

mod expansion;
mod options;
mod signature;

use options::Options;
use signature::Signature;

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
    let signature = Signature::read(options, &method)?;
    Ok(match signature.is_in_place {
        true => expansion::in_place(options, method, &signature),
        false => expansion::on_a_copy(options, method, &signature),
    })
}

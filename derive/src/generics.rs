//! Converts generic parameters to arguments.

use proc_macro2::TokenStream;
use quote::quote;
use syn::GenericParam;

/// Returns the arguments `<'a, T, { N }>`, or `None` without parameters. Without braces, a constant
/// with the name of a type in scope would be read as that type (E0747).
pub(crate) fn as_arguments<'g>(
    params: impl IntoIterator<Item = &'g GenericParam>,
) -> Option<TokenStream> {
    let arguments: Vec<_> = params.into_iter().map(argument).collect();
    (!arguments.is_empty()).then(|| quote!(<#(#arguments),*>))
}

fn argument(param: &GenericParam) -> TokenStream {
    match param {
        GenericParam::Lifetime(param) => {
            let lifetime = &param.lifetime;
            quote!(#lifetime)
        }
        GenericParam::Type(param) => {
            let name = &param.ident;
            quote!(#name)
        }
        GenericParam::Const(param) => {
            let name = &param.ident;
            quote!({ #name })
        }
    }
}

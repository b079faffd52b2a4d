//! `#[derive(LockKey)]`.

use std::collections::HashMap;

use proc_macro2::{Span, TokenStream};
use quote::{quote, quote_spanned};
use syn::ext::IdentExt;
use syn::spanned::Spanned;
use syn::{
    Attribute, Data, DataEnum, DeriveInput, Error, Field, Fields, Index, LitStr, Member, Result,
};

use crate::generics::as_arguments;
use crate::library::{Krate, Library};
use crate::options::{once, string};

pub(crate) fn expand(library: Library, input: &DeriveInput) -> TokenStream {
    let mut krate = Krate::new(library);
    let body = options(&input.attrs, &mut krate).and_then(|()| body(input, &krate));
    // An error expands to an impl too, so that no further errors follow.
    let (body, error, bound) = match body {
        Ok((body, bound)) => (body, TokenStream::new(), bound),
        Err(error) => (quote!({}), error.into_compile_error(), None),
    };
    let name = &input.ident;
    let mut generics = input.generics.clone();
    if let Some(bound) = bound {
        generics.make_where_clause().predicates.push(bound);
    }
    let (impl_generics, _, where_clause) = generics.split_for_impl();
    let arguments = as_arguments(&generics.params);
    quote! {
        #error
        #[automatically_derived]
        impl #impl_generics #krate::LockKey for #name #arguments #where_clause {
            fn write_parts(&self, parts: &mut #krate::KeyParts<'_>) {
                #body
            }
        }
    }
}

type Body = (TokenStream, Option<syn::WherePredicate>);

fn body(input: &DeriveInput, krate: &Krate) -> Result<Body> {
    match &input.data {
        Data::Struct(data) => match data.fields.iter().collect::<Vec<_>>()[..] {
            [field] => {
                if let Some(attribute) = field.attrs.iter().find(|a| a.path().is_ident("lock")) {
                    return Err(Error::new_spanned(
                        attribute,
                        "a field takes no options; write `#[lock(rename = \"..\")]` on a variant \
                         of an enum",
                    ));
                }
                Ok(newtype(field, input, krate))
            }
            _ => Err(Error::new(
                input.ident.span(),
                "`LockKey` can be derived only for a struct with one field, such as `struct \
                 AccountId(i64);`; for a composite key use a tuple",
            )),
        },
        Data::Enum(data) => Ok((variants(data, input)?, None)),
        Data::Union(data) => Err(Error::new(
            data.union_token.span,
            "`LockKey` can be derived only for a struct with one field or an enum without fields",
        )),
    }
}

fn newtype(field: &Field, input: &DeriveInput, krate: &Krate) -> Body {
    let type_ = &field.ty;
    // With this span, an error about a field that cannot be a key is shown at its type.
    let span = type_.span().resolved_at(Span::call_site());
    let member = match field.ident.clone() {
        Some(mut name) => {
            name.set_span(span);
            Member::Named(name)
        }
        None => Member::Unnamed(Index { index: 0, span }),
    };
    let field = quote_spanned!(span=> &self.#member);
    let body = quote!(#krate::LockKey::write_parts(#field, parts));
    let is_generic = input.generics.type_params().next().is_some();
    let bound = is_generic.then(|| syn::parse_quote!(#type_: #krate::LockKey));
    (body, bound)
}

fn variants(data: &DataEnum, input: &DeriveInput) -> Result<TokenStream> {
    let mut texts: HashMap<String, &syn::Ident> = HashMap::new();
    let mut arms = Vec::new();
    for variant in &data.variants {
        if !matches!(variant.fields, Fields::Unit) {
            return Err(Error::new_spanned(
                &variant.fields,
                "`LockKey` can be derived only for an enum without fields; remove the fields of \
                 this variant",
            ));
        }
        let name = &variant.ident;
        let text = rename(&variant.attrs)?
            .unwrap_or_else(|| LitStr::new(&name.unraw().to_string(), name.span()));
        if let Some(other) = texts.insert(text.value(), name) {
            return Err(Error::new(
                text.span(),
                format!(
                    "`{other}` has the text `{}` too, so both would share a lock; use another text",
                    text.value()
                ),
            ));
        }
        arms.push(quote!(Self::#name => #text,));
    }
    if arms.is_empty() {
        return Err(Error::new(
            input.ident.span(),
            "an enum without variants has no values; add a variant",
        ));
    }
    Ok(quote!(parts.text(match self { #(#arms)* })))
}

fn options(attributes: &[Attribute], krate: &mut Krate) -> Result<()> {
    for attribute in attributes
        .iter()
        .filter(|attribute| attribute.path().is_ident("lock"))
    {
        attribute.parse_nested_meta(|meta| match krate.take(&meta)? {
            true => Ok(()),
            false => Err(meta.error(
                "unknown option: a key type takes only `crate = path`; write `#[lock(rename = \
                 \"..\")]` on a variant of an enum",
            )),
        })?;
    }
    Ok(())
}

fn rename(attributes: &[Attribute]) -> Result<Option<LitStr>> {
    let mut text = None;
    for attribute in attributes
        .iter()
        .filter(|attribute| attribute.path().is_ident("lock"))
    {
        attribute.parse_nested_meta(|meta| {
            let form = "write `#[lock(rename = \"text\")]`";
            if !meta.path.is_ident("rename") {
                return Err(meta.error(format!("unknown option: {form}")));
            }
            once(&mut text, &meta, string(&meta, form)?)
        })?;
    }
    Ok(text)
}

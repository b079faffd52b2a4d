//! `#[derive(Lockable)]`.

use proc_macro2::{Delimiter, Group, Span, TokenStream};
use quote::{quote, quote_spanned};
use syn::punctuated::Punctuated;
use syn::spanned::Spanned;
use syn::{Data, DeriveInput, Error, Fields, Ident, Path, Result, Token, token};

use crate::generics::as_arguments;
use crate::library::{Krate, Library};
use crate::options::{Module, PolicyOptions, once, value};

struct Options {
    krate: Krate,
    policy: PolicyOptions,
    table: Option<Path>,
    key: Option<Vec<Ident>>,
    /// Whether `table` or `key` is present, valid or not.
    is_row: bool,
}

/// The row that a struct locks if it is not `Identifiable`.
struct Identity {
    table: Path,
    key: Vec<Ident>,
}

pub(crate) fn expand(library: Library, input: &DeriveInput) -> TokenStream {
    let mut options = Options::new(library);
    match parse(input, &mut options) {
        Ok(None) => of_model(input, &options),
        Ok(Some(identity)) => of_row(input, &options, &identity),
        Err(error) => {
            let error = error.into_compile_error();
            let stub = stub(input, &options);
            quote!(#error #stub)
        }
    }
}

fn parse(input: &DeriveInput, options: &mut Options) -> Result<Option<Identity>> {
    let Data::Struct(data) = &input.data else {
        return Err(Error::new(
            input.ident.span(),
            "`Lockable` can be derived only for a struct: a model, or with `#[lock(table = \
             accounts, key(id))]` any struct",
        ));
    };
    for attribute in input
        .attrs
        .iter()
        .filter(|attribute| attribute.path().is_ident("lock"))
    {
        attribute.parse_nested_meta(|meta| options.take(&meta, &data.fields))?;
    }
    match (options.table.take(), options.key.take()) {
        (None, None) => Ok(None),
        (Some(table), Some(key)) => Ok(Some(Identity { table, key })),
        (Some(table), None) => Err(Error::new_spanned(
            table,
            "`key(..)` is missing; name the fields that have the primary key, as in `#[lock(table \
             = accounts, key(from_id))]`",
        )),
        (None, Some(key)) => Err(Error::new_spanned(
            &key[0],
            "`table = ..` is missing; write `#[lock(table = accounts, key(from_id))]`, or neither \
             for an `Identifiable` model",
        )),
    }
}

impl Options {
    fn new(library: Library) -> Self {
        Options {
            krate: Krate::new(library),
            policy: PolicyOptions::default(),
            table: None,
            key: None,
            is_row: false,
        }
    }

    fn take(&mut self, meta: &syn::meta::ParseNestedMeta<'_>, fields: &Fields) -> Result<()> {
        if self.krate.take(meta)? || self.policy.take(meta)? {
            Ok(())
        } else if meta.path.is_ident("table") {
            self.is_row = true;
            let table: Module = value(
                meta,
                "name the module that `table!` makes, as in `table = accounts`",
            )?;
            once(&mut self.table, meta, table.0)
        } else if meta.path.is_ident("key") {
            self.is_row = true;
            let form = "name the fields of the primary key, as in `key(from_id)`";
            if !meta.input.peek(token::Paren) {
                return Err(meta.error(form));
            }
            let content;
            syn::parenthesized!(content in meta.input);
            let key = Punctuated::<Ident, Token![,]>::parse_terminated(&content)
                .map_err(|error| Error::new(error.span(), form))?;
            if key.is_empty() {
                return Err(meta.error(form));
            }
            for part in &key {
                known(part, fields)?;
            }
            once(&mut self.key, meta, key.into_iter().collect())
        } else {
            Err(meta.error(
                "unknown option: write `timeout = \"5s\"`, `no_wait`, `wait_forever`, \
                 `keep_alive = \"10m\"` or `crate = path`, and for a struct that is not \
                 `Identifiable` also `table = accounts, key(from_id)`",
            ))
        }
    }
}

fn known(part: &Ident, fields: &Fields) -> Result<()> {
    let names: Vec<String> = fields
        .iter()
        .filter_map(|field| field.ident.as_ref())
        .map(Ident::to_string)
        .collect();
    if names.iter().any(|name| part == name) {
        return Ok(());
    }
    Err(Error::new(
        part.span(),
        format!(
            "there is no field `{part}`; the fields are: {}",
            names.join(", ")
        ),
    ))
}

/// Expands for an `Identifiable` model, whose name comes from the blanket impl of `Lockable`.
fn of_model(input: &DeriveInput, options: &Options) -> TokenStream {
    let krate = &options.krate;
    let lock = quote!(#krate::Lockable::lock(self).policy(Self::LOCK_POLICY));
    with_policy(input, options, &model_methods(input, options, &lock))
}

fn model_methods(input: &DeriveInput, options: &Options, lock: &TokenStream) -> TokenStream {
    let krate = &options.krate;
    let vis = &input.vis;
    let with_lock = model_method(input, options, "with_lock", "run", &quote!(LockR));
    let value = quote!(::core::option::Option<LockR>);
    let try_with_lock = model_method(input, options, "try_with_lock", "try_run", &value);
    quote! {
        /// Starts a lock of this row, with the model's lock policy.
        #vis fn lock(&mut self) -> #krate::Lock<&mut Self> {
            #lock
        }

        /// Acquires the row's lock by the model's lock policy, reloads the row into `self`, runs
        /// `body`, and releases the lock.
        ///
        /// # Errors
        ///
        /// The error of `body`, and any `LockError` from before or after it.
        #with_lock

        /// Like `with_lock`, but returns `Ok(None)` at once if another session holds the lock.
        ///
        /// # Errors
        ///
        /// The error of `body`, and any `LockError` from before or after it.
        #try_with_lock
    }
}

/// Expands to a method that runs a closure by the finishing method `run`.
fn model_method(
    input: &DeriveInput,
    options: &Options,
    name: &str,
    run: &str,
    value: &TokenStream,
) -> TokenStream {
    let krate = &options.krate;
    let vis = &input.vis;
    let [name, run] = [name, run].map(|name| Ident::new(name, Span::call_site()));
    let result = quote!(::core::result::Result<LockR, LockE>);
    let (asyncness, bounds) = match krate.is_async() {
        false => (
            None,
            quote! {
                LockE: #krate::FromLockError,
                LockF: ::core::ops::FnOnce(&mut Self, &mut LockS::Connection) -> #result,
            },
        ),
        true => (
            Some(quote!(async)),
            quote! {
                LockR: ::core::marker::Send,
                LockE: #krate::FromLockError + ::core::marker::Send,
                for<'lock_m, 'lock_c> LockF: ::core::ops::AsyncFnOnce(&'lock_m mut Self, &'lock_c mut LockS::Connection) -> #result
                    + #krate::LockBody<&'lock_m mut Self, &'lock_c mut LockS::Connection, #result, Fut: ::core::marker::Send>
                    + ::core::marker::Send,
            },
        ),
    };
    let awaited = krate.awaited();
    quote! {
        #vis #asyncness fn #name<LockS, LockR, LockE, LockF>(
            &mut self,
            conn: &mut LockS,
            body: LockF,
        ) -> ::core::result::Result<#value, LockE>
        where
            for<'lock> Self: #krate::Lockable + #krate::Reload<LockS::Connection>,
            LockS: #krate::LockSource,
            #bounds
        {
            #krate::LockDsl::#run(self.lock(), conn, body)#awaited
        }
    }
}

/// Expands for a struct that locks a row of `table`. Nothing is reloaded for it.
fn of_row(input: &DeriveInput, options: &Options, identity: &Identity) -> TokenStream {
    let krate = &options.krate;
    let Identity { table, key } = identity;
    let lock = quote!(#krate::Lockable::lock_name(self).lock().policy(Self::LOCK_POLICY));
    let methods = with_policy(input, options, &row_methods(input, options, &lock));
    // With these spans, an error about a field that cannot be a key is shown in `key(..)`, and the
    // conflict with the impl of an `Identifiable` struct at `table`.
    let at = |span: Span| span.resolved_at(Span::call_site());
    let parts = key.iter().map(|part| {
        let mut member = part.clone();
        member.set_span(at(part.span()));
        quote_spanned!(at(part.span())=> &self.#member)
    });
    let mut body = Group::new(
        Delimiter::Brace,
        quote! {
            fn lock_name(&self) -> #krate::LockName {
                #krate::LockName::row_unchecked(#table::table, (#(#parts,)*))
            }
        },
    );
    body.set_span(at(table.span()));
    let implement = Ident::new("impl", at(table.span()));
    let mut name = input.ident.clone();
    name.set_span(at(table.span()));
    let (impl_generics, _, where_clause) = input.generics.split_for_impl();
    let arguments = as_arguments(&input.generics.params);
    // Both libraries have the names of the blocking one's trait.
    let lockable = match krate.is_async() {
        false => quote!(#krate::Lockable),
        true => quote!(#krate::__private::Lockable),
    };
    quote! {
        #[automatically_derived]
        #implement #impl_generics #lockable for #name #arguments #where_clause #body
        #methods
    }
}

fn row_methods(input: &DeriveInput, options: &Options, lock: &TokenStream) -> TokenStream {
    let krate = &options.krate;
    let vis = &input.vis;
    quote! {
        /// Starts a lock of the row, with this type's lock policy.
        #vis fn lock(&self) -> #krate::Lock<#krate::LockName> {
            #lock
        }
    }
}

/// Expands to the methods without their bodies, so that no further errors follow an error.
fn stub(input: &DeriveInput, options: &Options) -> TokenStream {
    let krate = &options.krate;
    let vis = &input.vis;
    let unreachable = quote!(::core::unreachable!());
    let methods = if options.is_row {
        row_methods(input, options, &unreachable)
    } else {
        model_methods(input, options, &unreachable)
    };
    with_policy(
        input,
        options,
        &quote! {
            #methods

            #vis fn lock_name(&self) -> #krate::LockName {
                #unreachable
            }
        },
    )
}

/// Expands to the type's methods, and its policy as an inherent constant and as `HasLockPolicy`.
fn with_policy(input: &DeriveInput, options: &Options, methods: &TokenStream) -> TokenStream {
    let krate = &options.krate;
    let (name, vis, policy) = (&input.ident, &input.vis, options.policy.calls());
    let (impl_generics, _, where_clause) = input.generics.split_for_impl();
    let arguments = as_arguments(&input.generics.params);
    quote! {
        #[automatically_derived]
        #[allow(dead_code)]
        impl #impl_generics #name #arguments #where_clause {
            /// Timeout and keep-alive of this type's locks, if the call sets none.
            #vis const LOCK_POLICY: #krate::LockPolicy = #krate::LockPolicy::new() #policy;

            #methods
        }

        #[automatically_derived]
        impl #impl_generics #krate::HasLockPolicy for #name #arguments #where_clause {
            const LOCK_POLICY: #krate::LockPolicy = Self::LOCK_POLICY;
        }
    }
}

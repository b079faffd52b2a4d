//! `#[derive(Lockable)]`.

use proc_macro2::TokenStream;
use quote::quote;
use syn::punctuated::Punctuated;
use syn::{Data, DeriveInput, Error, Fields, Ident, Path, Result, Token};

use crate::options::{Krate, Wait};

#[derive(Default)]
struct Options {
    krate: Krate,
    wait: Wait,
    table: Option<Path>,
    key: Option<Vec<Ident>>,
}

/// Whose row a struct locks that is not `Identifiable`.
struct Identity {
    table: Path,
    key: Vec<Ident>,
}

pub(crate) fn expand(input: &DeriveInput) -> TokenStream {
    match parse(input) {
        Ok((options, None)) => of_model(input, &options),
        Ok((options, Some(identity))) => of_row(input, &options, &identity),
        Err(error) => error.into_compile_error(),
    }
}

fn parse(input: &DeriveInput) -> Result<(Options, Option<Identity>)> {
    let Data::Struct(data) = &input.data else {
        return Err(Error::new(
            input.ident.span(),
            "`Lockable` is derived for a struct: a model, or with `#[lock(table = accounts, key(id))]` what stands for one",
        ));
    };
    let mut options = Options::default();
    for attribute in input
        .attrs
        .iter()
        .filter(|attribute| attribute.path().is_ident("lock"))
    {
        attribute.parse_nested_meta(|meta| options.take(&meta, &data.fields))?;
    }
    let identity = match (options.table.take(), options.key.take()) {
        (None, None) => None,
        (Some(table), Some(key)) => Some(Identity { table, key }),
        (Some(table), None) => {
            return Err(Error::new_spanned(
                table,
                "which row of it? add `key(..)` with the fields of its primary key: `#[lock(table = accounts, key(from_id))]`",
            ));
        }
        (None, Some(key)) => {
            return Err(Error::new_spanned(
                &key[0],
                "of which table? add `table = ..`: `#[lock(table = accounts, key(from_id))]`",
            ));
        }
    };
    Ok((options, identity))
}

impl Options {
    fn take(&mut self, meta: &syn::meta::ParseNestedMeta<'_>, fields: &Fields) -> Result<()> {
        if self.krate.take(meta)? || self.wait.take(meta)? {
            Ok(())
        } else if meta.path.is_ident("table") {
            self.table = Some(meta.value()?.parse()?);
            Ok(())
        } else if meta.path.is_ident("key") {
            let content;
            syn::parenthesized!(content in meta.input);
            let key = Punctuated::<Ident, Token![,]>::parse_terminated(&content)?;
            if key.is_empty() {
                return Err(meta.error("a key has at least one field: `key(from_id)`"));
            }
            for part in &key {
                known(part, fields)?;
            }
            self.key = Some(key.into_iter().collect());
            Ok(())
        } else {
            Err(meta.error(
                "unknown option: a policy is one of `timeout = \"5s\"`, `no_wait`, `wait_forever`; \
                 a struct that is not `Identifiable` takes `table = accounts, key(from_id)`",
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

/// An `Identifiable` model: its name is the blanket impl's, only the policy is its own.
fn of_model(input: &DeriveInput, options: &Options) -> TokenStream {
    let Krate(krate) = &options.krate;
    let vis = &input.vis;
    let policy = policy(input, options);
    let methods = quote! {
        /// Starts a request for this row's lock, with the model's lock policy.
        #vis fn lock(&mut self) -> #krate::ModelLock<'_, Self> {
            #krate::Lockable::lock(self).policy(Self::LOCK_POLICY)
        }

        /// Locks the row by the model's lock policy, reads it again into `self`, runs `body`, and
        /// releases.
        ///
        /// # Errors
        ///
        /// What `body` returns, and the lock's own errors before and after it.
        #vis fn with_lock<LockS, LockR, LockE>(
            &mut self,
            conn: &mut LockS,
            body: impl ::core::ops::FnOnce(&mut Self, &mut LockS::Connection) -> ::core::result::Result<LockR, LockE>,
        ) -> ::core::result::Result<LockR, LockE>
        where
            Self: for<'lock> #krate::Reload<'lock, LockS::Connection>,
            LockS: #krate::LockSource,
            LockE: #krate::FromLockError,
        {
            self.lock().run(conn, body)
        }

        /// The same if the lock is free now, and `Ok(None)` if somebody else has it.
        ///
        /// # Errors
        ///
        /// What `body` returns, and the lock's own errors before and after it.
        #vis fn try_with_lock<LockS, LockR, LockE>(
            &mut self,
            conn: &mut LockS,
            body: impl ::core::ops::FnOnce(&mut Self, &mut LockS::Connection) -> ::core::result::Result<LockR, LockE>,
        ) -> ::core::result::Result<::core::option::Option<LockR>, LockE>
        where
            Self: for<'lock> #krate::Reload<'lock, LockS::Connection>,
            LockS: #krate::LockSource,
            LockE: #krate::FromLockError,
        {
            self.lock().try_run(conn, body)
        }
    };
    inherent(input, &quote!(#policy #methods))
}

/// A struct that stands for another table's row: it has that row's lock, and no row to read again.
fn of_row(input: &DeriveInput, options: &Options, identity: &Identity) -> TokenStream {
    let Krate(krate) = &options.krate;
    let Identity { table, key } = identity;
    let vis = &input.vis;
    let policy = policy(input, options);
    let methods = inherent(
        input,
        &quote! {
            #policy

            /// Starts a request for the row's lock, with this type's lock policy.
            #vis fn lock(&self) -> #krate::LockRequest {
                #krate::Lockable::lock_name(self).lock().policy(Self::LOCK_POLICY)
            }
        },
    );
    let name = &input.ident;
    let (impl_generics, type_generics, where_clause) = input.generics.split_for_impl();
    quote! {
        #[automatically_derived]
        impl #impl_generics #krate::Lockable for #name #type_generics #where_clause {
            fn lock_name(&self) -> #krate::LockName {
                #krate::LockName::row(#table::table, (#(&self.#key,)*))
            }
        }
        #methods
    }
}

fn policy(input: &DeriveInput, options: &Options) -> TokenStream {
    let Krate(krate) = &options.krate;
    let (vis, wait) = (&input.vis, options.wait.call());
    quote! {
        /// How long a request for this type's lock waits, unless it says so itself.
        #vis const LOCK_POLICY: #krate::LockPolicy = #krate::LockPolicy::new() #wait;
    }
}

fn inherent(input: &DeriveInput, items: &TokenStream) -> TokenStream {
    let name = &input.ident;
    let (impl_generics, type_generics, where_clause) = input.generics.split_for_impl();
    quote! {
        #[automatically_derived]
        #[allow(dead_code)]
        impl #impl_generics #name #type_generics #where_clause {
            #items
        }
    }
}

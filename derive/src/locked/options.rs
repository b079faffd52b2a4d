//! The options of `#[locked(..)]`.

use proc_macro2::{Ident, TokenStream};
use quote::quote;
use syn::parse::Parser;
use syn::{LitStr, Result};

use crate::library::{Krate, Library};
use crate::options::{PolicyOptions, flag, once, string, value};

pub(super) struct Options {
    pub(super) krate: Krate,
    policy: PolicyOptions,
    scope: Option<Scope>,
    transaction: Option<()>,
    pub(super) conn: Option<Ident>,
}

enum Scope {
    /// The method's own name.
    Method,
    Text(LitStr),
}

impl Options {
    pub(super) fn parse(library: Library, attribute: TokenStream) -> Result<Self> {
        let mut options = Options {
            krate: Krate::new(library),
            policy: PolicyOptions::default(),
            scope: None,
            transaction: None,
            conn: None,
        };
        let parser = syn::meta::parser(|meta| {
            if options.krate.take(&meta)? || options.policy.take(&meta)? {
                return Ok(());
            }
            if meta.path.is_ident("scope") {
                let scope = if meta.input.peek(syn::Token![=]) {
                    Scope::Text(string(
                        &meta,
                        "write `scope = \"archive\"`, or `scope` alone to use the method's name",
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
                    "unknown option: write `scope`, `scope = \"archive\"`, `timeout = \"500ms\"`, \
                     `no_wait`, `wait_forever`, `keep_alive = \"10m\"`, `transaction`, \
                     `conn = name` or `crate = path`",
                ))
            }
        });
        parser.parse2(attribute)?;
        Ok(options)
    }

    pub(super) fn in_transaction(&self) -> bool {
        self.transaction.is_some()
    }

    /// Returns the options as calls on a builder.
    pub(super) fn calls(&self, method: &Ident) -> TokenStream {
        let policy = self.policy.calls();
        let scope = match &self.scope {
            None => TokenStream::new(),
            Some(Scope::Text(text)) => quote!(.scope(#text)),
            Some(Scope::Method) => {
                let name = syn::ext::IdentExt::unraw(method).to_string();
                quote!(.scope(#name))
            }
        };
        quote!(#policy #scope)
    }
}

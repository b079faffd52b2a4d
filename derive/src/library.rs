//! Which of the two libraries a macro belongs to, and how the expansion names it.

use proc_macro2::TokenStream;
use quote::{ToTokens, quote};
use syn::meta::ParseNestedMeta;
use syn::{Path, Result};

use crate::options::{Module, once, value};

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Library {
    /// `diesel-advisory-lock`
    Blocking,
    /// `diesel-advisory-lock-async`
    Async,
}

/// The path of the library: `crate = path` if it is renamed.
pub(crate) struct Krate {
    library: Library,
    path: Option<Path>,
}

impl Krate {
    pub(crate) fn new(library: Library) -> Self {
        Krate {
            library,
            path: None,
        }
    }

    pub(crate) fn is_async(&self) -> bool {
        self.library == Library::Async
    }

    /// Returns `.await` if the library's functions are async.
    pub(crate) fn awaited(&self) -> Option<TokenStream> {
        self.is_async().then(|| quote!(.await))
    }

    /// An argument that is a connection, for error messages.
    pub(crate) fn conn_example(&self) -> &'static str {
        match self.library {
            Library::Blocking => "conn: &mut MysqlConnection",
            Library::Async => "conn: &mut AsyncMysqlConnection",
        }
    }

    pub(crate) fn take(&mut self, meta: &ParseNestedMeta<'_>) -> Result<bool> {
        if !meta.path.is_ident("crate") {
            return Ok(false);
        }
        let path: Module = value(meta, "write the library's path, as in `crate = locks`")?;
        once(&mut self.path, meta, path.0)?;
        Ok(true)
    }
}

impl ToTokens for Krate {
    fn to_tokens(&self, tokens: &mut TokenStream) {
        match (&self.path, self.library) {
            (Some(path), _) => path.to_tokens(tokens),
            (None, Library::Blocking) => quote!(::diesel_advisory_lock).to_tokens(tokens),
            (None, Library::Async) => quote!(::diesel_advisory_lock_async).to_tokens(tokens),
        }
    }
}

//! The options that `#[locked(..)]` and `#[lock(..)]` share. Errors are shown at the user's tokens.

use std::time::Duration;

use proc_macro2::TokenStream;
use quote::{ToTokens, quote};
use syn::meta::ParseNestedMeta;
use syn::parse::{Parse, ParseStream};
use syn::{Error, Expr, ExprLit, Lit, LitStr, Path, Result, Token, Type};

/// Timeout and keep-alive, if present.
#[derive(Default)]
pub(crate) struct PolicyOptions {
    wait: Wait,
    keep_alive: Option<Duration>,
}

impl PolicyOptions {
    /// Parses the option if it is one of these, and returns whether it is.
    pub(crate) fn take(&mut self, meta: &ParseNestedMeta<'_>) -> Result<bool> {
        if meta.path.is_ident("keep_alive") {
            let keep_alive = duration(meta, "keep_alive = \"10m\"")?;
            once(&mut self.keep_alive, meta, keep_alive)?;
            return Ok(true);
        }
        self.wait.take(meta)
    }

    /// Returns the calls on a builder or a policy, such as `.timeout(..)`.
    pub(crate) fn calls(&self) -> TokenStream {
        let wait = self.wait.call();
        let keep_alive = self.keep_alive.map(|keep_alive| {
            let keep_alive = duration_tokens(keep_alive);
            quote!(.keep_alive(#keep_alive))
        });
        quote!(#wait #keep_alive)
    }
}

#[derive(Default)]
struct Wait(Option<WaitKind>);

enum WaitKind {
    Timeout(Duration),
    NoWait,
    Forever,
}

impl Wait {
    fn take(&mut self, meta: &ParseNestedMeta<'_>) -> Result<bool> {
        let kind = if meta.path.is_ident("timeout") {
            WaitKind::Timeout(duration(meta, "timeout = \"45s\"")?)
        } else if meta.path.is_ident("no_wait") {
            flag(meta, "no_wait")?;
            WaitKind::NoWait
        } else if meta.path.is_ident("wait_forever") {
            flag(meta, "wait_forever")?;
            WaitKind::Forever
        } else {
            return Ok(false);
        };
        if self.0.is_some() {
            return Err(meta.error(
                "the timeout is set twice; keep one of `timeout = \"45s\"`, `no_wait`, \
                 `wait_forever`",
            ));
        }
        self.0 = Some(kind);
        Ok(true)
    }

    fn call(&self) -> TokenStream {
        match &self.0 {
            None => TokenStream::new(),
            Some(WaitKind::NoWait) => quote!(.no_wait()),
            Some(WaitKind::Forever) => quote!(.wait_forever()),
            Some(WaitKind::Timeout(timeout)) => {
                let timeout = duration_tokens(*timeout);
                quote!(.timeout(#timeout))
            }
        }
    }
}

fn duration_tokens(duration: Duration) -> TokenStream {
    let (seconds, nanoseconds) = (duration.as_secs(), duration.subsec_nanos());
    quote!(::core::time::Duration::new(#seconds, #nanoseconds))
}

fn duration(meta: &ParseNestedMeta<'_>, example: &str) -> Result<Duration> {
    let form =
        format!("write a duration with its unit, such as `{example}`, `\"500ms\"` or `\"2m\"`");
    let text = string(meta, &form)?;
    humantime::parse_duration(&text.value())
        .map_err(|error| Error::new(text.span(), format!("{error}: {form}")))
}

/// Checks an option without a value.
pub(crate) fn flag(meta: &ParseNestedMeta<'_>, name: &str) -> Result<()> {
    if meta.input.is_empty() || meta.input.peek(syn::Token![,]) {
        Ok(())
    } else {
        Err(meta.error(format!("`{name}` takes no value; write `{name}` alone")))
    }
}

/// Parses a string after `=`.
pub(crate) fn string(meta: &ParseNestedMeta<'_>, form: &str) -> Result<LitStr> {
    let mut expr = value(meta, form)?;
    // A `$text:literal` of a `macro_rules!` arrives in a group.
    while let Expr::Group(group) = expr {
        expr = *group.expr;
    }
    match expr {
        Expr::Lit(ExprLit {
            lit: Lit::Str(text),
            ..
        }) if text.suffix().is_empty() => Ok(text),
        other => Err(Error::new_spanned(other, form)),
    }
}

/// A path without generic arguments, so that further segments can follow it.
pub(crate) struct Module(pub(crate) Path);

impl Parse for Module {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        Path::parse_mod_style(input).map(Self)
    }
}

/// Returns the type itself if a `macro_rules!` has passed it as `$type:ty`, which is a group.
pub(crate) fn ungrouped(mut type_: &Type) -> &Type {
    while let Type::Group(group) = type_ {
        type_ = &group.elem;
    }
    type_
}

/// Parses the value after `=`. `form` is the error, which says what to write there.
pub(crate) fn value<T: Parse>(meta: &ParseNestedMeta<'_>, form: &str) -> Result<T> {
    if !meta.input.peek(Token![=]) {
        return Err(meta.error(form));
    }
    let value = meta.value()?;
    if value.is_empty() {
        return Err(meta.error(form));
    }
    value.parse().map_err(|error| {
        if value.is_empty() {
            // The input has ended, so there is no token to show the error at.
            meta.error(form)
        } else {
            Error::new(error.span(), form)
        }
    })
}

/// Stores an option that may occur once. The first one stays, for the code after an error.
pub(crate) fn once<T>(slot: &mut Option<T>, meta: &ParseNestedMeta<'_>, value: T) -> Result<()> {
    if slot.is_none() {
        *slot = Some(value);
        return Ok(());
    }
    Err(Error::new_spanned(
        &meta.path,
        format!("`{}` is set twice; keep one", meta.path.to_token_stream()),
    ))
}

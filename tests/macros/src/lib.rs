//! `#[server_test]`: makes a case an ordinary test for each kind of server. With `#[both]` and
//! `#[blocking]`, the blocking crate and the async one run the same cases.

use proc_macro2::{Group, TokenStream, TokenTree};
use quote::{ToTokens, format_ident, quote, quote_spanned};
use syn::parse::{Parse, ParseStream, Parser};
use syn::punctuated::Punctuated;
use syn::{Attribute, Error, Ident, ItemFn, Path, Token, bracketed, parse_macro_input};

/// Makes tests of a case, a function whose only argument is what the target passes to each case.
///
/// A module of the same name has one `#[test]` for each kind of server:
/// `faults::killing_the_holder_returns_lost::mariadb_server`. The function stays as it is, except
/// that an `async fn` is compiled as by [`macro@both`]. The attribute takes these options:
///
/// - `blocking`: the case is about the blocking crate, and the async one leaves it out;
/// - a kind, such as `mysql`: the case is about this kind, and runs only on it;
/// - `serial`: the case measures time, so no other case runs at the same time;
/// - `own_server`: the case needs a private server, which it may change. Its tests have other
///   names, such as `mariadb_own_server`, so that they can be skipped where there is none.
///
/// The target names its kinds, and the type that runs a case, by a macro that calls [`tests!`]:
///
/// ```ignore
/// macro_rules! server_tests {
///     ($($case:tt)*) => { server_test::tests! { ServerTest; mariadb, mysql; $($case)* } };
/// }
/// ```
#[proc_macro_attribute]
pub fn server_test(
    options_of_case: proc_macro::TokenStream,
    function: proc_macro::TokenStream,
) -> proc_macro::TokenStream {
    let options = Punctuated::<Ident, Token![,]>::parse_terminated;
    let options = match options.parse(options_of_case) {
        Ok(options) => options,
        Err(error) => return error.into_compile_error().into(),
    };
    let is_blocking = |option: &&Ident| *option == "blocking";
    if is_async_crate() && options.iter().any(|option| is_blocking(&option)) {
        return proc_macro::TokenStream::new();
    }
    let options = options.iter().filter(|option| !is_blocking(option));
    let mut function = parse_macro_input!(function as ItemFn);
    if function.sig.asyncness.is_some() {
        let both = for_this_crate(function.to_token_stream()).into();
        function = parse_macro_input!(both as ItemFn);
    }
    let case = &function.sig.ident;
    let conditions = function.attrs.iter().filter(|it| it.path().is_ident("cfg"));
    quote!(#function server_tests! { #(#conditions)* #case [#(#options),*] }).into()
}

/// Compiles an item in async syntax for both crates.
///
/// In `diesel-advisory-lock-async` the item stays as it is. In `diesel-advisory-lock`, these are
/// taken out of it, also inside of other macros' arguments:
///
/// - each `async`: of a function, of a closure, and of a block, which becomes an ordinary block;
/// - each `.await`;
/// - the `Async` of the traits `AsyncFn`, `AsyncFnMut` and `AsyncFnOnce`.
#[proc_macro_attribute]
pub fn both(_: proc_macro::TokenStream, item: proc_macro::TokenStream) -> proc_macro::TokenStream {
    for_this_crate(item.into()).into()
}

/// Leaves an item out of the async crate.
#[proc_macro_attribute]
pub fn blocking(
    _: proc_macro::TokenStream,
    item: proc_macro::TokenStream,
) -> proc_macro::TokenStream {
    match is_async_crate() {
        true => proc_macro::TokenStream::new(),
        false => for_this_crate(item.into()).into(),
    }
}

/// Whether the crate that is compiled is the async one.
fn is_async_crate() -> bool {
    std::env::var("CARGO_PKG_NAME").is_ok_and(|name| name == "diesel-advisory-lock-async")
}

fn for_this_crate(item: TokenStream) -> TokenStream {
    match is_async_crate() {
        true => item,
        false => without_async(item),
    }
}

fn without_async(tokens: TokenStream) -> TokenStream {
    let mut kept: Vec<TokenTree> = Vec::new();
    for token in tokens {
        match token {
            TokenTree::Ident(word) if word == "async" => {}
            TokenTree::Ident(word) if word == "await" => {
                let dot = kept.pop();
                assert!(matches!(dot, Some(TokenTree::Punct(dot)) if dot.as_char() == '.'));
            }
            TokenTree::Ident(word) if word.to_string().starts_with("AsyncFn") => {
                let blocking = word.to_string()["Async".len()..].to_owned();
                kept.push(Ident::new(&blocking, word.span()).into());
            }
            TokenTree::Group(group) => {
                let mut inner = Group::new(group.delimiter(), without_async(group.stream()));
                inner.set_span(group.span());
                kept.push(inner.into());
            }
            other => kept.push(other),
        }
    }
    kept.into_iter().collect()
}

/// What a target's `server_tests!` calls for each case.
#[proc_macro]
pub fn tests(input: proc_macro::TokenStream) -> proc_macro::TokenStream {
    let tests = parse_macro_input!(input as Tests);
    tests
        .expand()
        .unwrap_or_else(Error::into_compile_error)
        .into()
}

struct Tests {
    /// Has the fields `kind`, `serial` and `own_server`, and a method `run`.
    runner: Path,
    kinds: Punctuated<Ident, Token![,]>,
    conditions: Vec<Attribute>,
    case: Ident,
    options: Punctuated<Ident, Token![,]>,
}

impl Parse for Tests {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let runner = input.parse()?;
        input.parse::<Token![;]>()?;
        let kinds = Punctuated::parse_separated_nonempty(input)?;
        input.parse::<Token![;]>()?;
        let (conditions, case) = (input.call(Attribute::parse_outer)?, input.parse()?);
        let options;
        bracketed!(options in input);
        Ok(Self {
            runner,
            kinds,
            conditions,
            case,
            options: Punctuated::parse_terminated(&options)?,
        })
    }
}

impl Tests {
    fn expand(self) -> syn::Result<TokenStream> {
        let has = |name: &str| self.options.iter().any(|option| option == name);
        let (serial, own_server) = (has("serial"), has("own_server"));
        let is_kind = |option: &Ident| self.kinds.iter().any(|kind| kind == option);
        let kinds_of_case = self.options.iter().filter(|option| is_kind(option));
        let kinds: Vec<_> = match kinds_of_case.clone().next() {
            Some(_) => kinds_of_case.collect(),
            None => self.kinds.iter().collect(),
        };
        let is_known = |it: &Ident| it == "serial" || it == "own_server" || is_kind(it);
        if let Some(unknown) = self.options.iter().find(|option| !is_known(option)) {
            let known: Vec<_> = self.kinds.iter().map(Ident::to_string).collect();
            let message = format!("not `serial`, `own_server` or a kind: {}", known.join(", "));
            return Err(Error::new(unknown.span(), message));
        }
        let (runner, case) = (&self.runner, &self.case);
        if let Some(kind) = self
            .kinds
            .iter()
            .find(|kind| case.to_string().starts_with(&kind.to_string()))
        {
            let message = format!("the filter `::{kind}` would select this case on every server");
            return Err(Error::new(case.span(), message));
        }
        let tests = kinds.iter().map(|kind| {
            let suffix = if own_server { "own_server" } else { "server" };
            let test = format_ident!("{kind}_{suffix}", span = case.span());
            let kind = kind.to_string();
            quote_spanned! {case.span()=>
                #[test]
                fn #test() {
                    #runner { kind: #kind, serial: #serial, own_server: #own_server }
                        .run(super::#case);
                }
            }
        });
        let conditions = &self.conditions;
        Ok(quote! {
            #(#conditions)*
            mod #case { #(#tests)* }
        })
    }
}

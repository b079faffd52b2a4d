//! What every expansion has to be, and what this one has to.

use proc_macro2::{Span, TokenStream, TokenTree};
use quote::{ToTokens, quote};
use syn::{File, FnArg, ImplItem, ImplItemFn, Item, Pat, Signature};

use super::expected::Expected;
use super::source::Source;

/// Of `#[locked]`: the method again, or the error and the method as it was.
pub(super) fn of_method(source: &Source, expansion: &TokenStream, expected: &Expected, text: &str) {
    let method = syn::parse2::<ImplItemFn>(source.item.clone());
    let is_method = method.is_ok() || syn::parse2::<ImplItem>(source.item.clone()).is_ok();
    if !is_method && syn::parse2::<Item>(source.item.clone()).is_err() {
        // The compiler would not have come as far as to the macro.
        assert!(matches!(expected, Expected::Anything), "no item:\n{text}");
        return;
    }
    if let Some(rest) = answer(source, expansion, expected, text) {
        assert_eq!(
            rest.to_string(),
            source.item.to_string(),
            "what was written is not kept:\n{text}"
        );
        items_of(
            if is_method {
                quote!(impl Model { #expansion })
            } else {
                expansion.clone()
            },
            text,
        );
        return;
    }
    let Ok(method) = method else {
        panic!("no method, and yet accepted:\n{text}");
    };
    // `<>` and a `where` without bounds are not written again.
    let signature: Signature = syn::parse2(method.sig.to_token_stream()).expect("a signature");
    let items = items_of(quote!(impl Model { #expansion }), text);
    let [Item::Impl(block)] = &items[..] else {
        panic!("more than methods:\n{text}\n{expansion}");
    };
    let methods: Vec<_> = block
        .items
        .iter()
        .map(|item| match item {
            ImplItem::Fn(method) => method,
            _ => panic!("more than methods:\n{text}\n{expansion}"),
        })
        .collect();
    let [locked, more @ ..] = &methods[..] else {
        panic!("no method:\n{text}\n{expansion}");
    };
    assert_eq!(locked.vis, method.vis, "{text}\n{expansion}");
    for (kept, written) in locked.attrs.iter().zip(&method.attrs) {
        assert_eq!(kept.meta, written.meta, "{text}\n{expansion}");
    }
    assert!(
        locked.attrs.len() >= method.attrs.len(),
        "{text}\n{expansion}"
    );
    match more {
        [] => {
            assert_eq!(locked.sig, signature, "{text}\n{expansion}");
            let (all, body) = (&locked.block, &method.block);
            assert!(
                quote!(#all)
                    .to_string()
                    .contains(&quote!(#body).to_string()),
                "without its body:\n{text}\n{expansion}"
            );
        }
        [body] => {
            assert_eq!(
                without_patterns(&locked.sig),
                without_patterns(&signature),
                "{text}\n{expansion}"
            );
            assert_eq!(body.block, method.block, "{text}\n{expansion}");
            assert_eq!(
                named(&body.sig, "body"),
                named(&signature, "body"),
                "{text}\n{expansion}"
            );
            assert_has_connection(locked, text);
        }
        _ => panic!("too many methods:\n{text}\n{expansion}"),
    }
}

/// Of a derive: impls, after the error if there is one.
pub(super) fn of_type(source: &Source, expansion: &TokenStream, expected: &Expected, text: &str) {
    let rest = answer(source, expansion, expected, text);
    let items = items_of(rest.unwrap_or_else(|| expansion.clone()), text);
    assert!(!items.is_empty(), "no items:\n{text}");
    assert!(
        items.iter().all(|item| matches!(item, Item::Impl(_))),
        "more than impls:\n{text}\n{expansion}"
    );
}

/// Checks what was expected. If there is an error: what stands after it.
fn answer(
    source: &Source,
    expansion: &TokenStream,
    expected: &Expected,
    text: &str,
) -> Option<TokenStream> {
    let error = Error::at_the_start(expansion);
    match (&error, expected) {
        (None, Expected::Refused) => panic!("accepted:\n{text}\n{expansion}"),
        (Some(error), Expected::Accepted(_)) => panic!("refused:\n{text}\n{}", error.message),
        (None, Expected::Accepted(contains)) => {
            let expansion = expansion.to_string();
            for tokens in contains {
                let tokens: TokenStream = tokens.parse().expect("tokens");
                let tokens = tokens.to_string();
                assert!(
                    expansion.contains(&tokens),
                    "without {tokens}:\n{text}\n{expansion}"
                );
            }
        }
        (None | Some(_), _) => {}
    }
    let error = error?;
    error.check(source, text);
    assert!(
        Error::at_the_start(&error.rest).is_none(),
        "a second error:\n{text}\n{expansion}"
    );
    Some(error.rest)
}

fn items_of(tokens: TokenStream, text: &str) -> Vec<Item> {
    let shown = tokens.to_string();
    match syn::parse2::<File>(tokens) {
        Ok(file) => file.items,
        Err(error) => panic!("no Rust ({error}):\n{text}\n{shown}"),
    }
}

/// `::core::compile_error!{ "message" }`.
struct Error {
    message: String,
    first: Span,
    last: Span,
    rest: TokenStream,
}

impl Error {
    fn at_the_start(expansion: &TokenStream) -> Option<Self> {
        let mut tokens = expansion.clone().into_iter();
        let first = tokens.clone().next()?.span();
        for expected in [":", ":", "core", ":", ":", "compile_error", "!"] {
            if tokens.next()?.to_string() != expected {
                return None;
            }
        }
        let TokenTree::Group(message) = tokens.next()? else {
            return None;
        };
        Some(Error {
            message: message.stream().to_string(),
            first,
            last: message.span(),
            rest: tokens.collect(),
        })
    }

    /// It says something, and stands where the user wrote something.
    fn check(&self, source: &Source, text: &str) {
        let message = self.message.trim_matches('"');
        assert!(!message.is_empty(), "says nothing:\n{text}");
        // What is missing at the end has no place but the macro's call.
        if message.starts_with("unexpected end of input") {
            return;
        }
        for span in [self.first, self.last] {
            let place = span.byte_range();
            assert!(
                source.place.start <= place.start
                    && place.end <= source.place.end
                    && place.start < place.end,
                "at no token of the user's ({place:?} of {:?}):\n{text}\n{message}",
                source.place
            );
        }
    }
}

fn named(signature: &Signature, name: &str) -> Signature {
    Signature {
        ident: syn::Ident::new(name, Span::call_site()),
        ..signature.clone()
    }
}

/// The arguments may be called otherwise: a method of its own destructures them.
fn without_patterns(signature: &Signature) -> Signature {
    let mut signature = signature.clone();
    for argument in &mut signature.inputs {
        if let FnArg::Typed(argument) = argument {
            *argument.pat = syn::parse_quote!(_);
        }
    }
    signature
}

/// What the lock is taken on is an argument.
fn assert_has_connection(method: &ImplItemFn, text: &str) {
    let tokens = method.block.to_token_stream().to_string();
    let Some((_, after)) = tokens.split_once("self , & mut * ") else {
        panic!("no connection:\n{text}\n{tokens}");
    };
    let name = after.split_whitespace().next().unwrap_or_default();
    let is_argument = method.sig.inputs.iter().any(|argument| match argument {
        FnArg::Typed(argument) => matches!(&*argument.pat, Pat::Ident(pat) if pat.ident == name),
        FnArg::Receiver(_) => false,
    });
    assert!(is_argument, "`{name}` is no argument:\n{text}\n{tokens}");
}

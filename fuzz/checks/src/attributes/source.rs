//! Source text as the compiler hands it to a macro.

use std::ops::Range;

use proc_macro2::{Delimiter, Group, TokenStream, TokenTree};

/// An item with the macro that is called on it.
pub(super) struct Source {
    pub(super) which: Macro,
    /// What stands in the parentheses of `#[locked(..)]`.
    pub(super) attribute: TokenStream,
    pub(super) item: TokenStream,
    /// Where in the source map the text lies.
    pub(super) place: Range<usize>,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Macro {
    Locked,
    Lockable,
    LockKey,
}

/// `none_group! { .. }` stands for a group without delimiters, which has no spelling: what the
/// compiler makes of a fragment that a `macro_rules!` passes on, such as `$type:ty`.
const NONE_GROUP: &str = "none_group";

/// The compiler grows its stack and `syn` does not, so nothing deeper than this is tried.
const DEPTH: usize = 24;

impl Source {
    /// `None` if it is no call of a macro that would get as far as to the macro.
    pub(super) fn read(text: &str) -> Option<Self> {
        if depth(text) > DEPTH {
            return None;
        }
        let tokens: TokenStream = text.parse().ok()?;
        let mut tokens = without_markers(tokens).into_iter();
        let (hash, attribute) = (tokens.next()?, tokens.next()?);
        let (TokenTree::Punct(hash), TokenTree::Group(attribute)) = (hash, attribute) else {
            return None;
        };
        if hash.as_char() != '#' || attribute.delimiter() != Delimiter::Bracket {
            return None;
        }
        let item: TokenStream = tokens.collect();
        let start = hash.span().byte_range().start;
        let mut inside = attribute.stream().into_iter();
        let (which, arguments) = match (inside.next()?, inside.next(), inside.next()) {
            (TokenTree::Ident(name), arguments, None) => (name.to_string(), arguments),
            _ => return None,
        };
        let arguments = match arguments {
            None => TokenStream::new(),
            Some(TokenTree::Group(group)) => group.stream(),
            Some(_) => return None,
        };
        let (which, attribute) = match (&*which, &*arguments.to_string()) {
            ("locked", _) => (Macro::Locked, arguments),
            ("derive", "Lockable") => (Macro::Lockable, TokenStream::new()),
            ("derive", "LockKey") => (Macro::LockKey, TokenStream::new()),
            _ => return None,
        };
        Some(Source {
            which,
            attribute,
            item,
            place: start..start + text.len(),
        })
    }
}

/// At least as deep as the text is nested, by delimiters and by operators, which need none.
fn depth(text: &str) -> usize {
    let (mut depth, mut deepest) = (0_usize, 0);
    for byte in text.bytes() {
        match byte {
            b'(' | b'[' | b'{' | b'<' | b'&' | b'-' | b'!' | b'*' | b'|' => depth += 1,
            b')' | b']' | b'}' | b'>' => depth = depth.saturating_sub(1),
            _ => {}
        }
        deepest = deepest.max(depth);
    }
    deepest
}

fn without_markers(tokens: TokenStream) -> TokenStream {
    let mut tokens = tokens.into_iter().peekable();
    let mut result = Vec::new();
    while let Some(token) = tokens.next() {
        match token {
            TokenTree::Ident(ident)
                if ident == NONE_GROUP
                    && matches!(tokens.peek(), Some(TokenTree::Punct(punct)) if punct.as_char() == '!') =>
            {
                tokens.next();
                if let Some(TokenTree::Group(group)) = tokens.next() {
                    result.push(regroup(&group, Delimiter::None));
                }
            }
            TokenTree::Group(group) => result.push(regroup(&group, group.delimiter())),
            other => result.push(other),
        }
    }
    result.into_iter().collect()
}

fn regroup(group: &Group, delimiter: Delimiter) -> TokenTree {
    let mut new = Group::new(delimiter, without_markers(group.stream()));
    new.set_span(group.span());
    new.into()
}

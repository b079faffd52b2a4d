//! Regression tests: mistakes that a fuzzer found in the macros.

use proc_macro2::{Delimiter, Group, TokenStream};
use quote::quote;
use syn::{File, parse_quote};

use crate::{lock_key, lockable, locked};

/// The group in which the compiler passes a `$type:ty` or a `$text:literal` of a `macro_rules!`.
fn passed_on(tokens: TokenStream) -> Group {
    Group::new(Delimiter::None, tokens)
}

fn is_accepted(expansion: &TokenStream) -> bool {
    let text = expansion.to_string();
    assert!(
        syn::parse2::<File>(quote!(impl Model { #expansion })).is_ok()
            || syn::parse2::<File>(expansion.clone()).is_ok(),
        "invalid Rust: {text}"
    );
    !text.starts_with(":: core :: compile_error !")
}

fn method(attribute: TokenStream, method: TokenStream) -> TokenStream {
    locked::expand(attribute, method)
}

#[test]
fn a_macro_may_write_the_types_of_a_method() {
    let receiver = passed_on(quote!(&mut Self));
    let whole = passed_on(quote!(&mut MysqlConnection));
    let inner = passed_on(quote!(MysqlConnection));
    let nothing = passed_on(quote!(()));
    for conn in [quote!(#whole), quote!(&mut #inner)] {
        let taken = quote!(fn send(self: #receiver, conn: #conn) -> QueryResult<()> {});
        assert!(is_accepted(&method(quote!(), taken)));
        let named = quote!(fn send(&self, conn: #conn) -> QueryResult<()> {});
        assert!(is_accepted(&method(quote!(conn = conn), named)));
    }
    let returns_nothing = quote!(fn send(&self, conn: &mut MysqlConnection) -> #nothing {});
    assert!(!is_accepted(&method(quote!(), returns_nothing)));
}

#[test]
fn a_macro_may_write_the_text_of_an_option() {
    let text = passed_on(quote!("5s"));
    let send = quote!(
        fn send(&self, conn: &mut MysqlConnection) -> QueryResult<()> {}
    );
    let options = quote!(timeout = #text, scope = #text);
    assert!(is_accepted(&method(options, send)));
    let key = parse_quote!(
        enum Region {
            #[lock(rename = #text)]
            Europe,
        }
    );
    assert!(is_accepted(&lock_key::expand(&key)));
    let model = parse_quote!(
        #[lock(timeout = #text)]
        struct Model;
    );
    assert!(is_accepted(&lockable::expand(&model)));
}

#[test]
fn attributes_at_the_start_of_a_body_are_the_methods() {
    for receiver in [quote!(&self), quote!(&mut self)] {
        let expansion = method(
            quote!(),
            quote!(fn send(#receiver, conn: &mut MysqlConnection) -> QueryResult<()> {
                #![allow(unused)]
                Ok(())
            }),
        );
        assert!(is_accepted(&expansion));
        assert!(expansion.to_string().starts_with("# [allow (unused)]"));
    }
}

#[test]
fn the_connection_has_a_plain_name() {
    for receiver in [quote!(&self), quote!(&mut self)] {
        let with = |conn: TokenStream| {
            let send =
                quote!(fn send(#receiver, #conn: &mut MysqlConnection) -> QueryResult<()> {});
            method(quote!(), send)
        };
        assert!(is_accepted(&with(quote!(conn))));
        assert!(is_accepted(&with(quote!(mut conn))));
        assert!(!is_accepted(&with(quote!(ref conn))));
        assert!(!is_accepted(&with(quote!(conn @ _))));
    }
}

#[test]
fn a_string_has_no_suffix() {
    let send = quote!(
        fn send(&self, conn: &mut MysqlConnection) -> QueryResult<()> {}
    );
    for options in [r#"timeout = "5s"m"#, r#"scope = "a"b"#] {
        let options = options.parse().expect("tokens");
        assert!(!is_accepted(&method(options, send.clone())));
    }
}

#[test]
fn the_library_is_named_once() {
    let send = quote!(
        fn send(&self, conn: &mut MysqlConnection) -> QueryResult<()> {}
    );
    assert!(is_accepted(&method(quote!(crate = a), send.clone())));
    assert!(!is_accepted(&method(quote!(crate = a, crate = b), send)));
}

/// `r#type` and `type` are the same identifier, and so the same key.
#[test]
fn a_raw_variant_is_written_as_the_identifier_that_it_is() {
    let key = parse_quote!(
        enum Region {
            r#type,
        }
    );
    let expansion = lock_key::expand(&key).to_string();
    assert!(
        expansion.contains(r#"Self :: r#type => "type""#),
        "{expansion}"
    );
}

#[test]
fn a_path_has_no_generic_arguments() {
    for (path, accepted) in [
        ("a", true),
        ("crate::a", true),
        ("::a", true),
        ("a<B>", false),
    ] {
        let model = |text: String| syn::parse_str(&text).expect("a struct");
        for options in [
            format!("crate = {path}"),
            format!("table = {path}, key(id)"),
        ] {
            let model = model(format!("#[lock({options})] struct Model {{ id: i32 }}"));
            assert_eq!(
                is_accepted(&lockable::expand(&model)),
                accepted,
                "{options}"
            );
        }
    }
}

#[test]
fn a_flag_takes_no_value() {
    let send = quote!(
        fn send(&self, conn: &mut MysqlConnection) -> QueryResult<()> {}
    );
    assert!(is_accepted(&method(quote!(no_wait), send.clone())));
    for options in [quote!(no_wait = 3), quote!(transaction(3))] {
        // Without the check the error would be a missing comma.
        let refused = method(options, send.clone()).to_string();
        assert!(refused.contains("takes no value"), "{refused}");
    }
}

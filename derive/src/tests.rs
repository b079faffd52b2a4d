//! Regression tests: mistakes that a fuzzer found in the macros.

use proc_macro2::{Delimiter, Group, TokenStream};
use quote::quote;
use syn::{File, parse_quote};

use crate::library::Library::{self, Async, Blocking};
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
    locked::expand(Blocking, attribute, method)
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
    assert!(is_accepted(&lock_key::expand(Blocking, &key)));
    let model = parse_quote!(
        #[lock(timeout = #text)]
        struct Model;
    );
    assert!(is_accepted(&lockable::expand(Blocking, &model)));
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
    let expansion = lock_key::expand(Blocking, &key).to_string();
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
                is_accepted(&lockable::expand(Blocking, &model)),
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

/// The macro of each library takes the methods of its kind alone, and expands to its names.
#[test]
fn each_library_has_its_methods_and_its_path() {
    for receiver in [quote!(&self), quote!(&mut self)] {
        let blocking = quote!(fn send(#receiver, conn: &mut C) -> QueryResult<()> {});
        let is_async = quote!(async #blocking);
        let expand = |library: Library, method: &TokenStream| {
            locked::expand(library, quote!(conn = conn), method.clone())
        };
        for (library, method, root) in [
            (Blocking, &blocking, ":: diesel_advisory_lock ::"),
            (Async, &is_async, ":: diesel_advisory_lock_async ::"),
        ] {
            let expansion = expand(library, method);
            assert!(is_accepted(&expansion));
            let text = expansion.to_string();
            assert!(text.contains(root), "{text}");
            assert_eq!(text.contains(". await"), library == Async, "{text}");
        }
        let refused = expand(Blocking, &is_async).to_string();
        assert!(refused.contains("diesel-advisory-lock-async"), "{refused}");
        let refused = expand(Async, &blocking).to_string();
        assert!(refused.contains("must be an `async fn`"), "{refused}");
    }
    let model = parse_quote!(
        struct Model;
    );
    let key = parse_quote!(
        struct Key(i64);
    );
    for (library, root) in [
        (Blocking, ":: diesel_advisory_lock ::"),
        (Async, ":: diesel_advisory_lock_async ::"),
    ] {
        for expansion in [
            lockable::expand(library, &model),
            lock_key::expand(library, &key),
        ] {
            assert!(expansion.to_string().contains(root), "{expansion}");
        }
    }
}

#[test]
fn an_object_of_deadpool_is_a_connection_of_the_async_library() {
    let send = quote!(
        async fn send(&self, conn: &mut Object<AsyncPgConnection>) -> QueryResult<()> {}
    );
    assert!(is_accepted(&locked::expand(Async, quote!(), send)));
    let send = quote!(
        fn send(&self, conn: &mut Object<PgConnection>) -> QueryResult<()> {}
    );
    assert!(!is_accepted(&locked::expand(Blocking, quote!(), send)));
}

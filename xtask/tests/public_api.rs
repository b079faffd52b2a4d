//! The public interface, as rustdoc describes it. `cargo xtask api` runs this test, and updates the
//! listing with `--bless`.

use std::path::Path;
use std::process::Command;

use public_api::Builder;

/// A change of the interface is reviewed as a change of the listing.
fn assert_equals_the_listing(package: &str, features: &str, listing: &str) {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("a workspace");
    let target = workspace.join("target");
    let status = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(["rustdoc", "--lib", "--package", package])
        .args(["--features", features])
        .args(["--", "-Z", "unstable-options", "--output-format", "json"])
        .env("RUSTDOC", workspace.join("xtask/tests/rustdoc-of-nightly"))
        .env("CARGO_TARGET_DIR", &target)
        .current_dir(workspace)
        .status()
        .expect("cargo");
    assert!(status.success(), "cargo rustdoc: {status}");

    let json = format!("doc/{}.json", package.replace('-', "_"));
    Builder::from_rustdoc_json(target.join(json))
        .omit_blanket_impls(true)
        .omit_auto_trait_impls(true)
        .omit_auto_derived_impls(true)
        .build()
        .expect("JSON that this version of public-api reads")
        .assert_eq_or_update(workspace.join("docs").join(listing));
}

#[test]
fn public_interface_equals_the_listing() {
    let features = "uuid,chrono,time,tracing,metrics";
    assert_equals_the_listing("diesel-advisory-lock", features, "public-api.txt");
}

#[test]
fn public_interface_of_the_async_crate_equals_the_listing() {
    let features = "mysql,postgres,deadpool,bb8,uuid,chrono,time,tracing,metrics";
    assert_equals_the_listing(
        "diesel-advisory-lock-async",
        features,
        "public-api-async.txt",
    );
}

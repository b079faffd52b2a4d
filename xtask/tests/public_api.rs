//! The public interface, as rustdoc tells it. `cargo xtask api` runs this, and with `--bless` takes what is there now.

use std::collections::HashMap;
use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

use public_api::PublicApi;
use rustdoc_types::{Crate, Id, Item, ItemEnum};

const SNAPSHOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/public-api.txt");

/// A change of it is read, not overlooked.
#[test]
fn the_public_interface_is_the_one_that_was_reviewed() {
    interface().assert_eq_or_update(SNAPSHOT);
}

/// Each item by itself: a reader comes to it from a search, and not from the type's own page.
#[test]
fn every_public_item_has_an_example() {
    let file = BufReader::new(File::open(&*RUSTDOC).expect("what rustdoc says"));
    let told: Crate = serde_json::from_reader(file).expect("rustdoc's JSON");
    let parents = parents(&told);
    let is_of_a_trait = |id: Id| {
        let parent = parents.get(&id).map(|parent| &told.index[parent].inner);
        matches!(parent, Some(ItemEnum::Impl(of)) if of.trait_.is_some())
    };
    let interface = interface();
    let items: Vec<_> = interface
        .items()
        .filter_map(|item| Some((item, told.index.get(&item.id())?)))
        .filter(|(item, told)| takes_an_example(told) && !is_of_a_trait(item.id()))
        .collect();
    assert!(items.len() > 100, "only {} items were found", items.len());
    let without: Vec<_> = items
        .iter()
        .filter(|(_, told)| !told.docs.as_deref().unwrap_or_default().contains("```"))
        .map(|(item, _)| item.to_string())
        .collect();
    assert!(
        without.is_empty(),
        "{} of {} have no example:\n{}",
        without.len(),
        items.len(),
        without.join("\n")
    );
}

/// Not parts of something that has one, such as a field, nor what stands for something else.
fn takes_an_example(item: &Item) -> bool {
    !matches!(
        &item.inner,
        ItemEnum::Module(_)
            | ItemEnum::Use(_)
            | ItemEnum::Impl(_)
            | ItemEnum::StructField(_)
            | ItemEnum::Variant(_)
            | ItemEnum::AssocType { .. }
    )
}

/// The impl that an item is in.
fn parents(told: &Crate) -> HashMap<Id, Id> {
    let impls = told
        .index
        .iter()
        .filter_map(|(id, item)| match &item.inner {
            ItemEnum::Impl(of) => Some((id, of)),
            _ => None,
        });
    impls
        .flat_map(|(id, of)| of.items.iter().map(|item| (*item, *id)))
        .collect()
}

fn interface() -> PublicApi {
    public_api::Builder::from_rustdoc_json(&*RUSTDOC)
        .omit_blanket_impls(true)
        .omit_auto_trait_impls(true)
        .omit_auto_derived_impls(true)
        .build()
        .expect("the JSON of a rustdoc that this version of public-api reads")
}

/// What rustdoc says of the library, written once.
static RUSTDOC: LazyLock<PathBuf> = LazyLock::new(|| {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the workspace");
    let target = workspace.join("target");
    let status = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(["rustdoc", "--package", "diesel-advisory-lock"])
        .args(["--features", "uuid,chrono,time,tracing,metrics"])
        .args(["--", "-Z", "unstable-options", "--output-format", "json"])
        .env("RUSTDOC", workspace.join("xtask/tests/rustdoc-of-nightly"))
        .env("CARGO_TARGET_DIR", &target)
        .current_dir(workspace)
        .status()
        .expect("cargo");
    assert!(status.success(), "cargo rustdoc: {status}");
    target.join("doc/diesel_advisory_lock.json")
});

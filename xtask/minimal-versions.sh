#!/usr/bin/env bash
# Compiles the library, as it would be uploaded, with the oldest versions that its manifest allows.
set -euo pipefail
cd "$(dirname "$0")/.."
version=$(cargo pkgid --package diesel-advisory-lock | sed 's/.*[#@]//')
library=diesel-advisory-lock-$version
derive=diesel-advisory-lock-derive-$version
target=${CARGO_TARGET_DIR:-target}

cargo package --quiet --allow-dirty --no-verify \
    --package diesel-advisory-lock-derive --package diesel-advisory-lock
rm -rf target/minimal
mkdir -p target/minimal
for package in "$library" "$derive"; do
    tar -xzf "$target/package/$package.crate" -C target/minimal
    manifest=target/minimal/$package/Cargo.toml
    # Users do not compile the tests' dependencies.
    sed -i '/^\[dev-dependencies/,/^$/d' "$manifest"
    # The package lies in this workspace and is not a member of it.
    printf '\n[workspace]\n' >>"$manifest"
done

# Dependencies of the same version and features are already built there.
CARGO_TARGET_DIR=$(realpath "$target")
export CARGO_TARGET_DIR
cd "target/minimal/$library"
rm Cargo.lock
patch="patch.crates-io.diesel-advisory-lock-derive.path='../$derive'"
# The option is one of nightly compilers. Nothing is compiled with it.
RUSTC_BOOTSTRAP=1 cargo generate-lockfile --quiet -Z direct-minimal-versions --config "$patch"
cargo check --config "$patch" --features uuid,chrono,time,tracing,metrics

//! The options of the programs that xtask builds and runs. Each program's definition is included by
//! path, so that `--help` and usage errors need no build.

#[allow(dead_code, reason = "xtask reads only which server to start")]
#[path = "../../benches/src/options.rs"]
pub(crate) mod bench;

#[allow(dead_code, reason = "xtask reads only which server to start")]
#[path = "../../examples/notification/src/cli.rs"]
pub(crate) mod demo;

#[allow(dead_code, reason = "xtask reads only which server to start")]
#[path = "../../examples/axum_wallet/src/cli.rs"]
pub(crate) mod demo_async;

#[allow(dead_code, reason = "xtask reads only which server to start")]
#[path = "../../stress/src/cli.rs"]
pub(crate) mod stress;

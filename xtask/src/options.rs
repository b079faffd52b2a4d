//! The options of the programs that xtask builds and runs. They are the programs' own definitions,
//! included by path, so that `--help` and usage errors are answered before a build.

#[allow(dead_code, reason = "xtask reads only the server to start")]
#[path = "../../benches/src/options.rs"]
pub(crate) mod bench;

#[allow(dead_code, reason = "xtask reads only the server to start")]
#[path = "../../examples/notification/src/cli.rs"]
pub(crate) mod demo;

#[allow(dead_code, reason = "xtask reads only the server to start")]
#[path = "../../stress/src/cli.rs"]
pub(crate) mod stress;

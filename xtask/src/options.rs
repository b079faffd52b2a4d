//! The options of the programs that xtask builds and runs: each program's own definition, included
//! by path. So `--help` and usage errors are answered before anything is built.

#[allow(dead_code, reason = "xtask reads only which server is to be started")]
#[path = "../../benches/src/options.rs"]
pub(crate) mod bench;

#[allow(dead_code, reason = "xtask reads only which server is to be started")]
#[path = "../../examples/notification/src/cli.rs"]
pub(crate) mod demo;

#[allow(dead_code, reason = "xtask reads only which server is to be started")]
#[path = "../../stress/src/cli.rs"]
pub(crate) mod stress;

/// An address of the demo's mails: the example, not xtask, refuses a malformed one.
type Mailbox = String;

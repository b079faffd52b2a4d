//! A model of the protocol of `diesel-advisory-lock`. The model checker
//! [stateright](https://docs.rs/stateright) explores every order of its steps, with faults at every
//! step.
//!
//! | file | content |
//! |---|---|
//! | `config.rs` | the callers and their calls, the server, the faults that may happen |
//! | `database.rs` | the server: sessions, lock table with queues, transactions, one row |
//! | `state.rs` | the whole state: the server, the callers, the pool, and what the rules remember |
//! | `protocol.rs`, `protocol/` | the library's steps: a statement, and what its answer leads to |
//! | `transitions.rs` | the actions that are possible in a state, and the state after each |
//! | `rules.rs` | the rules, and the situations that must be reached |
//! | `mutant.rs` | the protections that can be taken out, and where the library has them |
//! | `scenario.rs` | what the tests explore |
//! | `checker.rs`, `trace.rs` | the search with stateright, and its result as text |
//!
//! The model shares no code with the library: it is a second description of the protocol.

pub mod checker;
pub mod config;
pub mod database;
pub mod mutant;
pub mod protocol;
pub mod rules;
pub mod scenario;
pub mod state;
pub mod trace;
pub mod transitions;

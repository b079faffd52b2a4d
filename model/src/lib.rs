//! A model of the protocol of `diesel-advisory-lock`, which the model checker [stateright] explores:
//! every order of all steps, with a fault at every step.
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

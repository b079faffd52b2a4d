mod docs;
mod exact_keys;
mod inspect;
mod keep_alive;
mod names;
mod open_transactions;
mod pgbouncer;
mod search_path;
mod server;
mod server_checks;
mod shared;
#[path = "../suite/mod.rs"]
mod suite;
mod transactions;
mod until_commit;
mod waits;

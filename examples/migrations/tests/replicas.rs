//! Eight processes run the migrations at the same time, and each migration runs once.

#[cfg(feature = "mysql")]
use diesel::MysqlConnection;
#[cfg(feature = "postgres")]
use diesel::PgConnection;
use replica::Replica;
use test_database::TestDatabase;

#[path = "../../shared/replica.rs"]
mod replica;
#[path = "../../shared/test_database.rs"]
mod test_database;

fn start(database: &TestDatabase) -> Replica {
    Replica::start(env!("CARGO_BIN_EXE_migrations"), &database.url(), &[])
}

#[test]
fn eight_replicas_run_each_migration_once() {
    TestDatabase::on_each_server("eight_replicas", |database| {
        let replicas: Vec<_> = (0..8).map(|_| start(database)).collect();
        let mut outputs: Vec<_> = replicas.into_iter().map(Replica::finish).collect();
        outputs.sort();
        let (one, others) = outputs.split_first().expect("eight outputs");
        assert_eq!(one, "3 migrations were run\n");
        assert_eq!(others, ["nothing to do\n"; 7]);
        // Later migrations would fail, or change this, if they ran twice.
        let balances = "SELECT CAST(balance AS CHAR(20)) AS value FROM migrations_example_accounts";
        assert_eq!(database.query(balances).concat().trim(), "200");

        // A replica that starts later.
        assert_eq!(start(database).finish(), "nothing to do\n");
    });
}

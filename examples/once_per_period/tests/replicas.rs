//! Several processes start the job, one of them late, and the job runs once a day.

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

fn start(database: &TestDatabase, work_seconds: &str) -> Replica {
    let variables = [("WORK_SECONDS", work_seconds)];
    Replica::start(
        env!("CARGO_BIN_EXE_once_per_period"),
        &database.url(),
        &variables,
    )
}

fn reports(database: &TestDatabase) -> usize {
    let days = database.query("SELECT day AS value FROM once_per_period_example_reports");
    days.len()
}

/// The last line of each replica.
fn finish(replicas: impl IntoIterator<Item = Replica>) -> Vec<String> {
    let outputs = replicas.into_iter().map(Replica::finish);
    let mut last: Vec<_> = outputs
        .map(|output| output.lines().last().unwrap_or_default().to_owned())
        .collect();
    last.sort();
    last
}

#[test]
fn job_runs_once_a_day_with_a_late_replica() {
    TestDatabase::on_each_server("once_a_day", |database| {
        // If the day changes meanwhile, the second run is right: begin again on the new day.
        for day in 1..=2 {
            let outputs = finish((0..4).map(|_| start(database, "1")).collect::<Vec<_>>());
            let late = start(database, "0").finish();
            let days =
                database.query("SELECT DISTINCT day AS value FROM once_per_period_example_reports");
            if days.len() > day {
                continue;
            }
            let expected = ["already done", "already done", "already done", "done"];
            assert_eq!(outputs, expected);
            assert_eq!(late, "already done\n");
            assert_eq!(reports(database), day);
            return;
        }
        panic!("the day has changed twice");
    });
}

#[test]
fn job_runs_again_on_the_next_day_only() {
    TestDatabase::on_each_server("next_day", |database| {
        assert_eq!(finish([start(database, "0")]), ["done"]);
        database.execute("UPDATE once_per_period_example_last_runs SET day = '2000-01-01'");
        assert_eq!(finish([start(database, "0")]), ["done"]);
        // The clock of the database was set back.
        database.execute("UPDATE once_per_period_example_last_runs SET day = '9999-12-31'");
        assert_eq!(finish([start(database, "0")]), ["already done"]);
        assert_eq!(reports(database), 2);
    });
}

#[test]
fn killing_the_replica_at_work_lets_a_waiting_one_run_the_job() {
    TestDatabase::on_each_server("killed_at_work", |database| {
        let mut first = start(database, "600");
        assert_eq!(first.line(), "working");
        let second = start(database, "0");
        // It waits for the lock, or is about to.
        std::thread::sleep(std::time::Duration::from_millis(300));
        first.kill();
        assert_eq!(finish([second]), ["done"]);
        assert_eq!(reports(database), 1);
    });
}

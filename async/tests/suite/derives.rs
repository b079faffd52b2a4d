//! The futures of derived methods.

use diesel::prelude::*;
use diesel_advisory_lock_async::prelude::*;
use diesel_async::RunQueryDsl;
use server_test::server_test;

use super::support::{Db, counters};
use crate::server::Conn;

/// The futures of the derived methods are `Send`, also in generic code.
#[server_test]
fn derived_methods_reload_and_run_in_tasks(db: &Db) {
    #[derive(Debug, Queryable, Selectable, Identifiable, AsChangeset, Lockable)]
    #[diesel(table_name = counters)]
    struct Model {
        id: i64,
        value: i64,
    }

    impl Model {
        async fn add_one(&mut self, conn: &mut Conn) -> QueryResult<i64> {
            self.value += 1;
            diesel::update(&*self).set(&*self).execute(conn).await?;
            Ok(self.value)
        }
    }

    db.run(async {
        db.counter(1).await;
        let mut tasks = Vec::new();
        for _ in 0..4 {
            let mut conn = db.conn().await;
            tasks.push(tokio::spawn(async move {
                let mut model = Model { id: 1, value: -1 };
                for _ in 0..5 {
                    model.with_lock(&mut conn, Model::add_one).await.unwrap();
                    let add = model.with_lock(&mut conn, async |model, conn| {
                        model.value += 1;
                        model.add_one(conn).await
                    });
                    add.await.unwrap();
                }
                let tried = model.try_with_lock(&mut conn, Model::add_one);
                drop(tried);
            }));
        }
        for task in tasks {
            task.await.unwrap();
        }
        assert_eq!(db.value(1).await, 60);
    });
}

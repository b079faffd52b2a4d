//! A nested lock reloads its model, unless the enclosing closure received that very model under
//! the same lock.

use std::borrow::Cow;
use std::panic::resume_unwind;
#[blocking]
use std::panic::{AssertUnwindSafe, catch_unwind};

use diesel::prelude::*;
use diesel_advisory_lock::prelude::*;
use server_test::{blocking, both, server_test};

use super::support::{Counter, Db, Form, Path, panics, second_lock};
use crate::api::DROP_ENDS_SESSION;
#[blocking]
use crate::api::thread;
use crate::server::Conn;

const STALE: i64 = -1;
const UNSAVED: i64 = 7;

/// Inside a transaction, a set with a second lock is refused unless that lock is held too.
fn is_refused_inside(outer: Form, inner: Form) -> bool {
    inner.is_set() && outer.is_transaction() && !outer.is_set()
}

fn inner_forms(outer: Path) -> impl Iterator<Item = Form> {
    Form::ALL
        .into_iter()
        .filter(move |inner| inner.reloads() && !is_refused_inside(outer.form, *inner))
}

#[server_test]
async fn copy_inside_an_enclosing_lock_is_reloaded_on_every_path(db: &Db) {
    db.counter(1).await;
    for outer in Path::all() {
        let mut client = outer.client(db).await;
        for inner in inner_forms(outer) {
            let mut model = Counter {
                id: 1,
                value: STALE,
            };
            let mut copy = model.clone();
            client
                .run(&mut model, async |_, conn| {
                    inner
                        .run_on(conn, &mut copy, async |copy, _| {
                            assert_eq!(copy.value, 0, "{inner:?} inside {outer:?}");
                            Ok(())
                        })
                        .await
                })
                .await
                .unwrap();
        }
    }
}

#[server_test]
async fn model_inside_its_closure_keeps_unsaved_changes_on_every_path(db: &Db) {
    db.counter(1).await;
    for outer in Path::all().filter(|path| path.form.gives_the_model()) {
        let mut client = outer.client(db).await;
        for inner in inner_forms(outer) {
            let mut model = Counter {
                id: 1,
                value: STALE,
            };
            client
                .run(&mut model, async |model, conn| {
                    model.value = UNSAVED;
                    inner
                        .run_on(conn, model, async |model, _| {
                            assert_eq!(model.value, UNSAVED, "{inner:?} inside {outer:?}");
                            Ok(())
                        })
                        .await?;
                    assert_eq!(model.value, UNSAVED, "{inner:?} inside {outer:?}");
                    Ok(())
                })
                .await
                .unwrap();
        }
    }
}

/// A guard does not borrow the model, so the library cannot distinguish a change from a copy.
#[server_test]
async fn model_under_a_guard_or_a_name_is_reloaded_on_every_path(db: &Db) {
    db.counter(1).await;
    let outers = Path::all().filter(|path| path.form.is_guard() || !path.form.reloads());
    for outer in outers {
        let mut client = outer.client(db).await;
        for inner in inner_forms(outer) {
            let mut model = Counter {
                id: 1,
                value: STALE,
            };
            client
                .run(&mut model, async |model, conn| {
                    model.value = UNSAVED;
                    inner
                        .run_on(conn, model, async |model, _| {
                            assert_eq!(model.value, 0, "{inner:?} inside {outer:?}");
                            Ok(())
                        })
                        .await
                })
                .await
                .unwrap();
        }
    }
}

#[server_test]
async fn model_inside_a_set_of_names_is_reloaded(db: &Db) {
    let mut model = db.counter(1).await;
    let names = [model.lock_name(), second_lock()];
    let conn = &mut db.conn().await;
    model.value = STALE;
    let run = lock_all(names.clone())
        .run(conn, async |_, conn| model.with_lock(conn, value).await)
        .await;
    assert_eq!(run.unwrap(), 0);
    model.value = STALE;
    let set = lock_all(names.clone());
    let run = set
        .transaction(conn, async |_, conn| model.with_lock(conn, value).await)
        .await;
    assert_eq!(run.unwrap(), 0);
}

#[both]
async fn value(model: &mut Counter, _: &mut Conn) -> Result<i64, LockError> {
    Ok(model.value)
}

#[server_test]
async fn model_inside_a_pooled_set_of_names_is_reloaded(db: &Db) {
    let mut model = db.counter(1).await;
    let names = [model.lock_name(), second_lock()];
    let locks = db.locks(1).await;
    model.value = STALE;
    let run = locks
        .run(lock_all(names.clone()), async |_, conn| {
            model.with_lock(conn, value).await
        })
        .await;
    model.value = STALE;
    let transaction = locks
        .transaction(lock_all(names.clone()), async |_, conn| {
            model.with_lock(conn, value).await
        })
        .await;
    let seen = [run, transaction];
    assert_eq!(seen.map(Result::unwrap), [0; 2]);
}

#[server_test]
async fn two_copies_in_one_set_are_both_reloaded(db: &Db) {
    let mut one = db.counter(1).await;
    one.value = STALE;
    let mut two = one.clone();
    let seen = lock_all((&mut one, &mut two))
        .run(&mut db.conn().await, async |(one, two), conn| {
            one.value = UNSAVED;
            lock_all((&mut *one, &mut *two))
                .run(conn, async |(one, two), _| {
                    Ok::<_, LockError>([one.value, two.value])
                })
                .await
        })
        .await;
    assert_eq!(seen.unwrap(), [UNSAVED, 0]);
    // One of the two again, with a copy.
    let seen = one
        .with_lock(&mut db.conn().await, async |one, conn| {
            (one.value, two.value) = (UNSAVED, STALE);
            lock_all((&mut *one, &mut two))
                .run(conn, async |(one, two), _| {
                    Ok::<_, LockError>([one.value, two.value])
                })
                .await
        })
        .await;
    assert_eq!(seen.unwrap(), [UNSAVED, 0]);
}

/// A future that moves to another thread is in the same call.
#[server_test(blocking)]
fn model_in_a_scoped_thread_keeps_unsaved_changes(db: &Db) {
    db.counter(1);
    for outer in Path::all().filter(|path| path.form.gives_the_model()) {
        outer
            .run_once(
                db,
                &mut Counter {
                    id: 1,
                    value: STALE,
                },
                |model, conn| {
                    model.value = UNSAVED;
                    let mut copy = model.clone();
                    let thread = || {
                        let kept =
                            model.with_lock(conn, |model, _| Ok::<_, LockError>(model.value))?;
                        let reloaded =
                            copy.with_lock(conn, |copy, _| Ok::<_, LockError>(copy.value))?;
                        assert_eq!((kept, reloaded), (UNSAVED, 0), "{outer:?}");
                        Ok(())
                    };
                    thread::scope(|scope| scope.spawn(thread).join().unwrap())
                },
            )
            .unwrap();
    }
}

/// In a future, the panic ends the session.
#[server_test(blocking)]
fn model_keeps_unsaved_changes_after_an_inner_panic(db: &Db) {
    db.counter(1);
    for outer in Path::all().filter(|path| path.form.gives_the_model()) {
        let mut client = outer.client(db);
        for inner in inner_forms(outer) {
            let mut model = Counter {
                id: 1,
                value: STALE,
            };
            client
                .run(&mut model, |model, conn| {
                    let panics =
                        || inner.run_on(conn, model, |_, _| resume_unwind(Box::new("on purpose")));
                    catch_unwind(AssertUnwindSafe(panics)).unwrap_err();
                    model.value = UNSAVED;
                    model.with_lock(conn, |model, _| {
                        assert_eq!(model.value, UNSAVED, "{inner:?} inside {outer:?}");
                        Ok(())
                    })
                })
                .unwrap();
        }
    }
}

#[server_test]
async fn model_is_reloaded_after_its_closure_has_ended(db: &Db) {
    let mut model = db.counter(1).await;
    let name = model.lock_name();
    let conn = &mut db.conn().await;
    let mut outer = name.lock().acquire(conn).await.unwrap();
    for form in Form::ALL {
        form.run_on(&mut outer, &mut model, async |_, _| Ok(()))
            .await
            .unwrap();
        if !DROP_ENDS_SESSION {
            let panics = panics(async || {
                form.run_on(&mut outer, &mut model, async |_, _| {
                    resume_unwind(Box::new("on purpose"))
                })
                .await
            })
            .await;
            assert!(panics);
        }
        model.value = UNSAVED;
        model
            .with_lock(&mut outer, async |model, _| {
                assert_eq!(model.value, 0, "after {form:?}");
                Ok::<_, LockError>(())
            })
            .await
            .unwrap();
    }
    outer.release().await.unwrap();
}

diesel::table! {
    pages (id) {
        id -> BigInt,
        text -> Text,
    }
}

#[derive(Clone, Queryable, Selectable, Identifiable)]
#[diesel(table_name = pages)]
struct Page<'t> {
    id: i64,
    text: Cow<'t, str>,
}

#[server_test]
async fn model_with_a_borrowed_field_is_reloaded_or_kept(db: &Db) {
    db.execute(
        "CREATE TABLE pages (id BIGINT PRIMARY KEY, text TEXT NOT NULL);
         INSERT INTO pages VALUES (1, 'stored')",
    )
    .await;
    let mut page = Page {
        id: 1,
        text: Cow::Borrowed("stale"),
    };
    let mut copy = page.clone();
    let seen = page
        .with_lock(&mut db.conn().await, async |page, conn| {
            let outer = page.text.clone();
            page.text = Cow::Borrowed("unsaved");
            let kept = page
                .with_lock(conn, async |page, _| Ok::<_, LockError>(page.text.clone()))
                .await?;
            let copy = copy
                .with_lock(conn, async |copy, _| Ok::<_, LockError>(copy.text.clone()))
                .await?;
            Ok::<_, LockError>([outer, kept, copy])
        })
        .await;
    assert_eq!(seen.unwrap(), ["stored", "unsaved", "stored"]);
}

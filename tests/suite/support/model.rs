//! The tables that every case has, and their models.

use diesel::prelude::*;
use server_test::both;

use crate::api::RunQueryDsl;
use crate::server::{Backend, Conn};

diesel::table! {
    counters (id) {
        id -> BigInt,
        value -> BigInt,
    }
}

diesel::table! {
    documents (name) {
        name -> Text,
        body -> Text,
    }
}

#[derive(
    Clone, Debug, PartialEq, Eq, Queryable, Selectable, Identifiable, Insertable, AsChangeset,
)]
#[diesel(table_name = counters, check_for_backend(Backend))]
pub(crate) struct Counter {
    pub(crate) id: i64,
    pub(crate) value: i64,
}

#[derive(Clone, Debug, PartialEq, Eq, Queryable, Selectable, Identifiable, Insertable)]
#[diesel(table_name = documents, primary_key(name), check_for_backend(Backend))]
pub(crate) struct Document {
    pub(crate) name: String,
    pub(crate) body: String,
}

#[both]
impl Counter {
    pub(crate) async fn add_one(&mut self, conn: &mut Conn) -> QueryResult<usize> {
        self.value += 1;
        self.save(conn).await
    }

    pub(crate) async fn save(&self, conn: &mut Conn) -> QueryResult<usize> {
        diesel::update(self).set(self).execute(conn).await
    }
}

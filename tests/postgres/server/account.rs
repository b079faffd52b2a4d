//! [`Account`]: an account with few privileges.

use server_test::both;

use super::Conn;
use crate::api::{Connection, block_on};
use crate::suite::support::Db;

/// An account that may use the database and nothing else.
pub(crate) struct Account<'d> {
    db: &'d Db,
    name: String,
}

#[both]
impl<'d> Account<'d> {
    pub(crate) async fn create(db: &'d Db) -> Self {
        let account = Self::create_without_reads(db).await;
        account.grant("ALL ON ALL TABLES IN SCHEMA public").await;
        account
    }

    /// Creates an account that may read no table until [`allow_reads`](Self::allow_reads).
    pub(crate) async fn create_without_reads(db: &'d Db) -> Self {
        let name = db.schema.replace("dal_test_", "weak_");
        // A server of `DATABASE_URL` may ask for the password.
        db.execute(&format!("CREATE ROLE {name} LOGIN PASSWORD '{name}'"))
            .await;
        Account { db, name }
    }

    pub(crate) async fn allow_reads(&self, table: &str) {
        self.grant(&format!("SELECT ON {table}")).await;
    }

    pub(crate) async fn forbid_reads(&self, table: &str) {
        self.revoke(&format!("SELECT ON {table}")).await;
    }

    pub(crate) async fn grant(&self, what: &str) {
        self.db
            .execute(&format!("GRANT {what} TO {}", self.name))
            .await;
    }

    async fn revoke(&self, what: &str) {
        self.db
            .execute(&format!("REVOKE {what} FROM {}", self.name))
            .await;
    }

    pub(crate) fn url(&self) -> String {
        let url = self.db.url();
        let (_, rest) = url.rsplit_once('@').unwrap();
        format!("postgres://{0}:{0}@{rest}", self.name)
    }

    pub(crate) async fn conn(&self) -> Conn {
        Conn::establish(&self.url()).await.unwrap()
    }
}

#[both]
impl Drop for Account<'_> {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            block_on(async || {
                self.db
                    .execute(&format!("DROP OWNED BY {0}; DROP ROLE {0}", self.name))
                    .await
            });
        }
    }
}

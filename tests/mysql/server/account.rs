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
        // MySQL limits a name to 32 characters.
        let name = db.schema.replace("dal_test_", "weak_");
        db.execute(&format!(
            "CREATE USER {name}@'%'; GRANT ALL ON {}.* TO {name}@'%';",
            db.schema
        ))
        .await;
        Account { db, name }
    }

    /// Creates an account that may read no table until [`allow_reads`](Self::allow_reads).
    pub(crate) async fn create_without_reads(db: &'d Db) -> Self {
        let account = Self::create(db).await;
        account.revoke(&format!("SELECT ON {}.*", db.schema)).await;
        account
    }

    /// Takes effect at once in connected sessions too, because it is a privilege of a table.
    pub(crate) async fn allow_reads(&self, table: &str) {
        self.grant(&format!("SELECT ON {}.{table}", self.db.schema))
            .await;
    }

    pub(crate) async fn forbid_reads(&self, table: &str) {
        self.revoke(&format!("SELECT ON {}.{table}", self.db.schema))
            .await;
    }

    pub(crate) async fn grant(&self, what: &str) {
        self.db
            .execute(&format!("GRANT {what} TO {}@'%'", self.name))
            .await;
    }

    async fn revoke(&self, what: &str) {
        self.db
            .execute(&format!("REVOKE {what} FROM {}@'%'", self.name))
            .await;
    }

    pub(crate) fn url(&self) -> String {
        let url = self.db.url();
        let (_, rest) = url.rsplit_once('@').unwrap();
        format!("mysql://{}@{rest}", self.name)
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
                    .execute(&format!("DROP USER {}@'%'", self.name))
                    .await
            });
        }
    }
}

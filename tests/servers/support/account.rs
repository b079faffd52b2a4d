//! [`Account`]: whoever may do less than the tests.

use diesel::prelude::*;

use super::Db;

/// An account that may use the database and nothing else.
pub(crate) struct Account<'d> {
    db: &'d Db,
    name: String,
}

impl<'d> Account<'d> {
    pub(crate) fn create(db: &'d Db) -> Self {
        // 32 characters are MySQL's limit.
        let name = db.schema.replace("dal_test_", "weak_");
        db.execute(&format!(
            "CREATE USER {name}@'%'; GRANT ALL ON {}.* TO {name}@'%';",
            db.schema
        ));
        Account { db, name }
    }

    pub(crate) fn grant(&self, what: &str) {
        self.db
            .execute(&format!("GRANT {what} TO {}@'%'", self.name));
    }

    pub(crate) fn revoke(&self, what: &str) {
        self.db
            .execute(&format!("REVOKE {what} FROM {}@'%'", self.name));
    }

    pub(crate) fn url(&self) -> String {
        let url = self.db.url();
        let (_, rest) = url.rsplit_once('@').unwrap();
        format!("mysql://{}@{rest}", self.name)
    }

    pub(crate) fn conn(&self) -> MysqlConnection {
        MysqlConnection::establish(&self.url()).unwrap()
    }
}

impl Drop for Account<'_> {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.db.execute(&format!("DROP USER {}@'%'", self.name));
        }
    }
}

//! A session of libpq, with prepared statements that take one `bigint` and return one column.

use std::ffi::{CStr, CString, c_int};
use std::ptr;

use pq_sys as ffi;

use crate::{Error, Result, message};

/// A connection to the server.
pub struct Session {
    conn: *mut ffi::PGconn,
}

impl Session {
    /// Connects to the server.
    ///
    /// # Errors
    ///
    /// Returns an error if the connection fails.
    pub fn connect(url: &str) -> Result<Self> {
        let url = CString::new(url).map_err(|error| Error(error.to_string()))?;
        // SAFETY: the text outlives the call. The handle is closed on drop.
        let conn = unsafe { ffi::PQconnectdb(url.as_ptr()) };
        let session = Self { conn };
        // SAFETY: libpq accepts its own handle, which is null if memory is exhausted.
        match unsafe { ffi::PQstatus(session.conn) } {
            ffi::ConnStatusType::CONNECTION_OK => Ok(session),
            _ => Err(session.error()),
        }
    }

    /// Executes a statement, and drops its rows.
    ///
    /// # Errors
    ///
    /// Returns an error if the server does.
    pub fn run(&self, sql: &str) -> Result<()> {
        let sql = CString::new(sql).map_err(|error| Error(error.to_string()))?;
        // SAFETY: the session is connected, and the text outlives the call.
        let result = unsafe { ffi::PQexec(self.conn, sql.as_ptr()) };
        self.read(result).map(drop)
    }

    /// Prepares a statement under a name.
    ///
    /// # Errors
    ///
    /// Returns an error if the server does.
    pub fn prepare(&self, name: &CStr, sql: &CStr) -> Result<()> {
        // SAFETY: the session is connected, and the texts outlive the call.
        let result =
            unsafe { ffi::PQprepare(self.conn, name.as_ptr(), sql.as_ptr(), 1, ptr::null()) };
        self.read(result).map(drop)
    }

    /// Executes a prepared statement, and returns whether its answer is `true`.
    ///
    /// # Errors
    ///
    /// Returns an error if the server does.
    pub fn ask(&self, name: &CStr, number: i64) -> Result<bool> {
        let bytes = number.to_be_bytes();
        const BINARY: c_int = 1;
        // SAFETY: the session is connected, and there is one value of this length, which outlives
        // the call, as do its length and format.
        let result = unsafe {
            ffi::PQexecPrepared(
                self.conn,
                name.as_ptr(),
                1,
                &bytes.as_ptr().cast(),
                &(bytes.len() as c_int),
                &BINARY,
                BINARY,
            )
        };
        self.read(result)
    }

    /// Frees the result, and returns whether the first value is `true`.
    fn read(&self, result: *mut ffi::PGresult) -> Result<bool> {
        // SAFETY: the result is valid or null, which libpq reports as an error, and is freed once.
        // A row of `ask` has one column; the value ends with a zero byte.
        let answer = unsafe {
            let answer = match ffi::PQresultStatus(result) {
                ffi::ExecStatusType::PGRES_COMMAND_OK => Some(false),
                ffi::ExecStatusType::PGRES_TUPLES_OK if ffi::PQntuples(result) == 0 => Some(false),
                ffi::ExecStatusType::PGRES_TUPLES_OK => {
                    Some(ffi::PQgetvalue(result, 0, 0).read() == 1)
                }
                _ => None,
            };
            ffi::PQclear(result);
            answer
        };
        answer.ok_or_else(|| self.error())
    }

    fn error(&self) -> Error {
        // SAFETY: libpq accepts its own handle, and the message is copied at once.
        unsafe { message(ffi::PQerrorMessage(self.conn)) }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // SAFETY: the handle is closed once.
        unsafe { ffi::PQfinish(self.conn) }
    }
}

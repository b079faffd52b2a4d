//! A session of the C client, with prepared statements that take one text and return one number. It
//! does what a C program would do to acquire and release a lock.

use std::ffi::{CStr, CString, c_char, c_ulong, c_void};
use std::mem;
use std::ptr;

use mysqlclient_sys as ffi;

#[cfg(feature = "postgres")]
pub mod postgres;

/// The error message of the client or the server.
#[derive(Debug)]
pub struct Error(pub String);

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Error {}

type Result<T> = std::result::Result<T, Error>;

/// A connection to the server.
pub struct Session {
    mysql: *mut ffi::MYSQL,
}

/// The server's address. The user is root, without a password.
#[derive(Clone, Copy)]
pub enum Address<'a> {
    /// A port of 127.0.0.1.
    Tcp(u16),
    Socket(&'a str),
}

impl Session {
    /// Connects to the server.
    ///
    /// # Errors
    ///
    /// Returns an error if the connection fails.
    pub fn connect(address: Address<'_>, schema: &str) -> Result<Self> {
        let text = |text: &str| CString::new(text).map_err(|error| Error(error.to_string()));
        let (host, port, socket) = match address {
            Address::Tcp(port) => (Some(text("127.0.0.1")?), port, None),
            Address::Socket(path) => (None, 0, Some(text(path)?)),
        };
        let (user, schema) = (text("root")?, text(schema)?);
        let or_null =
            |text: &Option<CString>| text.as_ref().map_or(ptr::null(), |text| text.as_ptr());
        // SAFETY: a null pointer makes a new handle, which is closed on drop.
        let mysql = unsafe { ffi::mysql_init(ptr::null_mut()) };
        if mysql.is_null() {
            return Err(Error("out of memory".to_owned()));
        }
        let session = Self { mysql };
        // SAFETY: the handle is fresh, and the texts outlive the call.
        let connected = unsafe {
            ffi::mysql_real_connect(
                session.mysql,
                or_null(&host),
                user.as_ptr(),
                ptr::null(),
                schema.as_ptr(),
                port.into(),
                or_null(&socket),
                0,
            )
        };
        if connected.is_null() {
            // SAFETY: the handle is valid, and the message is copied at once.
            return Err(unsafe { message(ffi::mysql_error(session.mysql)) });
        }
        Ok(session)
    }

    /// Executes a statement without a result.
    ///
    /// # Errors
    ///
    /// Returns an error if the server does.
    pub fn run(&self, sql: &str) -> Result<()> {
        let sql = CString::new(sql).map_err(|error| Error(error.to_string()))?;
        // SAFETY: the session is connected, and the text outlives the call.
        match unsafe { ffi::mysql_query(self.mysql, sql.as_ptr()) } {
            0 => Ok(()),
            // SAFETY: the handle is valid, and the message is copied at once.
            _ => Err(unsafe { message(ffi::mysql_error(self.mysql)) }),
        }
    }

    /// Prepares a statement. All of its parameters get the same text, and its last column is a
    /// number.
    ///
    /// # Errors
    ///
    /// Returns an error if the server does.
    pub fn prepare(&self, sql: &str) -> Result<Statement<'_>> {
        // SAFETY: the session is connected, and outlives the statement.
        let stmt = unsafe { ffi::mysql_stmt_init(self.mysql) };
        if stmt.is_null() {
            return Err(Error("out of memory".to_owned()));
        }
        let mut statement = Statement {
            stmt,
            buffers: Box::default(),
            _session: self,
        };
        let length = c_ulong::try_from(sql.len()).map_err(|error| Error(error.to_string()))?;
        // SAFETY: the statement is fresh, and the text has this length.
        let failed =
            unsafe { ffi::mysql_stmt_prepare(stmt, sql.as_ptr().cast::<c_char>(), length) };
        statement.check(failed != 0)?;
        statement.bind()?;
        Ok(statement)
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // SAFETY: the handle is valid, and its statements, which borrow the session, are closed.
        unsafe { ffi::mysql_close(self.mysql) }
    }
}

/// A prepared statement, bound once to its buffers.
pub struct Statement<'s> {
    stmt: *mut ffi::MYSQL_STMT,
    /// Boxed, because the client keeps their addresses.
    buffers: Box<Buffers>,
    _session: &'s Session,
}

struct Buffers {
    text: [u8; 64],
    text_length: c_ulong,
    /// The columns before the last, which overwrite each other.
    ignored: [u8; 64],
    number: i64,
    is_null: ffi::my_bool,
}

impl Default for Buffers {
    fn default() -> Self {
        Self {
            text: [0; 64],
            text_length: 0,
            ignored: [0; 64],
            number: 0,
            is_null: ffi::FALSE,
        }
    }
}

impl Statement<'_> {
    fn bind(&mut self) -> Result<()> {
        let buffers = &mut *self.buffers;
        // SAFETY: the statement is prepared.
        let (params, columns) = unsafe {
            (
                ffi::mysql_stmt_param_count(self.stmt) as usize,
                ffi::mysql_stmt_field_count(self.stmt) as usize,
            )
        };
        let mut params: Vec<_> = (0..params).map(|_| empty_binding()).collect();
        for param in &mut params {
            param.buffer_type = ffi::enum_field_types::MYSQL_TYPE_STRING;
            param.buffer = (&raw mut buffers.text).cast::<c_void>();
            param.length = &raw mut buffers.text_length;
        }
        let mut columns: Vec<_> = (0..columns).map(|_| empty_binding()).collect();
        if let Some((last, others)) = columns.split_last_mut() {
            for other in others {
                other.buffer_type = ffi::enum_field_types::MYSQL_TYPE_STRING;
                other.buffer = (&raw mut buffers.ignored).cast::<c_void>();
                other.buffer_length = buffers.ignored.len() as c_ulong;
            }
            last.buffer_type = ffi::enum_field_types::MYSQL_TYPE_LONGLONG;
            last.buffer = (&raw mut buffers.number).cast::<c_void>();
            last.is_null = &raw mut buffers.is_null;
        }
        // SAFETY: there is a binding for each parameter and column, and the client copies them. The
        // buffers live as long as the statement.
        let failed = unsafe {
            ffi::mysql_stmt_bind_param(self.stmt, params.as_mut_ptr()) != ffi::FALSE
                || ffi::mysql_stmt_bind_result(self.stmt, columns.as_mut_ptr()) != ffi::FALSE
        };
        self.check(failed)
    }

    /// Executes the statement with a text of at most 64 bytes, and returns its number.
    ///
    /// # Errors
    ///
    /// Returns an error if the text is too long or the execution fails.
    pub fn ask(&mut self, text: &str) -> Result<Option<i64>> {
        let Some(buffer) = self.buffers.text.get_mut(..text.len()) else {
            return Err(Error(format!("`{text}` is too long")));
        };
        buffer.copy_from_slice(text.as_bytes());
        // At most 64.
        self.buffers.text_length = text.len() as c_ulong;
        // SAFETY: the statement is prepared and bound; each result is read to its end and freed.
        let failed = unsafe {
            ffi::mysql_stmt_execute(self.stmt) != 0
                || ffi::mysql_stmt_fetch(self.stmt) != 0
                || ffi::mysql_stmt_free_result(self.stmt) != ffi::FALSE
        };
        self.check(failed)?;
        Ok((self.buffers.is_null == ffi::FALSE).then_some(self.buffers.number))
    }

    fn check(&self, failed: bool) -> Result<()> {
        if !failed {
            return Ok(());
        }
        // SAFETY: the statement is valid, and the message is copied at once.
        Err(unsafe { message(ffi::mysql_stmt_error(self.stmt)) })
    }
}

impl Drop for Statement<'_> {
    fn drop(&mut self) {
        // SAFETY: the statement is valid, and its session, which it borrows, is open.
        unsafe {
            ffi::mysql_stmt_close(self.stmt);
        }
    }
}

fn empty_binding() -> ffi::MYSQL_BIND {
    // SAFETY: the C API documents a binding of zeros as the initial state.
    unsafe { mem::zeroed() }
}

/// # Safety
///
/// `text` must be a valid C string.
unsafe fn message(text: *const c_char) -> Error {
    // SAFETY: the caller guarantees it.
    Error(
        unsafe { CStr::from_ptr(text) }
            .to_string_lossy()
            .into_owned(),
    )
}

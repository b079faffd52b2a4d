//! The first messages of PostgreSQL's protocol. The client sends the first one, and a server that
//! is ready lets it log in.

mod scram;

use std::env;
use std::io::{self, Read, Write};

use scram::Scram;

/// Version 3.0 of the protocol, which all servers support.
const PROTOCOL: u32 = 3 << 16;

/// The message Terminate: its type and its length.
const TERMINATE: [u8; 5] = [b'X', 0, 0, 0, 4];

/// Who logs in, and where.
pub(crate) struct Account {
    pub(crate) user: String,
    password: Option<String>,
    pub(crate) database: String,
}

impl Account {
    /// The account of an address such as `postgres://user@host/database`; `None` if the address is
    /// that of another kind of server.
    pub(crate) fn of_url(url: &str) -> Option<Self> {
        let (scheme, rest) = url.split_once("://")?;
        if !["postgres", "postgresql"].contains(&scheme) {
            return None;
        }
        let rest = rest.split('?').next().unwrap_or_default();
        let (server, database) = rest.split_once('/').unwrap_or((rest, ""));
        let (account, _) = server.rsplit_once('@').unwrap_or_default();
        let (user, password) = match account.split_once(':') {
            Some((user, password)) => (user, Some(decoded(password))),
            None => (account, None),
        };
        // The client library's defaults.
        let user = match user {
            "" => env::var("USER").unwrap_or_else(|_| "root".to_owned()),
            user => decoded(user),
        };
        let database = match database {
            "" => user.clone(),
            database => decoded(database),
        };
        Some(Self {
            user,
            password,
            database,
        })
    }
}

/// Replaces `%40` and the like.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let code = after.get(..2).and_then(|code| str::from_utf8(code).ok());
        let code = code.and_then(|code| u8::from_str_radix(code, 16).ok());
        let (byte, after) = match code {
            Some(code) if first == b'%' => (code, &after[2..]),
            _ => (first, after),
        };
        bytes.push(byte);
        rest = after;
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// That of a private server.
impl Default for Account {
    fn default() -> Self {
        Self {
            user: "root".to_owned(),
            password: None,
            database: "postgres".to_owned(),
        }
    }
}

/// Logs in and returns the server's version, such as `15.18 (Debian 15.18-0+deb12u1)`.
pub(crate) fn version(mut stream: impl Read + Write, account: &Account) -> io::Result<String> {
    stream.write_all(&startup(account))?;
    let (mut version, login) = (None, Login::new(account));
    loop {
        let (kind, body) = message(&mut stream)?;
        match kind {
            // Authentication.
            b'R' => {
                if let Some(answer) = login.answer(&body)? {
                    stream.write_all(&framed(Some(b'p'), &answer))?;
                }
            }
            // ParameterStatus.
            b'S' => version = version.or_else(|| server_version(&body)),
            // ErrorResponse.
            b'E' => {
                return Err(io::Error::other(format!(
                    "the server refuses connections: {}",
                    error_message(&body)
                )));
            }
            // ReadyForQuery.
            b'Z' => {
                stream.write_all(&TERMINATE)?;
                return version.ok_or_else(|| invalid("the server reports no version"));
            }
            // NoticeResponse, BackendKeyData.
            b'N' | b'K' => {}
            _ => return Err(invalid("not the answer of a PostgreSQL server")),
        }
    }
}

fn startup(account: &Account) -> Vec<u8> {
    let mut body = PROTOCOL.to_be_bytes().to_vec();
    for word in ["user", &account.user, "database", &account.database, ""] {
        body.extend(word.as_bytes());
        body.push(0);
    }
    framed(None, &body)
}

/// A message of this type. The first message of a session has none.
fn framed(kind: Option<u8>, body: &[u8]) -> Vec<u8> {
    // The length counts itself.
    let length = u32::try_from(body.len() + 4).unwrap_or(u32::MAX);
    let mut message = Vec::from_iter(kind);
    message.extend(length.to_be_bytes());
    message.extend(body);
    message
}

/// Answers a server's requests for a password.
struct Login<'a> {
    account: &'a Account,
    scram: Option<Scram>,
}

impl<'a> Login<'a> {
    fn new(account: &'a Account) -> Self {
        let scram = account.password.as_deref().map(Scram::new);
        Self { account, scram }
    }

    /// The answer to a message AuthenticationOk or a request, which begins with a number.
    fn answer(&self, request: &[u8]) -> io::Result<Option<Vec<u8>>> {
        let (kind, rest) = request.split_first_chunk().unwrap_or((&[0xff; 4], &[]));
        let kind = u32::from_be_bytes(*kind);
        // The server lets the account in, or proves that it knows the password as well.
        if [0, 12].contains(&kind) {
            return Ok(None);
        }
        let (Some(password), Some(scram)) = (&self.account.password, &self.scram) else {
            return Err(self.refused("asks for a password"));
        };
        match kind {
            3 => Ok(Some([password.as_bytes(), b"\0"].concat())),
            10 if rest
                .split(|&byte| byte == 0)
                .any(|name| name == scram::NAME) =>
            {
                let first = scram.first();
                let length = u32::try_from(first.len()).unwrap_or(u32::MAX);
                let name = [scram::NAME, b"\0"].concat();
                Ok(Some(
                    [&name, &length.to_be_bytes()[..], first.as_bytes()].concat(),
                ))
            }
            11 => {
                let last = str::from_utf8(rest)
                    .ok()
                    .and_then(|first| scram.last(first));
                let last = last.ok_or_else(|| invalid("not a message of SCRAM-SHA-256"))?;
                Ok(Some(last.into_bytes()))
            }
            _ => Err(self.refused("asks for another proof than SCRAM-SHA-256 or a password")),
        }
    }

    fn refused(&self, what: &str) -> io::Error {
        let text = format!("the server {what} of {}", self.account.user);
        io::Error::new(io::ErrorKind::PermissionDenied, text)
    }
}

/// Reads the type and the content of a message.
fn message(stream: &mut impl Read) -> io::Result<(u8, Vec<u8>)> {
    let mut header = [0; 5];
    stream.read_exact(&mut header)?;
    let [kind, length @ ..] = header;
    // Another protocol may give any length.
    let length = match u32::from_be_bytes(length) {
        length @ 4..=65_535 => u64::from(length) - 4,
        _ => return Err(invalid("not the answer of a PostgreSQL server")),
    };
    let mut body = Vec::new();
    stream.take(length).read_to_end(&mut body)?;
    Ok((kind, body))
}

fn server_version(parameter: &[u8]) -> Option<String> {
    let mut words = parameter.split(|&byte| byte == 0);
    (words.next()? == b"server_version")
        .then(|| String::from_utf8_lossy(words.next().unwrap_or_default()).into_owned())
}

/// The code and the text of an error, whose fields each begin with a letter.
fn error_message(body: &[u8]) -> String {
    let field = |letter: u8| {
        let mut fields = body.split(|&byte| byte == 0);
        let field = fields.find_map(|field| field.strip_prefix(&[letter]));
        String::from_utf8_lossy(field.unwrap_or_default()).into_owned()
    };
    format!("{} {}", field(b'C'), field(b'M'))
}

fn invalid(message: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A server whose answers are known, and what it has received.
    struct Script(io::Cursor<Vec<u8>>, Vec<u8>);

    impl Script {
        fn of(messages: &[(u8, &[u8])]) -> Self {
            let mut bytes = Vec::new();
            for (kind, body) in messages {
                let length = u32::try_from(body.len() + 4).expect("a short message");
                bytes.push(*kind);
                bytes.extend(length.to_be_bytes());
                bytes.extend(*body);
            }
            Self(io::Cursor::new(bytes), Vec::new())
        }
    }

    impl Read for Script {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.0.read(buffer)
        }
    }

    impl Write for Script {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.1.write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn answer(messages: &[(u8, &[u8])]) -> io::Result<String> {
        version(&mut Script::of(messages), &Account::default())
    }

    #[test]
    fn account_of_an_address_has_its_parts_or_the_defaults() {
        for (url, user, password, database) in [
            ("postgres://root@127.0.0.1:5433/app", "root", None, "app"),
            (
                "postgresql://a%40b:p%3A@db.example/app?sslmode=disable",
                "a@b",
                Some("p:"),
                "app",
            ),
            ("postgres://me@[::1]", "me", None, "me"),
        ] {
            let account = Account::of_url(url).expect(url);
            assert_eq!((&*account.user, &*account.database), (user, database));
            assert_eq!(account.password.as_deref(), password);
        }
        assert!(Account::of_url("mysql://root@127.0.0.1/app").is_none());
    }

    #[test]
    fn version_is_read_and_the_session_ended() {
        let mut server = Script::of(&[
            (b'R', &[0; 4]),
            (b'S', b"client_encoding\0UTF8\0"),
            (b'S', b"server_version\x0018.1 (Debian 18.1-2)\0"),
            (b'K', &[0; 8]),
            (b'Z', b"I"),
        ]);
        let version = version(&mut server, &Account::default());
        assert_eq!(version.expect("a version"), "18.1 (Debian 18.1-2)");
        let sent = b"\0\0\0\x25\0\x03\0\0user\0root\0database\0postgres\0\0X\0\0\0\x04";
        assert_eq!(server.1, sent);
    }

    #[test]
    fn refusal_is_an_error_with_its_text() {
        let starting = b"SFATAL\0C57P03\0Mthe database system is starting up\0\0";
        let error = answer(&[(b'E', starting)]).expect_err("a refusal");
        let expected = "57P03 the database system is starting up";
        assert!(error.to_string().contains(expected), "{error}");
    }

    #[test]
    fn request_for_a_password_is_an_error() {
        let error = answer(&[(b'R', &[0, 0, 0, 10])]).expect_err("a question");
        assert_eq!(error.kind(), io::ErrorKind::PermissionDenied);
    }

    #[test]
    fn other_protocol_is_an_error() {
        let mut ssh = Script(io::Cursor::new(b"SSH-2.0-OpenSSH_9.2\r\n".into()), vec![]);
        assert!(version(&mut ssh, &Account::default()).is_err());
        assert!(answer(&[]).is_err());
    }
}

//! Real mails: files in an outbox directory, or SMTP.

use std::fmt;
use std::path::PathBuf;

use lettre::message::Mailbox;
use lettre::message::header::{ContentType, HeaderName, HeaderValue};
use lettre::transport::{file, smtp};
use lettre::{FileTransport, Message, SmtpTransport, Transport};

use crate::cli::WorkerOptions;
use crate::outbox;

/// The header with the notification's id, by which [`outbox`] counts mails.
pub(crate) const NOTIFICATION_ID: &str = "Notification-Id";

/// The mail server to use, such as `smtps://user:password@mail.example.org`.
pub(crate) fn smtp_url() -> Option<String> {
    std::env::var("SMTP_URL").ok()
}

/// Sends mails to the administrators.
pub(crate) struct Mailer {
    from: Mailbox,
    to: Mailbox,
    transport: MailTransport,
}

enum MailTransport {
    Outbox {
        directory: PathBuf,
        files: FileTransport,
    },
    Smtp(SmtpTransport),
}

impl Mailer {
    /// To the outbox if there is one, and otherwise to the mail server of `SMTP_URL`.
    pub(crate) fn new(options: &WorkerOptions) -> Result<Self, MailError> {
        let transport = match (&options.outbox, smtp_url()) {
            (Some(directory), _) => MailTransport::Outbox {
                directory: directory.clone(),
                files: FileTransport::new(directory),
            },
            (None, Some(url)) => {
                let smtp = SmtpTransport::from_url(&url).map_err(MailError::SmtpUrl)?;
                MailTransport::Smtp(smtp.build())
            }
            (None, None) => return Err(MailError::Nowhere),
        };
        Ok(Self {
            from: options.from.clone(),
            to: options.to.clone(),
            transport,
        })
    }

    /// Whether mails can be sent at all, before a whole race fails on it.
    pub(crate) fn check(&self) -> Result<(), MailError> {
        match &self.transport {
            MailTransport::Outbox { .. } => Ok(()),
            MailTransport::Smtp(smtp) => match smtp.test_connection() {
                Ok(true) => Ok(()),
                Ok(false) => Err(MailError::SmtpSilent),
                Err(source) => Err(MailError::SmtpConnect(source)),
            },
        }
    }

    pub(crate) fn mail_admins(&self, notification: i64, text: &str) -> Result<(), MailError> {
        let id = HeaderName::new_from_ascii_str(NOTIFICATION_ID);
        let mut mail = Message::builder()
            .from(self.from.clone())
            .to(self.to.clone())
            .subject("Notification")
            .header(ContentType::TEXT_PLAIN)
            .body(text.to_owned())?;
        mail.headers_mut()
            .insert_raw(HeaderValue::new(id, notification.to_string()));
        match &self.transport {
            MailTransport::Outbox { directory, files } => {
                files.send(&mail).map_err(|source| MailError::Outbox {
                    directory: directory.clone(),
                    source,
                })?;
            }
            MailTransport::Smtp(smtp) => {
                smtp.send(&mail).map_err(MailError::SmtpSend)?;
            }
        }
        Ok(())
    }
}

/// Where the mails go; without the URL, which may hold a password.
impl fmt::Display for Mailer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.transport {
            MailTransport::Outbox { directory, .. } => {
                write!(f, "{}, as .eml files", outbox::shown(directory))
            }
            MailTransport::Smtp(_) => write!(f, "the mail server of SMTP_URL, for {}", self.to),
        }
    }
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum MailError {
    #[error("there is neither an outbox nor a mail server; give --outbox or set SMTP_URL")]
    Nowhere,

    #[error("a mail could not be composed")]
    Compose(#[from] lettre::error::Error),

    #[error("a mail could not be written to the outbox {directory}; is there space, and may this user write there?", directory = .directory.display())]
    Outbox {
        directory: PathBuf,
        source: file::Error,
    },

    #[error(
        "SMTP_URL is not understood; write smtp://user:password@host:port for plain SMTP, the same with ?tls=required for STARTTLS, or smtps://user:password@host"
    )]
    SmtpUrl(#[source] smtp::Error),

    #[error(
        "the mail server of SMTP_URL cannot be used; check host, port, user and password, or unset SMTP_URL to write mails to files"
    )]
    SmtpConnect(#[source] smtp::Error),

    #[error(
        "the server of SMTP_URL closed the connection; is it a mail server, and is this its SMTP port?"
    )]
    SmtpSilent,

    #[error(
        "the mail server of SMTP_URL did not take a mail; check that it accepts --from and --to, and this many mails"
    )]
    SmtpSend(#[source] smtp::Error),
}

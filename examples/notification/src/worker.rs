//! A worker process: threads that all try to send every notification.

use std::io::{self, Write};
use std::process::{self, ExitCode};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::Instant;

use diesel::prelude::*;
use diesel::r2d2::{ConnectionManager, Pool, PoolError, PooledConnection};
use diesel_advisory_lock::prelude::*;

use crate::causes::Causes;
use crate::cli::WorkerOptions;
use crate::database::DATABASE_URL;
use crate::mail::{MailError, Mailer};
use crate::model::{Delivery, Notification, SendError};
use crate::protocol::{Attempt, Order, Outcome, Report, UnknownLine};
use crate::schema::notifications;

type MysqlPool = Pool<ConnectionManager<MysqlConnection>>;

pub(crate) fn main(options: &WorkerOptions) -> ExitCode {
    match run(options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => give_up(&error),
    }
}

fn run(options: &WorkerOptions) -> Result<(), WorkerError> {
    let orders = orders();
    let mailer = Mailer::new(options)?;
    let url = std::env::var(DATABASE_URL).map_err(WorkerError::Url)?;
    let Order::Load(ids) = next(&orders)? else {
        return Err(WorkerError::Order);
    };

    let threads = options.threads;
    let pool = Pool::builder()
        .max_size(threads)
        .build(ConnectionManager::new(url))?;
    let racers = (0..threads)
        .map(|_| Racer::new(&pool, &ids, &mailer, options.without_lock))
        .collect::<Result<Vec<_>, _>>()?;

    tell(&Report::Ready)?;
    let Order::Go = next(&orders)? else {
        return Err(WorkerError::Order);
    };
    thread::scope(|scope| {
        for racer in racers {
            scope.spawn(|| racer.race().unwrap_or_else(|error| give_up(&error)));
        }
    });
    Ok(())
}

/// What one thread has: a connection of its own, and rows as they were before the race began.
struct Racer<'a> {
    conn: PooledConnection<ConnectionManager<MysqlConnection>>,
    notifications: Vec<Notification>,
    mailer: &'a Mailer,
    without_lock: bool,
}

impl<'a> Racer<'a> {
    fn new(
        pool: &MysqlPool,
        ids: &[i64],
        mailer: &'a Mailer,
        without_lock: bool,
    ) -> Result<Self, WorkerError> {
        let mut conn = pool.get()?;
        let notifications = notifications::table
            .filter(notifications::id.eq_any(ids))
            .order(notifications::id)
            .select(Notification::as_select())
            .load(&mut conn)
            .map_err(SendError::Database)?;
        Ok(Self {
            conn,
            notifications,
            mailer,
            without_lock,
        })
    }

    fn race(mut self) -> Result<(), WorkerError> {
        for mut notification in std::mem::take(&mut self.notifications) {
            let attempt = self.attempt(&mut notification)?;
            tell(&Report::Attempt(attempt))?;
        }
        Ok(())
    }

    fn attempt(&mut self, notification: &mut Notification) -> Result<Attempt, SendError> {
        let asked = Instant::now();
        let delivery = if self.without_lock {
            self.send_without_lock(notification)
        } else {
            notification.send(&mut self.conn, self.mailer)
        };
        let (outcome, waited) = match delivery {
            Ok(Delivery {
                mailed: true,
                begun,
            }) => (Outcome::Sent, begun - asked),
            Ok(Delivery {
                mailed: false,
                begun,
            }) => (Outcome::Refused, begun - asked),
            Err(SendError::Lock(LockError::Timeout { waited, .. })) => (Outcome::TimedOut, waited),
            Err(error) => return Err(error),
        };
        Ok(Attempt {
            outcome,
            notification: notification.id,
            waited,
        })
    }

    /// All that `send` does but for the lock: the row is read again too, so that mails are
    /// doubled by the race alone.
    fn send_without_lock(
        &mut self,
        notification: &mut Notification,
    ) -> Result<Delivery, SendError> {
        *notification = notifications::table
            .find(notification.id)
            .select(Notification::as_select())
            .first(&mut self.conn)?;
        notification.send_without_lock(&mut self.conn, self.mailer)
    }
}

/// The coordinator's orders. When it is gone, for whatever reason, this process ends.
fn orders() -> Receiver<Result<Order, UnknownLine>> {
    let (sender, orders) = mpsc::channel();
    thread::spawn(move || {
        for line in io::stdin().lines().map_while(Result::ok) {
            // Nobody listens any more once the race is on.
            let _ = sender.send(line.parse());
        }
        process::exit(1)
    });
    orders
}

fn next(orders: &Receiver<Result<Order, UnknownLine>>) -> Result<Order, WorkerError> {
    Ok(orders.recv().map_err(|_| WorkerError::Order)??)
}

/// A line of its own, whole and at once, whichever thread it comes from.
fn tell(report: &Report) -> Result<(), WorkerError> {
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "{report}")
        .and_then(|()| stdout.flush())
        .map_err(WorkerError::Tell)
}

/// The first error of any thread ends the process; what it held, the server frees.
fn give_up(error: &WorkerError) -> ! {
    // If nobody hears it, there is nobody to tell.
    let _ = tell(&Report::Failed(Causes(error).to_string()));
    process::exit(1)
}

#[derive(Debug, thiserror::Error)]
enum WorkerError {
    #[error("a worker is started by the program itself: run it without `worker`")]
    Url(#[source] std::env::VarError),

    #[error("the coordinator's order came at the wrong time")]
    Order,

    #[error("the coordinator's order is wrong")]
    Line(#[from] UnknownLine),

    #[error("the coordinator cannot be told")]
    Tell(#[source] io::Error),

    #[error(
        "no connection to the database; does the server allow one for each thread (max_connections)?"
    )]
    Pool(#[from] PoolError),

    #[error(transparent)]
    Mail(#[from] MailError),

    #[error(transparent)]
    Send(#[from] SendError),
}

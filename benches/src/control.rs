//! [`Control`]: a fixed statement of the C client, whose time shows what disturbs the machine.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use crate::database::{Database, RawSession, Transport};

/// A session that takes no lock.
pub(crate) struct Control {
    session: RawSession,
}

/// Before the control is measured: a processor that was idle is slower at first.
const WARM_UP: Duration = Duration::from_millis(3);
const TIME: Duration = Duration::from_millis(8);

impl Control {
    pub(crate) fn connect(database: &Database) -> Result<Self> {
        let session = database.by(Transport::Tcp).raw_session()?;
        #[cfg(feature = "postgres")]
        session.prepare(c"control", c"SELECT $1 = 1::bigint")?;
        Ok(Self { session })
    }

    /// Returns the mean time of the statement, in microseconds.
    pub(crate) fn micros(&self) -> Result<f64> {
        #[cfg(feature = "postgres")]
        let is_one = || self.session.ask(c"control", 1);
        #[cfg(not(feature = "postgres"))]
        let mut statement = self.session.prepare("SELECT LENGTH(?)")?;
        #[cfg(not(feature = "postgres"))]
        let mut is_one = || statement.ask("1").map(|answer| answer == Some(1));
        mean_micros(|| {
            ensure!(is_one()?, "another answer");
            Ok(())
        })
    }
}

fn mean_micros(mut ask: impl FnMut() -> Result<()>) -> Result<f64> {
    let mut repeat = |time| {
        let start = Instant::now();
        let mut count = 0_u32;
        while start.elapsed() < time {
            ask()?;
            count += 1;
        }
        anyhow::Ok(start.elapsed().as_secs_f64() * 1e6 / f64::from(count))
    };
    repeat(WARM_UP)?;
    repeat(TIME)
}

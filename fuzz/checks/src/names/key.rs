//! Keys of every type, and their text by `docs/lock-names.md`.

use std::fmt;

use arbitrary::{Arbitrary, Result, Unstructured};
use chrono::{DateTime, FixedOffset, NaiveDate};
use diesel_advisory_lock::{KeyParts, LockKey};
use time::{Date, Month, PrimitiveDateTime, Time, UtcOffset};
use uuid::Uuid;

use crate::text::Text;

/// A key of as many columns as there are parts.
pub(super) struct Key<'p>(pub(super) Vec<&'p Part>);

/// A column's value.
#[derive(Arbitrary, Debug)]
pub(super) enum Part {
    Text(Text),
    /// By `Display`, a character at a time.
    Shown(Text),
    Integer(Integer),
    Bool(bool),
    Bytes(Vec<u8>),
    Uuid([u8; 16]),
    Date(Moment, Library),
    Time(Moment, Library),
    DateTime(Moment, Library),
    Offset(Moment, Library, i8),
}

#[derive(Arbitrary, Debug)]
pub(super) enum Integer {
    I8(i8),
    U8(u8),
    I32(i32),
    U64(u64),
    I128(i128),
    U128(u128),
}

#[derive(Arbitrary, Clone, Copy, Debug)]
pub(super) enum Library {
    Chrono,
    Time,
}

/// A valid date and time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moment {
    year: i32,
    month: u8,
    day: u8,
    hour: u8,
    minute: u8,
    second: u8,
    nanosecond: u32,
}

impl<'a> Arbitrary<'a> for Moment {
    fn arbitrary(bytes: &mut Unstructured<'a>) -> Result<Self> {
        Ok(Moment {
            // An offset may not lead out of the years that a column can hold.
            year: bytes.int_in_range(1..=9998)?,
            month: bytes.int_in_range(1..=12)?,
            day: bytes.int_in_range(1..=28)?,
            hour: bytes.int_in_range(0..=23)?,
            minute: bytes.int_in_range(0..=59)?,
            second: bytes.int_in_range(0..=59)?,
            nanosecond: match bytes.arbitrary()? {
                true => bytes.int_in_range(0..=999_999_999)?,
                false => 0,
            },
        })
    }
}

impl LockKey for Key<'_> {
    fn write_parts(&self, parts: &mut KeyParts<'_>) {
        for part in &self.0 {
            part.write_parts(parts);
        }
    }
}

impl LockKey for Part {
    fn write_parts(&self, parts: &mut KeyParts<'_>) {
        match self {
            Part::Text(text) => text.0.write_parts(parts),
            Part::Shown(text) => parts.display(Slowly(&text.0)),
            Part::Integer(integer) => match integer {
                Integer::I8(integer) => integer.write_parts(parts),
                Integer::U8(integer) => integer.write_parts(parts),
                Integer::I32(integer) => integer.write_parts(parts),
                Integer::U64(integer) => integer.write_parts(parts),
                Integer::I128(integer) => integer.write_parts(parts),
                Integer::U128(integer) => integer.write_parts(parts),
            },
            Part::Bool(bool) => bool.write_parts(parts),
            Part::Bytes(bytes) => bytes.write_parts(parts),
            Part::Uuid(bytes) => Uuid::from_bytes(*bytes).write_parts(parts),
            Part::Date(moment, Library::Chrono) => moment.chrono().date().write_parts(parts),
            Part::Date(moment, Library::Time) => moment.time().date().write_parts(parts),
            Part::Time(moment, Library::Chrono) => moment.chrono().time().write_parts(parts),
            Part::Time(moment, Library::Time) => moment.time().time().write_parts(parts),
            Part::DateTime(moment, Library::Chrono) => moment.chrono().write_parts(parts),
            Part::DateTime(moment, Library::Time) => moment.time().write_parts(parts),
            Part::Offset(moment, Library::Chrono, minutes) => {
                let offset = FixedOffset::east_opt(i32::from(*minutes) * 60).expect("two hours");
                DateTime::<FixedOffset>::from_naive_utc_and_offset(moment.chrono(), offset)
                    .write_parts(parts);
            }
            Part::Offset(moment, Library::Time, minutes) => {
                let offset = UtcOffset::from_whole_seconds(i32::from(*minutes) * 60);
                let moment = moment.time().assume_utc();
                moment
                    .to_offset(offset.expect("two hours"))
                    .write_parts(parts);
            }
        }
    }
}

impl Part {
    /// The page's table of key texts.
    pub(super) fn as_documented(&self) -> String {
        match self {
            Part::Text(text) | Part::Shown(text) => text.0.clone(),
            Part::Integer(integer) => match integer {
                Integer::I8(integer) => integer.to_string(),
                Integer::U8(integer) => integer.to_string(),
                Integer::I32(integer) => integer.to_string(),
                Integer::U64(integer) => integer.to_string(),
                Integer::I128(integer) => integer.to_string(),
                Integer::U128(integer) => integer.to_string(),
            },
            Part::Bool(bool) => u8::from(*bool).to_string(),
            Part::Bytes(bytes) => hex(bytes),
            Part::Uuid(bytes) => hex(bytes),
            Part::Date(moment, _) => moment.date(),
            Part::Time(moment, _) => moment.clock(),
            Part::DateTime(moment, _) | Part::Offset(moment, ..) => {
                moment.date() + "T" + &moment.clock()
            }
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

impl Moment {
    fn chrono(self) -> chrono::NaiveDateTime {
        NaiveDate::from_ymd_opt(self.year, self.month.into(), self.day.into())
            .and_then(|date| {
                date.and_hms_nano_opt(
                    self.hour.into(),
                    self.minute.into(),
                    self.second.into(),
                    self.nanosecond,
                )
            })
            .expect("a valid moment")
    }

    fn time(self) -> PrimitiveDateTime {
        let month = Month::try_from(self.month).expect("a valid month");
        PrimitiveDateTime::new(
            Date::from_calendar_date(self.year, month, self.day).expect("a valid date"),
            Time::from_hms_nano(self.hour, self.minute, self.second, self.nanosecond)
                .expect("a valid time"),
        )
    }

    fn date(self) -> String {
        format!("{:04}-{:02}-{:02}", self.year, self.month, self.day)
    }

    fn clock(self) -> String {
        let whole = format!("{:02}:{:02}:{:02}", self.hour, self.minute, self.second);
        match self.nanosecond / 1_000 {
            0 => whole,
            micros => format!("{whole}.{micros:06}"),
        }
    }
}

/// Many writes, however short the text.
struct Slowly<'t>(&'t str);

impl fmt::Display for Slowly<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|char| write!(f, "{char}"))
    }
}

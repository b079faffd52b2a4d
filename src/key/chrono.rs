//! The types of `chrono`. A zoned date-time is written as UTC, which is what a column stores.

use chrono::{DateTime, Datelike, NaiveDate, NaiveDateTime, NaiveTime, TimeZone, Timelike};

use super::parts::KeyParts;
use super::{LockKey, calendar};

impl From<NaiveDate> for calendar::Date {
    fn from(date: NaiveDate) -> Self {
        calendar::Date {
            year: date.year(),
            month: date.month(),
            day: date.day(),
        }
    }
}

impl From<NaiveTime> for calendar::Time {
    fn from(time: NaiveTime) -> Self {
        // A leap second is second 59 with more than a second of nanoseconds.
        let microseconds = time.nanosecond() / 1_000;
        calendar::Time {
            hour: time.hour(),
            minute: time.minute(),
            second: time.second() + microseconds / 1_000_000,
            microsecond: microseconds % 1_000_000,
        }
    }
}

impl From<NaiveDateTime> for calendar::DateTime {
    fn from(moment: NaiveDateTime) -> Self {
        calendar::DateTime(moment.date().into(), moment.time().into())
    }
}

keys!(NaiveDate => |key, parts| parts.display(calendar::Date::from(*key)));
keys!(NaiveTime => |key, parts| parts.display(calendar::Time::from(*key)));
keys!(NaiveDateTime => |key, parts| parts.display(calendar::DateTime::from(*key)));

impl<Z: TimeZone> LockKey for DateTime<Z> {
    fn write_parts(&self, parts: &mut KeyParts<'_>) {
        self.naive_utc().write_parts(parts);
    }
}

//! The types of `time`. A date-time with an offset is written as UTC, which is what a column
//! stores.

use time::{Date, OffsetDateTime, PrimitiveDateTime, Time, UtcOffset};

use super::parts::KeyParts;
use super::{LockKey, calendar};

impl From<Date> for calendar::Date {
    fn from(date: Date) -> Self {
        calendar::Date {
            year: date.year(),
            month: u8::from(date.month()).into(),
            day: date.day().into(),
        }
    }
}

impl From<Time> for calendar::Time {
    fn from(time: Time) -> Self {
        calendar::Time {
            hour: time.hour().into(),
            minute: time.minute().into(),
            second: time.second().into(),
            microsecond: time.microsecond(),
        }
    }
}

impl From<PrimitiveDateTime> for calendar::DateTime {
    fn from(moment: PrimitiveDateTime) -> Self {
        calendar::DateTime(moment.date().into(), moment.time().into())
    }
}

keys!(Date => |key, parts| parts.display(calendar::Date::from(*key)));
keys!(Time => |key, parts| parts.display(calendar::Time::from(*key)));
keys!(PrimitiveDateTime => |key, parts| parts.display(calendar::DateTime::from(*key)));

impl LockKey for OffsetDateTime {
    fn write_parts(&self, parts: &mut KeyParts<'_>) {
        let utc = self.to_offset(UtcOffset::UTC);
        PrimitiveDateTime::new(utc.date(), utc.time()).write_parts(parts);
    }
}

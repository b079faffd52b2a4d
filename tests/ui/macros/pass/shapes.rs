//! Every shape of method under `#[locked]`, in a crate that allows no warning.
#![deny(warnings, missing_docs)]
#![forbid(unsafe_code)]
#![warn(clippy::pedantic)]

use std::fmt::Display;

use diesel::prelude::*;
use diesel_advisory_lock::prelude::*;

#[allow(missing_docs)]
mod schema {
    diesel::table! {
        notifications (id) {
            id -> Integer,
            message -> Text,
            sent -> Bool,
        }
    }
}

use schema::notifications;

/// A type by the name of the methods' constant parameters.
pub struct M;

/// A model with a policy.
#[derive(Debug, Identifiable, Queryable, Selectable, AsChangeset, Lockable)]
#[lock(timeout = "1m 30s")]
pub struct Notification {
    id: i32,
    message: String,
    sent: bool,
}

/// A `macro_rules!` macro passes types and literals on in invisible groups.
macro_rules! locked_by_macro {
    ($name:ident, $receiver:ty, $conn:ty, $result:ty, $timeout:literal) => {
        impl Notification {
            #[locked(timeout = $timeout)]
            fn $name(self: $receiver, conn: $conn) -> $result {
                #![allow(unused_variables)]
                self.sent = true;
                Ok(())
            }
        }
    };
}

locked_by_macro!(
    by_macro,
    &mut Self,
    &mut MysqlConnection,
    QueryResult<()>,
    "2s"
);

/// What can be sent.
pub trait Send {
    /// Sends it.
    ///
    /// # Errors
    ///
    /// Those of the lock and of the database.
    fn send(&mut self, conn: &mut MysqlConnection) -> QueryResult<()>;
}

impl Send for Notification {
    #[locked]
    fn send(&mut self, conn: &mut MysqlConnection) -> QueryResult<()> {
        self.sent = self.current(conn)?;
        Ok(())
    }
}

impl Notification {
    #[locked]
    fn attribute_in_the_body(&mut self, conn: &mut MysqlConnection) -> QueryResult<()> {
        #![allow(unused_variables)]
        Ok(())
    }

    #[locked]
    fn current(&self, conn: &mut MysqlConnection) -> QueryResult<bool> {
        notifications::table
            .find(self.id)
            .select(notifications::sent)
            .first(conn)
    }

    #[locked]
    fn generic<T, const N: usize>(
        &mut self,
        conn: &mut MysqlConnection,
        words: [T; N],
        moved: String,
    ) -> QueryResult<String>
    where
        T: Display,
    {
        for word in words {
            self.message.push_str(&word.to_string());
        }
        diesel::update(&*self).set(&*self).execute(conn)?;
        Ok(moved)
    }

    #[locked]
    fn generic_copy<'a, T, const N: usize>(
        &self,
        conn: &mut MysqlConnection,
        words: &'a [T; N],
        moved: String,
    ) -> QueryResult<(&'a T, String)>
    where
        T: Display,
    {
        diesel::update(self).set(self).execute(conn)?;
        Ok((&words[0], moved))
    }

    #[locked]
    fn constant_named_like_a_type<T, const M: usize>(
        &mut self,
        conn: &mut MysqlConnection,
        words: [T; M],
    ) -> QueryResult<[T; M]> {
        self.send(conn)?;
        Ok(words)
    }

    #[locked]
    fn constant_named_like_a_type_copy<T, const M: usize>(
        &self,
        _conn: &mut MysqlConnection,
        words: [T; M],
    ) -> QueryResult<([T; M], bool)> {
        Ok((words, self.sent))
    }

    #[locked]
    fn change(
        &mut self,
        conn: &mut MysqlConnection,
        change: impl FnOnce(&mut String),
    ) -> QueryResult<usize> {
        change(&mut self.message);
        diesel::update(&*self).set(&*self).execute(conn)
    }

    #[locked]
    fn measure(
        &self,
        _conn: &mut MysqlConnection,
        length: impl Fn(&str) -> usize,
    ) -> QueryResult<usize> {
        Ok(length(&self.message))
    }

    #[locked]
    fn borrowed<'a>(&'a mut self, _conn: &mut MysqlConnection) -> QueryResult<&'a str> {
        Ok(&self.message)
    }

    #[locked]
    fn bytes(&mut self, _conn: &mut MysqlConnection) -> QueryResult<impl Iterator<Item = u8>> {
        Ok(self.message.clone().into_bytes().into_iter())
    }

    #[locked]
    fn bytes_of_a_copy(
        &self,
        _conn: &mut MysqlConnection,
    ) -> QueryResult<impl Iterator<Item = u8> + use<>> {
        Ok(self.message.clone().into_bytes().into_iter())
    }

    #[locked]
    fn patterns(
        &mut self,
        conn: &mut MysqlConnection,
        (first, mut second): (usize, usize),
        [third, ..]: [usize; 4],
    ) -> QueryResult<usize> {
        second += 1;
        diesel::update(&*self).set(&*self).execute(conn)?;
        Ok(first + second + third)
    }

    #[locked]
    fn patterns_on_a_copy(
        &self,
        conn: &mut MysqlConnection,
        (first, mut second): (usize, usize),
        mut third: usize,
        _: bool,
    ) -> QueryResult<usize> {
        second += 1;
        third += self.current(conn).map(usize::from)?;
        Ok(first + second + third)
    }

    /// With attributes.
    #[allow(clippy::needless_pass_by_value)]
    #[cfg(not(windows))]
    #[inline]
    #[locked]
    #[must_use = "it may have failed"]
    fn with_attributes(&self, _conn: &mut MysqlConnection, _by: String) -> Result<(), LockError> {
        Ok(())
    }

    #[allow(clippy::mut_mut)]
    #[locked]
    fn r#move(&mut self, r#type: &str, mut conn: &mut MysqlConnection) -> QueryResult<()> {
        let conn = &mut conn;
        self.message.push_str(r#type);
        self.send(conn)
    }

    #[allow(clippy::needless_arbitrary_self_type)]
    #[locked]
    fn typed_self(self: &mut Self, conn: &mut MysqlConnection) -> QueryResult<()> {
        self.send(conn)
    }

    #[locked]
    fn sum(
        &mut self,
        conn: &mut MysqlConnection,
        numbers: &[i32],
    ) -> Result<i32, Box<dyn std::error::Error>> {
        let mut sum = 0;
        'numbers: for &number in numbers {
            if number == 0 {
                continue 'numbers;
            }
            if number < 0 {
                return Err("negative".into());
            }
            sum += number;
        }
        self.send(conn)?;
        Ok(sum)
    }
}

fn callers(notification: &mut Notification, conn: &mut MysqlConnection) -> QueryResult<()> {
    notification.send(conn)?;
    notification.generic(conn, [1, 2], String::new())?;
    notification.generic_copy(conn, &[1, 2], String::new())?;
    let [_] = notification.constant_named_like_a_type(conn, [M])?;
    let ([_], _) = notification.constant_named_like_a_type_copy(conn, [M])?;
    notification.change(conn, String::clear)?;
    notification.measure(conn, str::len)?;
    notification.borrowed(conn)?;
    notification.bytes(conn)?.for_each(drop);
    notification.bytes_of_a_copy(conn)?.for_each(drop);
    notification.patterns(conn, (1, 2), [3; 4])?;
    notification.patterns_on_a_copy(conn, (1, 2), 3, true)?;
    notification.with_attributes(conn, String::new())?;
    notification.r#move("text", conn)?;
    notification.typed_self(conn)?;
    notification.by_macro(conn)?;
    notification.attribute_in_the_body(conn)?;
    drop(notification.sum(conn, &[1]));
    Ok(())
}

fn main() {
    let _ = callers;
}

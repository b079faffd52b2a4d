//! [`OneOrMany`]: a list that usually has one item, and then needs no allocation.

use std::ops::Deref;
use std::slice;

/// One item, or a list of any length.
#[derive(Clone, Debug)]
pub enum OneOrMany<T, M = Vec<T>> {
    /// One item.
    One(T),
    /// A list.
    Many(M),
}

impl<T, M: Deref<Target = [T]>> OneOrMany<T, M> {
    pub(crate) fn as_slice(&self) -> &[T] {
        match self {
            OneOrMany::One(item) => slice::from_ref(item),
            OneOrMany::Many(items) => items,
        }
    }
}

impl<T> OneOrMany<T> {
    pub(crate) fn none() -> Self {
        OneOrMany::Many(Vec::new())
    }

    pub(crate) fn push(&mut self, item: T) {
        *self = match std::mem::replace(self, Self::none()) {
            OneOrMany::Many(items) if items.is_empty() => OneOrMany::One(item),
            OneOrMany::Many(mut items) => {
                items.push(item);
                OneOrMany::Many(items)
            }
            OneOrMany::One(first) => OneOrMany::Many(vec![first, item]),
        };
    }

    pub(crate) fn as_mut_slice(&mut self) -> &mut [T] {
        match self {
            OneOrMany::One(item) => slice::from_mut(item),
            OneOrMany::Many(items) => items,
        }
    }

    pub(crate) fn map<U>(self, mut change: impl FnMut(T) -> U) -> OneOrMany<U> {
        match self {
            OneOrMany::One(item) => OneOrMany::One(change(item)),
            OneOrMany::Many(items) => OneOrMany::Many(items.into_iter().map(change).collect()),
        }
    }
}

//! Small things that every handler needs: pages and field masks.

use prost_types::FieldMask;

use crate::{Error, Result};

/// A window on a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Page {
    /// Most rows, 1 to 200.
    pub limit: i32,
    /// Rows to skip.
    pub offset: i32,
}

impl Page {
    /// The window of a request: 200 rows from the start unless it says otherwise. Bounds are checked at the door and here, for calls that do
    /// not pass it.
    pub fn of(limit: Option<i32>, offset: Option<i32>) -> Result<Self> {
        let page = Self {
            limit: limit.unwrap_or(200),
            offset: offset.unwrap_or(0),
        };
        if !(1..=200).contains(&page.limit) {
            return Err(Error::invalid("limit", "limit must be between 1 and 200."));
        }
        if page.offset < 0 {
            return Err(Error::invalid("offset", "offset must not be negative."));
        }
        Ok(page)
    }
}

/// Which fields of an update count.
pub struct Mask<'a>(Option<&'a FieldMask>);

impl<'a> Mask<'a> {
    /// The mask of a request. Without one (a gRPC client that did not set it) every field that is set counts.
    pub fn of(mask: Option<&'a FieldMask>) -> Self {
        Self(mask)
    }

    /// Whether the request says anything about the field.
    pub fn has(&self, field: &str) -> bool {
        self.0.is_some_and(|mask| mask.paths.iter().any(|path| path == field))
    }

    /// An optional field of an update: `None` leaves it, `Some(None)` clears it, `Some(Some(value))` sets it.
    pub fn field<T>(&self, name: &str, value: Option<T>) -> Option<Option<T>> {
        match self.0 {
            Some(_) => self.has(name).then_some(value),
            None => value.map(Some),
        }
    }

    /// A field that cannot be cleared: `None` leaves it.
    pub fn required<T>(&self, name: &str, value: Option<T>) -> Result<Option<T>> {
        match self.field(name, value) {
            Some(None) => Err(Error::invalid(
                name,
                format!("{name} cannot be null; leave it out to keep it."),
            )),
            Some(value) => Ok(value),
            None => Ok(None),
        }
    }
}

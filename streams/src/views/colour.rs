//! The two places for the rows of a view. People read one; in the other the next version is built, or
//! the one before is kept. Folds and readers speak of the view alone; the colour is added here.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::store::{Key, Part};

/// One of the two places.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Colour {
    /// Where a new view begins.
    Blue,
    /// The other one.
    Green,
}

impl Colour {
    /// The other one.
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::Blue => Self::Green,
            Self::Green => Self::Blue,
        }
    }

    /// What a view or one of its tables is called in this colour.
    pub(super) fn of(self, name: &'static str) -> Cow<'static, str> {
        match self {
            Self::Blue => Cow::Borrowed(name),
            Self::Green => Cow::Owned(format!("{name}_green")),
        }
    }

    /// Where a row of a view lies in this colour.
    pub(super) fn key(self, key: &Key) -> Key {
        let table = match (self, &key.table) {
            (Self::Green, table) => Cow::Owned(format!("{table}_green")),
            (Self::Blue, table) => table.clone(),
        };
        Key {
            table,
            parts: key.parts.clone(),
        }
    }

    /// Where it stands how far this colour of a view has read.
    pub(super) fn mark(self, view: &'static str) -> Key {
        Key::new("view_mark", [Part::from(self.of(view).into_owned())])
    }
}

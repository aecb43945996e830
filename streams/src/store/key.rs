//! Where rows are: keys of parts, compared from left to right, and ranges of them.

use std::borrow::Cow;
use std::ops::Bound;

use surrealdb::types::{Array, Range, RecordId, RecordIdKey, RecordIdKeyRange, Value};
use uuid::Uuid;

/// Where a row is: a table and the parts of its key.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Key {
    /// Which table.
    pub table: Cow<'static, str>,
    /// Compared from left to right, so equality parts come first.
    pub parts: Vec<Part>,
}

/// One part of a key. They are ordered as the database orders them: numbers before texts.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(untagged)]
pub enum Part {
    /// A whole number, ordered as such.
    Number(i64),
    /// A text, ordered by its bytes.
    Text(String),
}

impl From<i64> for Part {
    fn from(number: i64) -> Self {
        Self::Number(number)
    }
}

impl From<&str> for Part {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Part {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<Uuid> for Part {
    fn from(id: Uuid) -> Self {
        Self::Text(id.to_string())
    }
}

/// What of a row is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Field {
    /// A document.
    Doc,
    /// The state of an aggregate.
    State,
}

impl Part {
    fn into_value(self) -> Value {
        match self {
            Self::Number(number) => Value::Number(number.into()),
            Self::Text(text) => Value::String(text),
        }
    }
}

impl Key {
    /// A key of any parts.
    pub fn new(table: impl Into<Cow<'static, str>>, parts: impl IntoIterator<Item = Part>) -> Self {
        Self {
            table: table.into(),
            parts: parts.into_iter().collect(),
        }
    }

    /// A key of one part.
    pub fn of(table: &'static str, id: impl Into<Uuid>) -> Self {
        Self::new(table, [id.into().into()])
    }

    pub(crate) fn record(&self) -> RecordId {
        RecordId::new(self.table.as_ref(), array(self.parts.clone()))
    }
}

fn array(parts: Vec<Part>) -> RecordIdKey {
    RecordIdKey::Array(Array::from(parts.into_iter().map(Part::into_value).collect::<Vec<_>>()))
}

/// Every record whose key begins with `prefix`, from after `after` on.
pub(crate) fn range(table: &str, prefix: &[Part], after: &[Part]) -> RecordId {
    let mut start = prefix.to_vec();
    start.extend_from_slice(after);
    let start = array(start);
    let mut end: Vec<Value> = prefix.iter().cloned().map(Part::into_value).collect();
    // `[prefix, ..]` sorts behind every `[prefix, x]`.
    end.push(Value::Range(Box::new(Range::unbounded())));
    RecordId::new(
        table,
        RecordIdKey::Range(Box::new(RecordIdKeyRange {
            start: if after.is_empty() {
                Bound::Included(start)
            } else {
                Bound::Excluded(start)
            },
            end: Bound::Included(RecordIdKey::Array(Array::from(end))),
        })),
    )
}

//! What the next version of a view says otherwise than the one that people read, both at one moment and
//! at one mark. Rows hold what people wrote, so a difference names a key and fields, never a value.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::colour::Colour;
use super::view::View;
use crate::store::{Key, Part, Snapshot, StoreError};

/// Rows that are read at once.
const PAGE: i64 = 500;
/// Differences that are kept until they are looked at again; where there are more, there is no need to.
const KEPT: usize = 1000;
/// Differences that are shown.
const SHOWN: usize = 20;

/// How the other colour of a view compares with the one that people read.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Comparison {
    /// How far both had read.
    pub mark: u64,
    /// Rows that people read.
    pub rows: u64,
    /// Rows of the other colour.
    pub other_rows: u64,
    /// Rows that the other colour does not have.
    pub missing: u64,
    /// Rows that only the other colour has.
    pub extra: u64,
    /// Rows that both have, and that are not the same.
    pub differing: u64,
    /// The first of them.
    pub examples: Vec<Difference>,
}

/// One row that is not the same in both colours.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Difference {
    /// Of which table.
    pub table: String,
    /// Under which key.
    pub key: Vec<Part>,
    /// How it differs.
    pub how: How,
    /// The names of the fields that are not the same.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<String>,
}

/// How a row differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum How {
    /// The other colour does not have it.
    Missing,
    /// Only the other colour has it.
    Extra,
    /// Both have it.
    Differing,
}

impl Comparison {
    /// Whether both say the same.
    #[must_use]
    pub const fn is_equal(&self) -> bool {
        self.missing == 0 && self.extra == 0 && self.differing == 0
    }
}

/// A row as it is read, and as it is in the other colour.
fn difference(table: &str, key: &[Part], read: Option<&Value>, other: Option<&Value>) -> Option<Difference> {
    let (how, fields) = match (read, other) {
        (Some(read), Some(other)) if read == other => return None,
        (Some(read), Some(other)) => (How::Differing, fields(read, other)),
        (Some(_), None) => (How::Missing, Vec::new()),
        (None, Some(_)) => (How::Extra, Vec::new()),
        (None, None) => return None,
    };
    Some(Difference {
        table: table.to_owned(),
        key: key.to_vec(),
        how,
        fields,
    })
}

fn fields(read: &Value, other: &Value) -> Vec<String> {
    let names = |doc: &Value| {
        doc.as_object()
            .into_iter()
            .flat_map(|doc| doc.keys().cloned())
            .collect::<Vec<_>>()
    };
    let mut all = names(read);
    all.extend(names(other).into_iter().filter(|name| read.get(name).is_none()));
    all.retain(|name| read.get(name) != other.get(name));
    all
}

/// What a comparison has found so far.
#[derive(Debug, Default)]
pub(super) struct Found {
    so_far: Comparison,
    kept: Vec<(&'static str, Difference)>,
}

impl Found {
    fn note(&mut self, table: &'static str, difference: Difference) {
        match difference.how {
            How::Missing => self.so_far.missing += 1,
            How::Extra => self.so_far.extra += 1,
            How::Differing => self.so_far.differing += 1,
        }
        if self.kept.len() < KEPT {
            self.kept.push((table, difference));
        }
    }

    /// Whether it is worth looking at what was found a second time. A row of either colour may hold
    /// words of its owner that are newer than the mark: they agree again once both have read on.
    pub fn is_doubtful(&self) -> bool {
        !self.so_far.is_equal() && self.kept.len() < KEPT
    }

    pub fn finish(self, mark: u64) -> Comparison {
        Comparison {
            mark,
            examples: self.kept.into_iter().take(SHOWN).map(|(_, it)| it).collect(),
            ..self.so_far
        }
    }
}

/// Looks at every row of both colours.
pub(super) async fn everything(moment: &Snapshot, view: &dyn View, reads: Colour) -> Result<Found, StoreError> {
    let mut found = Found::default();
    for table in view.tables() {
        let mut read = Cursor::new(moment, reads.of(table).into_owned());
        let mut other = Cursor::new(moment, reads.other().of(table).into_owned());
        loop {
            let (left, right) = (read.peek().await?, other.peek().await?);
            let key = match (left, right) {
                (None, None) => break,
                (Some(key), None) | (None, Some(key)) => key,
                (Some(left), Some(right)) => left.min(right),
            };
            let (left, right) = (read.take(&key), other.take(&key));
            found.so_far.rows += u64::from(left.is_some());
            found.so_far.other_rows += u64::from(right.is_some());
            if let Some(difference) = difference(table, &key, left.as_ref(), right.as_ref()) {
                found.note(table, difference);
            }
        }
    }
    Ok(found)
}

/// Looks again at the rows that were found to differ.
pub(super) async fn again(moment: &Snapshot, before: Found, reads: Colour) -> Result<Found, StoreError> {
    let mut found = Found {
        so_far: Comparison {
            rows: before.so_far.rows,
            other_rows: before.so_far.other_rows,
            ..Comparison::default()
        },
        ..Found::default()
    };
    for (table, was) in before.kept {
        let key = Key::new(table, was.key);
        let read = moment.get(&reads.key(&key)).await?;
        let other = moment.get(&reads.other().key(&key)).await?;
        if let Some(difference) = difference(table, &key.parts, read.as_ref(), other.as_ref()) {
            found.note(table, difference);
        }
    }
    Ok(found)
}

/// Reads a table from the first key to the last.
struct Cursor<'a> {
    moment: &'a Snapshot,
    table: String,
    ahead: VecDeque<(Vec<Part>, Value)>,
    after: Vec<Part>,
    is_over: bool,
}

impl<'a> Cursor<'a> {
    fn new(moment: &'a Snapshot, table: String) -> Self {
        Self {
            moment,
            table,
            ahead: VecDeque::new(),
            after: Vec::new(),
            is_over: false,
        }
    }

    /// The next key.
    async fn peek(&mut self) -> Result<Option<Vec<Part>>, StoreError> {
        if self.ahead.is_empty() && !self.is_over {
            self.ahead = self.moment.page(&self.table, &self.after, PAGE).await?.into();
            self.is_over = self.ahead.is_empty();
            if let Some((last, _)) = self.ahead.back() {
                self.after.clone_from(last);
            }
        }
        Ok(self.ahead.front().map(|(key, _)| key.clone()))
    }

    /// The row under this key, if it is the next one.
    fn take(&mut self, key: &[Part]) -> Option<Value> {
        let (_, doc) = self.ahead.pop_front_if(|(next, _)| next == key)?;
        Some(doc)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_difference_names_key_and_fields_and_no_value() {
        let key = [Part::Number(1), Part::from("a")];
        let read = json!({ "title": "Moon", "price": 5, "synopsis": "dark" });
        let other = json!({ "price": 5, "title": "Sun", "rating": 1 });
        let found = difference("books", &key, Some(&read), Some(&other)).unwrap();
        assert_eq!(found.how, How::Differing);
        assert_eq!(found.fields, ["title", "synopsis", "rating"]);
        let told = serde_json::to_string(&found).unwrap();
        assert!(!told.contains("Moon") && !told.contains("Sun"), "{told}");
    }

    #[test]
    fn what_one_side_lacks_is_missing_or_extra_and_the_same_is_nothing() {
        let row = json!({ "a": 1, "b": [1, 2] });
        let how = |read, other| difference("t", &[], read, other).map(|it| it.how);
        assert_eq!(how(Some(&row), None), Some(How::Missing));
        assert_eq!(how(None, Some(&row)), Some(How::Extra));
        let same = json!({ "b": [1, 2], "a": 1 });
        assert_eq!(how(Some(&row), Some(&same)), None);
        assert_eq!(how(None, None), None);
    }
}

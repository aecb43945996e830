//! Words: the fields of commands that hold what somebody typed, or a secret. They are marked in the
//! contracts (`#[schemars(extend("x-words" = true))]`), so the published schemas tell of them, and a copy
//! of a message that people look at hides them.
//!
//! What a schema does not know is hidden too: a newer build's field may hold words as well.

use serde_json::Value;

use crate::documents;
use crate::jobs::Job;
use crate::message::{Contract, Message};
use crate::{books, members, payments, purchases, reviews};

/// What stands where words were.
pub const HIDDEN: &str = "(hidden)";

/// A message's body as people may see it: every word hidden that its schema marks or does not know.
#[must_use]
pub fn hide(kind: &str, body: &[u8]) -> String {
    let Ok(mut value) = serde_json::from_slice::<Value>(body) else {
        return format!("(hidden: {} bytes that are not JSON)", body.len());
    };
    let schema = documents::schemas().into_iter().find(|(name, _)| name == kind);
    hide_in(schema.as_ref().map(|(_, schema)| schema), &mut value);
    value.to_string()
}

fn hide_in(schema: Option<&Value>, value: &mut Value) {
    let is_words = schema.is_none_or(|schema| schema["x-words"] == true);
    match value {
        Value::Null | Value::Bool(_) => {}
        Value::Object(fields) => {
            for (name, field) in fields {
                hide_in(schema.and_then(|schema| schema["properties"].get(name)), field);
            }
        }
        Value::Array(items) => {
            let of_items = schema.and_then(|schema| schema.get("items"));
            items.iter_mut().for_each(|item| hide_in(of_items, item));
        }
        Value::Number(_) | Value::String(_) if is_words => *value = HIDDEN.into(),
        Value::Number(_) | Value::String(_) => {}
    }
}

/// Why this build cannot read a message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// It knows no such kind.
    #[error("this build does not know the kind {0}")]
    Kind(String),
    /// It knows the kind, and the body is not one. serde repeats values in its message; only the place is told.
    #[error("the body cannot be read at line {line}, column {column}")]
    Body {
        /// Counted from one.
        line: usize,
        /// Counted from one.
        column: usize,
    },
}

/// Whether this build can read a message of a `ce-type`.
///
/// # Errors
/// Why it cannot.
pub fn readable(kind: &str, body: &[u8]) -> Result<(), Unreadable> {
    fn of_contract<C: Contract>(kind: &str, body: &[u8]) -> Option<serde_json::Result<()>> {
        of_message::<C::Command>(C::CONTEXT, kind, body).or_else(|| of_message::<C::Event>(C::CONTEXT, kind, body))
    }
    fn of_message<M: Message>(room: &str, kind: &str, body: &[u8]) -> Option<serde_json::Result<()>> {
        let is_ours = M::KINDS.iter().any(|name| kind == format!("maru.{room}.{name}.v1"));
        is_ours.then(|| serde_json::from_slice::<M>(body).map(|_| ()))
    }
    let read = of_contract::<members::Members>(kind, body)
        .or_else(|| of_contract::<books::Books>(kind, body))
        .or_else(|| of_contract::<payments::Payments>(kind, body))
        .or_else(|| of_contract::<purchases::Purchases>(kind, body))
        .or_else(|| of_contract::<reviews::Reviews>(kind, body))
        .or_else(|| of_message::<Job>("job", kind, body));
    match read {
        Some(Ok(())) => Ok(()),
        Some(Err(error)) => Err(Unreadable::Body {
            line: error.line(),
            column: error.column(),
        }),
        None => Err(Unreadable::Kind(kind.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Texts in commands that nobody types: names that the house chooses among.
    const HARMLESS: &[&str] = &["kind", "role", "card", "code"];

    fn texts(schema: &Value, name: &str, found: &mut Vec<(String, bool)>) {
        let types = &schema["type"];
        let is_text = types == "string" || types.as_array().is_some_and(|types| types.contains(&json!("string")));
        if is_text && schema["format"] != "uuid" {
            found.push((name.to_owned(), schema["x-words"] == true));
        }
        for (name, field) in schema["properties"].as_object().into_iter().flatten() {
            texts(field, name, found);
        }
        for list in ["oneOf", "anyOf"] {
            for one in schema[list].as_array().into_iter().flatten() {
                texts(one, name, found);
            }
        }
    }

    #[test]
    fn every_text_of_a_command_is_marked_as_words_or_known_to_be_harmless() {
        let commands: Vec<String> = [
            (members::CONTEXT, members::Command::KINDS),
            (books::CONTEXT, books::Command::KINDS),
            (payments::CONTEXT, payments::Command::KINDS),
            (purchases::CONTEXT, purchases::Command::KINDS),
            (reviews::CONTEXT, reviews::Command::KINDS),
        ]
        .iter()
        .flat_map(|(room, kinds)| kinds.iter().map(move |kind| format!("maru.{room}.{kind}.v1")))
        .collect();
        let mut words = 0;
        for (kind, schema) in documents::schemas() {
            let mut found = Vec::new();
            texts(&schema, "", &mut found);
            for (name, is_marked) in found {
                let may = is_marked || HARMLESS.contains(&name.as_str()) || !commands.contains(&kind);
                assert!(may, "{kind}: mark `{name}` as words, or list it as harmless");
                assert!(
                    !is_marked || commands.contains(&kind),
                    "{kind}: `{name}` travels where no words may"
                );
                words += usize::from(is_marked);
            }
        }
        assert!(words > 10, "only {words} fields hold words");
    }

    #[test]
    fn words_are_hidden_and_what_is_not_words_is_left() {
        let body = json!({ "kind": "create_book", "data": {
            "title": "Secret", "synopsis": "", "contents": "Once", "price": 9000, "publish": true, "mood": "new field",
        }});
        let hidden = hide("maru.books.create_book.v1", body.to_string().as_bytes());
        assert!(
            !hidden.contains("Secret") && !hidden.contains("Once") && !hidden.contains("new field"),
            "{hidden}"
        );
        assert!(hidden.contains("9000") && hidden.contains("create_book"), "{hidden}");
    }

    #[test]
    fn of_a_message_that_nobody_knows_everything_is_hidden() {
        let hidden = hide(
            "maru.books.burn_book.v1",
            br#"{"kind":"burn_book","data":[{"why":"rage"},17]}"#,
        );
        assert!(!hidden.contains("rage") && !hidden.contains("17"), "{hidden}");
        assert_eq!(hide("", b"my diary"), "(hidden: 8 bytes that are not JSON)");
    }

    #[test]
    fn a_build_says_what_it_can_read_and_never_repeats_what_it_could_not() {
        assert_eq!(
            readable("maru.books.publish_book.v1", br#"{"kind":"publish_book","data":{}}"#),
            Ok(())
        );
        let odd = readable(
            "maru.books.create_book.v1",
            br#"{"kind":"create_book","data":{"title":7}}"#,
        );
        assert!(odd.unwrap_err().to_string().starts_with("the body cannot be read"));
        assert!(matches!(
            readable("maru.books.burn_book.v1", b"{}"),
            Err(Unreadable::Kind(_))
        ));
    }
}

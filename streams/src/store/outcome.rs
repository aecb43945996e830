//! What a transaction came to. The SDK answers `Ok` with errors in its rows, types some of them and
//! only words others; this is the one place that knows which is which (measured on each engine).

use std::borrow::Cow;

use surrealdb::types::{AlreadyExistsError, Error, QueryError, Value};

/// The outcome of one block statement.
#[derive(Debug)]
pub enum Tx {
    /// Committed, with what the block returned.
    Done(Value),
    /// A record with this id is there already; nothing was written.
    Duplicate(String),
    /// The block threw this word; nothing was written.
    Refused(String),
    /// It collided with another. Nothing was written; it is right to run it again.
    Retry(String),
    /// The database is away, or went away meanwhile. Nothing was written, or it was and a repeat will say
    /// `Duplicate`.
    Away(String),
    /// It can never work as it is.
    Fatal(String),
}

/// Why the database did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// It could not be opened or reached.
    #[error("open the {0}")]
    Open(Cow<'static, str>, #[source] Error),
    /// It did not answer, or not with what was asked for.
    #[error("ask the database")]
    Query(#[from] Error),
    /// A row is not what it should be.
    #[error("a row of the database cannot be read: {}", wordless(.0))]
    Row(serde_json::Error),
    /// A migration failed.
    #[error("migration {number} ({name}): {why}")]
    Migration {
        /// Which.
        number: i64,
        /// What about.
        name: &'static str,
        /// Why.
        why: String,
    },
    /// It is for something else than it was, or another process takes it for.
    #[error(
        "the {title} was made for {told}, and is opened for {ours}: which contexts have a database of their own \
         (MARU_DB_URL_<CONTEXT>) is decided at the beginning, and every process is told the same"
    )]
    Divided {
        /// Which.
        title: Cow<'static, str>,
        /// What it was for when it was first opened.
        told: String,
        /// What it is to be for now.
        ours: String,
    },
    /// It collided too often, or cannot work.
    #[error("the database could not commit: {0}")]
    Commit(String),
}

/// What serde says, without the value that it quotes: that may be what somebody wrote, and errors go into the log.
fn wordless(error: &serde_json::Error) -> String {
    let said = error.to_string();
    match said.starts_with("missing field") {
        true => said,
        false => "a value in it is not what this build expects there".to_owned(),
    }
}

impl From<Tx> for StoreError {
    fn from(tx: Tx) -> Self {
        Self::Commit(match tx {
            Tx::Done(_) => "it did, unexpectedly".to_owned(),
            Tx::Duplicate(id) => format!("{id} is there already"),
            Tx::Refused(why) | Tx::Retry(why) | Tx::Away(why) | Tx::Fatal(why) => why,
        })
    }
}

/// Whether an error says that the transaction met another one.
pub(super) fn is_conflict(error: &Error) -> bool {
    matches!(error.query_details(), Some(QueryError::TransactionConflict))
        || error.message().contains("This transaction can be retried")
        || error.message().contains("Transaction retry required")
}

/// Says what a query came to whose last statement is the block that matters.
pub fn classify(answer: surrealdb::Result<surrealdb::IndexedResults>) -> Tx {
    let mut rows = match answer {
        Ok(rows) => rows,
        Err(error) if is_conflict(&error) => return Tx::Retry(error.message().to_owned()),
        Err(error) if error.is_connection() => return Tx::Away(error.message().to_owned()),
        Err(error) => return Tx::Fatal(error.message().to_owned()),
    };
    let last = rows.num_statements().saturating_sub(1);
    let mut errors: Vec<(usize, Error)> = rows.take_errors().into_iter().collect();
    if errors.is_empty() {
        return match rows.take::<Value>(last) {
            Ok(value) => Tx::Done(value),
            Err(error) => Tx::Fatal(error.message().to_owned()),
        };
    }
    if let Some((_, error)) = errors.iter().find(|(_, error)| is_conflict(error)) {
        return Tx::Retry(error.message().to_owned());
    }
    errors.sort_by_key(|(row, _)| *row);
    // Statements around the culprit only say that they were not run.
    let is_noise = |error: &Error| {
        matches!(
            error.query_details(),
            Some(QueryError::NotExecuted | QueryError::Cancelled)
        )
    };
    match errors.into_iter().find(|(_, error)| !is_noise(error)) {
        Some((_, error)) => match error.already_exists_details() {
            Some(AlreadyExistsError::Record { id }) => Tx::Duplicate(id.to_string()),
            _ if error.is_thrown() => Tx::Refused(error.message().trim_start_matches("An error occurred: ").to_owned()),
            _ => Tx::Fatal(error.message().to_owned()),
        },
        None => Tx::Retry("the transaction did not run".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;
    use serde_json::json;

    use super::*;

    #[derive(Debug, Deserialize)]
    struct Diary {
        #[expect(dead_code, reason = "only whether it can be read matters")]
        pages: u32,
    }

    #[test]
    fn what_somebody_wrote_is_not_in_the_error_that_says_it_cannot_be_read() {
        let read = |row| StoreError::Row(serde_json::from_value::<Diary>(row).unwrap_err());
        let error = read(json!({ "pages": "my secret" }));
        assert!(!error.to_string().contains("secret"), "{error}");
        assert!(std::error::Error::source(&error).is_none());
        assert!(read(json!({})).to_string().contains("missing field `pages`"));
    }
}

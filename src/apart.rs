//! Databases of single contexts: `MARU_DB_URL_BOOKS` and its like. All of them have the same users as the main
//! one. Which there are is decided at the beginning; each database remembers it (`streams/src/store/division.rs`).

use clap::Args;
use maru_schemas::CONTEXTS;
use maru_streams::store::Addresses;

/// What such a variable begins with.
const PREFIX: &str = "MARU_DB_URL_";

/// A context with a database of its own is told where that is.
#[derive(Args, Clone, Default)]
pub struct Apart {
    /// A database for members alone, with the users of the main one.
    #[arg(
        long = "database-members",
        env = "MARU_DB_URL_MEMBERS",
        hide_env_values = true,
        value_name = "URL"
    )]
    members: Option<String>,
    /// The same for books.
    #[arg(
        long = "database-books",
        env = "MARU_DB_URL_BOOKS",
        hide_env_values = true,
        value_name = "URL"
    )]
    books: Option<String>,
    /// The same for payments.
    #[arg(
        long = "database-payments",
        env = "MARU_DB_URL_PAYMENTS",
        hide_env_values = true,
        value_name = "URL"
    )]
    payments: Option<String>,
    /// The same for purchases.
    #[arg(
        long = "database-purchases",
        env = "MARU_DB_URL_PURCHASES",
        hide_env_values = true,
        value_name = "URL"
    )]
    purchases: Option<String>,
    /// The same for reviews.
    #[arg(
        long = "database-reviews",
        env = "MARU_DB_URL_REVIEWS",
        hide_env_values = true,
        value_name = "URL"
    )]
    reviews: Option<String>,
}

/// A typing mistake would leave a context where it is not meant to be.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{variable} is set, and there is no such context; there are {}", known())]
pub struct UnknownContext {
    variable: String,
}

/// What lies in a data folder has one database.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{variable} is set, and an installation in a data folder has one database for everything; unset it, or name \
     servers of your own"
)]
pub struct OneDatabase {
    variable: String,
}

fn known() -> String {
    variables().collect::<Vec<_>>().join(", ")
}

fn variable(context: &str) -> String {
    format!("{PREFIX}{}", context.to_uppercase())
}

/// Every variable that names a database of a context.
pub fn variables() -> impl Iterator<Item = String> {
    CONTEXTS.into_iter().map(variable)
}

/// The variables of this process that name a database of a context.
fn set() -> impl Iterator<Item = String> {
    let said = std::env::vars_os().filter(|(_, value)| !value.is_empty());
    let names = said.filter_map(|(name, _)| name.into_string().ok());
    names.filter(|name| name.starts_with(PREFIX))
}

impl Apart {
    /// Those beside the main one.
    pub fn beside(&self, main: &str) -> Result<Addresses, UnknownContext> {
        all_are_known(set())?;
        let said = |context: &'static str| Some((context, self.of(context)?.to_owned()));
        Ok(Addresses {
            own: CONTEXTS.into_iter().filter_map(said).collect(),
            ..main.into()
        })
    }

    /// Set to nothing is not set.
    fn of(&self, context: &str) -> Option<&str> {
        let url = match context {
            "members" => &self.members,
            "books" => &self.books,
            "payments" => &self.payments,
            "purchases" => &self.purchases,
            "reviews" => &self.reviews,
            _ => &None,
        };
        url.as_deref().filter(|url| !url.is_empty())
    }
}

fn all_are_known(mut set: impl Iterator<Item = String>) -> Result<(), UnknownContext> {
    let is_unknown = |name: &String| !variables().any(|variable| variable == *name);
    set.find(is_unknown)
        .map_or(Ok(()), |variable| Err(UnknownContext { variable }))
}

/// For what has one database for everything.
pub fn refuse() -> Result<(), OneDatabase> {
    set().next().map_or(Ok(()), |variable| Err(OneDatabase { variable }))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Told {
        #[command(flatten)]
        apart: Apart,
    }

    #[test]
    fn every_context_can_be_told_where_its_database_is() {
        for context in CONTEXTS {
            let option = format!("--database-{context}");
            let told = Told::try_parse_from(["maru", &option, "ws://there:8000"]);
            let told = told.unwrap_or_else(|error| panic!("{option}: {error}"));
            let addresses = told.apart.beside("ws://here:8000").unwrap();
            assert_eq!(addresses.own.get(context).map(String::as_str), Some("ws://there:8000"));
            assert_eq!((addresses.main.as_str(), addresses.own.len()), ("ws://here:8000", 1));
        }
    }

    #[test]
    fn a_context_that_is_not_there_is_named_with_those_that_are() {
        let set = |name: &str| all_are_known([name.to_owned()].into_iter());
        assert_eq!(set("MARU_DB_URL_PAYMENTS"), Ok(()));
        let why = set("MARU_DB_URL_BOOK").unwrap_err().to_string();
        assert!(why.starts_with("MARU_DB_URL_BOOK is set"), "{why}");
        assert!(why.contains("MARU_DB_URL_BOOKS, MARU_DB_URL_PAYMENTS"), "{why}");
    }
}

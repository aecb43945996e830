//! Asking the database: a text, its variables, and an answer within a bounded time.
//!
//! An embedded database answers in the caller's own task, however long it takes. One behind a wire may be
//! away, and its SDK would wait for it without an end; there every question goes through a [`Line`].

use std::borrow::Cow;
use std::pin::Pin;
use std::sync::Arc;

use surrealdb::engine::any::Any;
use surrealdb::types::{SurrealValue, Value};
use surrealdb::{IndexedResults, Surreal};

use super::Credentials;
use super::line::{Handle, Line};

/// How the database is reached.
pub(crate) enum Db {
    /// It is part of this process.
    Inside(Surreal<Any>),
    /// It is a server.
    Across(Arc<Line>),
}

/// A question that is not asked yet.
#[must_use = "it is asked when it is awaited"]
pub(crate) struct Query<'a> {
    db: &'a Db,
    text: Cow<'a, str>,
    variables: Vec<Value>,
}

impl Db {
    /// Opens or reaches it; a namespace and a database are made where there are none.
    pub async fn open(name: &'static str, url: &str, credentials: Option<Credentials>) -> surrealdb::Result<Self> {
        if ["ws://", "wss://"].iter().any(|scheme| url.starts_with(scheme)) {
            return Ok(Self::Across(Line::open(name, url.to_owned(), credentials).await?));
        }
        let db = surrealdb::engine::any::connect(url).await?;
        make(&db).await?;
        db.use_ns(NAME).use_db(NAME).await?;
        Ok(Self::Inside(db))
    }

    /// A question. Rows are taken from the answer as from the SDK's own.
    pub fn query<'a>(&'a self, text: impl Into<Cow<'a, str>>) -> Query<'a> {
        Query {
            db: self,
            text: text.into(),
            variables: Vec::new(),
        }
    }

    /// Which version it is.
    pub async fn version(&self) -> surrealdb::Result<String> {
        let version = match self {
            Self::Inside(db) => db.version().await?,
            Self::Across(line) => {
                let handle = line.handle().await?;
                line.within(&handle, handle.db.version().into_future()).await?
            }
        };
        Ok(version.to_string())
    }

    /// A handle of its own for who has more than one question in one transaction.
    pub async fn session(&self) -> surrealdb::Result<Session> {
        Ok(match self {
            Self::Inside(db) => Session {
                db: db.clone(),
                line: None,
            },
            Self::Across(line) => {
                let handle = line.handle().await?;
                Session {
                    db: handle.db.clone(),
                    line: Some((Arc::clone(line), handle)),
                }
            }
        })
    }
}

/// A session of its own, and the line that it goes over.
pub(crate) struct Session {
    pub db: Surreal<Any>,
    line: Option<(Arc<Line>, Arc<Handle>)>,
}

impl Session {
    /// What is asked on this session, within the time that is given to any question.
    pub async fn within<T>(&self, asked: impl Future<Output = surrealdb::Result<T>> + Send) -> surrealdb::Result<T> {
        match &self.line {
            None => asked.await,
            Some((line, handle)) => line.within(handle, asked).await,
        }
    }
}

impl<'a> Query<'a> {
    /// With a variable and its value, or with an object of them.
    pub fn bind(mut self, variables: impl SurrealValue) -> Self {
        self.variables.push(variables.into_value());
        self
    }
}

impl<'a> IntoFuture for Query<'a> {
    type Output = surrealdb::Result<IndexedResults>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send + 'a>>;

    fn into_future(self) -> Self::IntoFuture {
        let Self { db, text, variables } = self;
        Box::pin(async move {
            match db {
                Db::Inside(db) => ask(db, text, variables).await,
                Db::Across(line) => {
                    let handle = line.handle().await?;
                    line.within(&handle, ask(&handle.db, text, variables)).await
                }
            }
        })
    }
}

async fn ask(db: &Surreal<Any>, text: Cow<'_, str>, variables: Vec<Value>) -> surrealdb::Result<IndexedResults> {
    let query = variables
        .into_iter()
        .fold(db.query(text), |query, value| query.bind(value));
    query.await
}

/// What our namespace and the database in it are called.
pub(super) const NAME: &str = "maru";

/// Makes both where they are not.
pub(super) async fn make(db: &Surreal<Any>) -> surrealdb::Result<()> {
    db.query("DEFINE NAMESPACE IF NOT EXISTS maru; USE NS maru; DEFINE DATABASE IF NOT EXISTS maru;")
        .await
        .and_then(IndexedResults::check)?;
    Ok(())
}

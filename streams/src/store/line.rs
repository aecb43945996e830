//! The line to a database that is a server of its own, over `ws://`.
//!
//! The SDK keeps one socket and reconnects by itself, but not so that somebody could wait for it: while it
//! reconnects, questions hang without an end; a server that is frozen is never noticed; and when the server
//! refuses the repeated sign-in because it is still starting, the session is dead for ever. So nothing rests
//! on that here. A handle is used until there is any doubt about it, doubt is settled by one small question,
//! and a handle that fails it is thrown away for everybody at once and replaced by a new one.
//!
//! ```text
//!  no answer for a second ─┐                no
//!  an error of any kind ───┴▶ does it answer? ─▶ broken: what waits on it fails ─▶ open another ─▶ back
//!  the connection breaks ──────────────────────▶
//! ```
//!
//! What was asked when the line broke may have been done or not. Its asker is told an error of the kind
//! "connection", which [`super::classify`] takes for [`super::Tx::Away`].

use std::sync::{Arc, Weak};
use std::time::Duration;

use surrealdb::engine::any::{self, Any};
use surrealdb::types::{ConnectionError, Error};
use surrealdb::{Result, Surreal};
use tokio::sync::{Mutex, watch};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::Credentials;
use super::db::{NAME, make};
use super::outcome::is_conflict;
use super::rooms::title;

/// The longest that a server which answers at all may take for one question.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// After so long without an answer, whether it is there is asked.
const DOUBT_AFTER: Duration = Duration::from_secs(1);
/// That question may take so long.
const CHECK_WITHIN: Duration = Duration::from_secs(2);
/// How long a question waits for the line to be there at all, before it is sent.
const LINE_WITHIN: Duration = Duration::from_secs(2);
/// Connecting and signing in.
const OPEN_WITHIN: Duration = Duration::from_secs(5);
/// Between two tries.
const OPEN_EVERY: Duration = Duration::from_millis(250);

/// The line to one server, shared by everybody in the process.
pub(crate) struct Line {
    name: &'static str,
    url: String,
    credentials: Option<Credentials>,
    /// None while it is broken and a new handle is being opened.
    current: watch::Sender<Option<Arc<Handle>>>,
}

/// One connection, signed in.
pub(crate) struct Handle {
    pub db: Surreal<Any>,
    /// Cancelled once it is not to be used any more.
    broken: CancellationToken,
    /// Many may doubt it at once; one after the other asks.
    checking: Mutex<()>,
}

fn away(why: &str) -> Error {
    Error::connection(why.to_owned(), ConnectionError::ConnectionFailed)
}

async fn connect(url: &str, credentials: Option<&Credentials>) -> Result<Surreal<Any>> {
    let opening = async {
        let db = any::connect(url).await?;
        if let Some(Credentials { user, password }) = credentials {
            db.signin(surrealdb::opt::auth::Root {
                username: user.clone(),
                password: password.clone(),
            })
            .await?;
        }
        Ok(db)
    };
    let opened = timeout(OPEN_WITHIN, opening).await;
    opened.unwrap_or_else(|_| Err(away("the database did not let us in in time")))
}

impl Handle {
    /// Takes a connection into use, if the server serves our database on it.
    async fn of(db: Surreal<Any>) -> Result<Arc<Self>> {
        let using = async {
            db.use_ns(NAME).use_db(NAME).await?;
            db.query("RETURN 1").await?.check()
        };
        let used = timeout(OPEN_WITHIN, using).await;
        used.unwrap_or_else(|_| Err(away("the database did not answer in time")))?;
        Ok(Arc::new(Self {
            db,
            broken: CancellationToken::new(),
            checking: Mutex::default(),
        }))
    }
}

impl Line {
    pub async fn open(name: &'static str, url: String, credentials: Option<Credentials>) -> Result<Arc<Self>> {
        let db = connect(&url, credentials.as_ref()).await?;
        let made = timeout(OPEN_WITHIN, make(&db)).await;
        made.unwrap_or_else(|_| Err(away("the database did not answer in time")))?;
        Ok(Arc::new(Self {
            name,
            url,
            credentials,
            current: watch::Sender::new(Some(Handle::of(db).await?)),
        }))
    }

    /// The connection to ask on. Whoever gets none has asked nothing.
    pub async fn handle(&self) -> Result<Arc<Handle>> {
        let mut current = self.current.subscribe();
        let there = timeout(LINE_WITHIN, current.wait_for(Option::is_some)).await;
        match there {
            Ok(Ok(handle)) => handle.clone().ok_or_else(|| self.is_away()),
            _ => Err(self.is_away()),
        }
    }

    fn is_away(&self) -> Error {
        away(&format!("the {} is away", title(self.name)))
    }

    /// What is asked on a connection, answered in time or not at all.
    pub async fn within<T>(
        self: &Arc<Self>,
        handle: &Arc<Handle>,
        asked: impl Future<Output = Result<T>> + Send,
    ) -> Result<T> {
        let answer = tokio::select! {
            biased;
            answer = asked => answer,
            () = handle.broken.cancelled() => return Err(away("the line to the database broke meanwhile")),
            () = self.doubt(handle) => return Err(away("the database does not answer")),
            () = sleep(ANSWER_WITHIN) => return Err(away("the database did not answer in time")),
        };
        match answer {
            Err(error) if error.is_connection() => {
                self.give_up(handle, error.message());
                Err(error)
            }
            // A session that could not be signed in again answers with the words of that, whatever is asked.
            Err(error) if !is_conflict(&error) && !self.is_well(handle).await => Err(away(error.message())),
            answer => answer,
        }
    }

    /// Comes back when the connection has proved to be of no use.
    async fn doubt(self: &Arc<Self>, handle: &Arc<Handle>) {
        loop {
            sleep(DOUBT_AFTER).await;
            if !self.is_well(handle).await {
                return;
            }
        }
    }

    async fn is_well(self: &Arc<Self>, handle: &Arc<Handle>) -> bool {
        let _checking = handle.checking.lock().await;
        if handle.broken.is_cancelled() {
            return false;
        }
        let why = match timeout(CHECK_WITHIN, handle.db.query("RETURN 1").into_future()).await {
            Ok(Ok(_)) => return true,
            Ok(Err(error)) => error.message().to_owned(),
            Err(_) => "it does not answer".to_owned(),
        };
        self.give_up(handle, &why);
        false
    }

    /// Ends a connection for everybody, and has another one opened.
    fn give_up(self: &Arc<Self>, handle: &Arc<Handle>, why: &str) {
        handle.broken.cancel();
        let is_ours = self.current.send_if_modified(|current| {
            let is_ours = current.as_ref().is_some_and(|current| Arc::ptr_eq(current, handle));
            if is_ours {
                *current = None;
            }
            is_ours
        });
        if is_ours {
            tracing::warn!(database = self.name, why, "the database is away");
            tokio::spawn(reopen(Arc::downgrade(self)));
        }
    }
}

/// Opens a connection again, for as long as anybody has a use for it.
async fn reopen(line: Weak<Line>) {
    while let Some(line) = line.upgrade() {
        let opening = async {
            let db = connect(&line.url, line.credentials.as_ref()).await?;
            Handle::of(db).await
        };
        match opening.await {
            Ok(handle) => {
                line.current.send_replace(Some(handle));
                metrics::counter!("maru_database_reconnects_total", "database" => line.name).increment(1);
                tracing::info!(database = line.name, "the database is there again");
                return;
            }
            Err(error) => tracing::debug!(database = line.name, %error, "the database is still away"),
        }
        drop(line);
        sleep(OPEN_EVERY).await;
    }
}

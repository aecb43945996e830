//! What a long job has made so far, for who watches it grow and for whoever takes it up after its
//! worker died.
//!
//! ```text
//! worker ─ keep ─▶ partial:[job]  ◀─ read ─ door ─▶ its author
//!    └── partial.<job>: "so many characters now" ──┘
//! ```
//!
//! The row is the truth: the text itself lies in the database and nowhere else. The word on core NATS,
//! which nobody stores, only says that looking is worth while now; who misses it looks a little later.

use futures_util::stream::BoxStream;
use futures_util::{StreamExt, stream};
use surrealdb::types::Value;
use uuid::Uuid;

use crate::effects::{Effect, has_rows};
use crate::nats::Nats;
use crate::store::{Key, Store, StoreError, Tx, retry};

/// Takes the row over, or makes it, unless somebody with a later fence has it.
const TAKE_UP: &str = "{
    LET $before = (SELECT text, fence FROM ONLY $id);
    IF $before = NONE {
        CREATE $id CONTENT { text: '', fence: $fence };
        RETURN '';
    };
    IF $before.fence > $fence { THROW 'overtaken' };
    UPDATE $id SET fence = $fence;
    RETURN $before.text;
}";

/// Everything that is half done.
#[derive(Clone)]
pub struct Partials {
    store: Store,
    nats: Nats,
}

/// The right to write on. It has somebody's words in it, so it cannot be printed.
pub struct Partial {
    job: Uuid,
    fence: i64,
    /// What was there when it was taken up.
    pub text: String,
}

fn key(job: Uuid) -> Key {
    Key::of("partial", job)
}

fn subject(job: Uuid) -> String {
    format!("partial.{job}")
}

impl Partials {
    /// What is half done on this installation.
    #[must_use]
    pub const fn new(store: Store, nats: Nats) -> Self {
        Self { store, nats }
    }

    /// Takes a job's text up where it is, under the fence of the call that writes it. From now on
    /// nobody with an earlier fence writes it.
    ///
    /// # Errors
    /// When it could not be taken up, or somebody with a later fence has it.
    pub async fn take_up(&self, job: Uuid, effect: &Effect) -> Result<Partial, StoreError> {
        let run = || {
            self.store
                .db()
                .query(TAKE_UP)
                .bind(("id", key(job).record()))
                .bind(("fence", effect.fence))
                .into_future()
        };
        match retry(run).await? {
            Tx::Done(Value::String(text)) => Ok(Partial {
                job,
                fence: effect.fence,
                text,
            }),
            other => Err(other.into()),
        }
    }

    /// Keeps what there is now. False if somebody else has taken it up meanwhile: then this one's
    /// text counts no more.
    ///
    /// # Errors
    /// When it could not be written.
    pub async fn keep(&self, partial: &Partial, text: &str) -> Result<bool, StoreError> {
        let run = || {
            self.store
                .db()
                .query("UPDATE $id SET text = $text WHERE fence = $fence RETURN VALUE fence")
                .bind(("id", key(partial.job).record()))
                .bind(("text", text.to_owned()))
                .bind(("fence", partial.fence))
                .into_future()
        };
        let is_kept = match retry(run).await? {
            Tx::Done(changed) => has_rows(&changed),
            other => return Err(other.into()),
        };
        // A server that is away would make the call wait, and a word that nobody hears is no loss.
        if is_kept && self.nats.is_connected() {
            let characters = text.chars().count().to_string();
            let said = self.nats.client().publish(subject(partial.job), characters.into());
            if let Err(error) = said.await {
                tracing::debug!(%error, "nobody was told that a text has grown");
            }
        }
        Ok(is_kept)
    }

    /// What there is of a job; None before it was begun and after it has ended.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn read(&self, job: Uuid) -> Result<Option<String>, StoreError> {
        let mut rows = self
            .store
            .db()
            .query("SELECT VALUE text FROM ONLY $id")
            .bind(("id", key(job).record()))
            .await?;
        Ok(rows.take(0)?)
    }

    /// Forgets what there is of a job, which has ended.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn forget(&self, job: Uuid) -> Result<(), StoreError> {
        let run = || {
            self.store
                .db()
                .query("DELETE $id RETURN NONE")
                .bind(("id", key(job).record()))
                .into_future()
        };
        match retry(run).await? {
            Tx::Done(_) => Ok(()),
            other => Err(other.into()),
        }
    }

    /// An item whenever a job's text has grown. Some may be missed; it never ends by itself.
    pub async fn news(&self, job: Uuid) -> BoxStream<'static, ()> {
        match self.nats.client().subscribe(subject(job)).await {
            Ok(words) => words.map(|_| ()).chain(stream::pending()).boxed(),
            Err(error) => {
                tracing::debug!(%error, "nobody will say when a text grows");
                stream::pending().boxed()
            }
        }
    }
}

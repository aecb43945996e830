//! Waiting for what became of a command. The worker tells the waiting gateway on a subject named in the
//! command; should that word get lost, the inbox row says the same, a moment later.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::StreamExt;
use maru_schemas::outcome::Outcome;
use maru_streams::nats::Nats;
use maru_streams::store::Store;
use maru_streams::write::inbox::{handled, key_reused, last_word};
use tokio::sync::watch;
use tokio::time::Instant;
use uuid::Uuid;

/// The first look into the inbox, for who repeats a request; later looks are further apart.
const FIRST_LOOK: Duration = Duration::from_millis(150);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// The last look may take so long.
const LAST_LOOK: Duration = Duration::from_secs(1);

type Waiting = Arc<Mutex<HashMap<Uuid, watch::Sender<Option<Outcome>>>>>;

/// The server did not take the subscription.
#[derive(Debug, thiserror::Error)]
#[error("listen for outcomes: {0}")]
pub struct ListenError(String);

/// What the workers tell this gateway.
pub struct Outcomes {
    subject: String,
    waiting: Waiting,
    store: Store,
}

/// A wait that was prepared before the command is sent, so that no answer can come too early.
pub struct Wait {
    command: Uuid,
    context: &'static str,
    /// What is asked, as a keyed hash.
    fingerprint: Option<String>,
    told: watch::Receiver<Option<Outcome>>,
    waiting: Waiting,
    store: Store,
}

impl Outcomes {
    /// Listens, under a name of this gateway's own.
    ///
    /// # Errors
    /// When the server does not take the subscription.
    pub async fn listen(nats: &Nats, store: Store, gateway: Uuid) -> Result<Self, ListenError> {
        let subject = format!("reply.{}", gateway.simple());
        let waiting = Waiting::default();
        let mut told = nats
            .client()
            .subscribe(format!("{subject}.*"))
            .await
            .map_err(|error| ListenError(error.to_string()))?;
        let ours = Arc::clone(&waiting);
        tokio::spawn(async move {
            while let Some(message) = told.next().await {
                let id = message
                    .subject
                    .rsplit('.')
                    .next()
                    .and_then(|id| Uuid::parse_str(id).ok());
                let (Some(id), Ok(outcome)) = (id, serde_json::from_slice(&message.payload)) else {
                    continue;
                };
                let waiting = ours.lock().unwrap_or_else(PoisonError::into_inner);
                if let Some(told) = waiting.get(&id) {
                    told.send_replace(Some(outcome));
                }
            }
        });
        Ok(Self {
            subject,
            waiting,
            store,
        })
    }

    /// Where a command's outcome is to be told.
    #[must_use]
    pub fn reply_subject(&self, command: Uuid) -> String {
        format!("{}.{}", self.subject, command.simple())
    }

    /// Prepares to wait for a command. Several may wait for the same one.
    #[must_use]
    pub fn prepare(&self, context: &'static str, command: Uuid, fingerprint: Option<String>) -> Wait {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let told = waiting
            .entry(command)
            .or_insert_with(|| watch::Sender::new(None))
            .subscribe();
        Wait {
            command,
            context,
            fingerprint,
            told,
            waiting: Arc::clone(&self.waiting),
            store: self.store.clone(),
        }
    }
}

impl Wait {
    /// Whether something else was asked under this id before, as far as the inbox knows; for who does not wait.
    pub async fn is_for_something_else(&self) -> bool {
        let look = handled(&self.store, self.context, self.command);
        match tokio::time::timeout(LAST_LOOK, look).await {
            Ok(Ok(row)) => row.is_some_and(|row| row.fingerprint != self.fingerprint),
            // Whoever handles it says so, too.
            Ok(Err(_)) | Err(_) => false,
        }
    }

    /// Waits until there is a last word or the time is up. `again`: the command was sent before, so its
    /// last word may be in the inbox already.
    ///
    /// The command is kept by now, whatever becomes of this wait: an inbox that cannot be read is no news.
    pub async fn outcome(mut self, until: Instant, again: bool) -> Option<Outcome> {
        let mut pause = if again { Duration::ZERO } else { FIRST_LOOK };
        loop {
            let look_at = (Instant::now() + pause).min(until);
            if let Ok(told) = tokio::time::timeout_at(look_at, self.told.wait_for(Option::is_some)).await {
                return told.ok().and_then(|told| told.clone());
            }
            // The last look is taken when the time is up, and a database that is away must not make it long.
            let look_within = until.max(Instant::now() + LAST_LOOK);
            let look = last_word(&self.store, self.context, self.command);
            match tokio::time::timeout_at(look_within, look).await {
                Ok(Ok(Some(row))) if row.fingerprint != self.fingerprint => return Some(key_reused()),
                Ok(Ok(Some(row))) => return Some(row.outcome),
                Ok(Ok(None)) | Err(_) => {}
                Ok(Err(error)) => tracing::warn!(%error, "an outcome could not be looked up"),
            }
            if Instant::now() >= until {
                return None;
            }
            pause = (pause * 2).clamp(Duration::from_millis(20), LONGEST_PAUSE);
        }
    }
}

impl Drop for Wait {
    fn drop(&mut self) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        // Given up under the lock, so that of two that end at the same moment one is the last, and takes the entry along.
        self.told = watch::channel(None).1;
        if waiting
            .get(&self.command)
            .is_some_and(|told| told.receiver_count() == 0)
        {
            waiting.remove(&self.command);
        }
    }
}

//! Pulling from a consumer: one inbox, requests for exactly what is wanted, and an account of what is
//! still outstanding.
//!
//! We do not use the client's own `messages()` and `fetch()`: the first pulls ahead on a timer of its
//! own, the second stalls with heartbeats. A session ends, and is opened anew, whenever the connection
//! was made again, the server was silent for two heartbeats, or the consumer is not there.

use std::time::Duration;

use async_nats::{StatusCode, Subscriber};
use futures_util::StreamExt;
use tokio::sync::watch;
use tokio::time::timeout;

use crate::headers;
use crate::nats::Nats;
use crate::topology::READER_PATIENCE;

/// How long the server keeps a request open.
const EXPIRES: Duration = Duration::from_secs(30);
/// And in a group that serves one reader at a time. The server takes that reader for gone when none of their requests
/// has come for [`READER_PATIENCE`], whatever it sends them and however many are still open; so they ask often.
const EXPIRES_IN_GROUP: Duration = Duration::from_secs(4);
const _: () = assert!(EXPIRES_IN_GROUP.as_secs() * 2 < READER_PATIENCE.as_secs());
/// How often the server says that it is alive while nothing comes.
const HEARTBEAT: Duration = Duration::from_secs(5);
/// How long one that leaves waits for the client, and for the server's answer.
const LEAVING: Duration = Duration::from_secs(1);

/// Pull requests on one consumer.
pub struct Session {
    nats: Nats,
    inbox: String,
    incoming: Subscriber,
    api: String,
    group: Option<&'static str>,
    pin: Option<String>,
    outstanding: usize,
    connects: watch::Receiver<u64>,
}

/// What a session came upon.
#[derive(Debug)]
pub enum Next {
    /// A message, and by whom it is to be settled: its reply subject.
    Message(Box<async_nats::Message>),
    /// Some requested messages will not come; ask again.
    Ended,
}

/// Why a session is over. Open another one.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// The subscription could not be made.
    #[error("subscribe: {0}")]
    Subscribe(String),
    /// How far the stream is could not be learnt.
    #[error("how far the stream is: {0}")]
    Begin(String),
    /// The connection was lost and made again; requests on the old one are gone.
    #[error("the connection was made again")]
    Reconnected,
    /// Not even a heartbeat came.
    #[error("the server was silent")]
    Silent,
    /// The server says that there is no such consumer, or that it goes away.
    #[error("the server ended the pull: {0}")]
    Gone(String),
}

impl Session {
    /// Opens a session on a durable consumer; `group` for one that serves one reader at a time.
    ///
    /// # Errors
    /// When the inbox cannot be subscribed.
    pub async fn open(
        nats: &Nats,
        stream: &str,
        consumer: &str,
        group: Option<&'static str>,
    ) -> Result<Self, SessionError> {
        let mut connects = nats.connects();
        connects.mark_unchanged();
        let inbox = nats.client().new_inbox();
        let incoming = timeout(HEARTBEAT, nats.client().subscribe(inbox.clone()))
            .await
            .map_err(|_| SessionError::Subscribe("no place in the client's queue".to_owned()))?
            .map_err(|error| SessionError::Subscribe(error.to_string()))?;
        Ok(Self {
            nats: nats.clone(),
            inbox,
            incoming,
            api: format!("$JS.API.CONSUMER.MSG.NEXT.{stream}.{consumer}"),
            group,
            pin: None,
            outstanding: 0,
            connects,
        })
    }

    /// Goes on as the reader that the group served before, so that it need not wait until the server
    /// takes that one for gone.
    #[must_use]
    pub fn pinned(mut self, pin: Option<String>) -> Self {
        self.pin = pin;
        self
    }

    /// Who the server takes this for, in a group that serves one reader at a time.
    #[must_use]
    pub fn pin(&self) -> Option<String> {
        self.pin.clone()
    }

    /// Leaves: no pull of ours is answered any more. What the server had sent by then and is not taken yet; it takes
    /// that for delivered, whatever made us leave. Best effort: the client does not wait for the server to know before
    /// it throws away what still comes.
    pub async fn leave(&mut self) -> Vec<async_nats::Message> {
        let mut left = Vec::new();
        let rest = async {
            // `unsubscribe` would throw away what is on its way. In a group that may be what tells us that the server has
            // begun to serve us at this very moment, so that it serves nobody else until `hand_over`.
            let _ = self.incoming.drain().await;
            while let Some(message) = self.incoming.next().await {
                if message.status.is_some() {
                    continue;
                }
                if let Some(pin) = header(&message, "Nats-Pin-Id") {
                    self.pin = Some(pin);
                }
                left.push(message);
            }
        };
        let _ = timeout(LEAVING, rest).await;
        left
    }

    /// Has another reader served at once. Otherwise the server would wait until it takes us for gone. Best effort.
    pub async fn hand_over(&self, stream: &str, consumer: &str) {
        let Some(group) = self.group else { return };
        let request = serde_json::json!({ "group": group }).to_string();
        let subject = format!("$JS.API.CONSUMER.UNPIN.{stream}.{consumer}");
        let _ = timeout(LEAVING, self.nats.client().request(subject, request.into())).await;
    }

    /// How many requested messages have not come yet.
    #[must_use]
    pub const fn outstanding(&self) -> usize {
        self.outstanding
    }

    /// Asks for so many more messages.
    ///
    /// # Errors
    /// When the request cannot be sent.
    pub async fn request(&mut self, batch: usize) -> Result<(), SessionError> {
        let expires = if self.group.is_some() {
            EXPIRES_IN_GROUP
        } else {
            EXPIRES
        };
        let mut request = serde_json::json!({
            "batch": batch,
            "expires": nanos(expires),
            "idle_heartbeat": nanos(HEARTBEAT.min(expires / 2)),
        });
        if let Some(group) = self.group {
            request["group"] = group.into();
        }
        if let Some(pin) = &self.pin {
            request["id"] = pin.clone().into();
        }
        let sent =
            self.nats
                .client()
                .publish_with_reply(self.api.clone(), self.inbox.clone(), request.to_string().into());
        timeout(HEARTBEAT, sent)
            .await
            .map_err(|_| SessionError::Silent)?
            .map_err(|error| SessionError::Gone(error.to_string()))?;
        self.outstanding += batch;
        Ok(())
    }

    /// Waits for what comes next. May be dropped while waiting; nothing is lost by it.
    ///
    /// # Errors
    /// When the session is over.
    pub async fn next(&mut self) -> Result<Next, SessionError> {
        loop {
            let message = tokio::select! {
                biased;
                _ = self.connects.changed() => return Err(SessionError::Reconnected),
                message = timeout(HEARTBEAT * 2, self.incoming.next()) => match message {
                    Ok(Some(message)) => message,
                    Ok(None) => return Err(SessionError::Gone("the subscription ended".to_owned())),
                    // Without an open request silence is as it should be.
                    Err(_) if self.outstanding == 0 => continue,
                    Err(_) => return Err(SessionError::Silent),
                },
            };
            let Some(status) = message.status else {
                self.outstanding = self.outstanding.saturating_sub(1);
                if let Some(pin) = header(&message, "Nats-Pin-Id") {
                    self.pin = Some(pin);
                }
                return Ok(Next::Message(Box::new(message)));
            };
            match status.as_u16() {
                100 => {}
                404 | 408 => return Ok(self.ended(&message)),
                // The pin was given to somebody else, or expired; ask without one.
                423 => {
                    self.pin = None;
                    return Ok(self.ended(&message));
                }
                409 if is_transient(&message) => return Ok(self.ended(&message)),
                _ => return Err(SessionError::Gone(describe(status, &message))),
            }
        }
    }

    fn ended(&mut self, message: &async_nats::Message) -> Next {
        let pending = header(message, "Nats-Pending-Messages").and_then(|pending| pending.parse().ok());
        self.outstanding = self.outstanding.saturating_sub(pending.unwrap_or(self.outstanding));
        Next::Ended
    }
}

fn is_transient(message: &async_nats::Message) -> bool {
    message.description.as_deref().is_some_and(|text| {
        let text = text.to_ascii_lowercase();
        text.contains("batch completed") || text.contains("maxbytes") || text.contains("exceeded maxwaiting")
    })
}

fn describe(status: StatusCode, message: &async_nats::Message) -> String {
    format!("{status} {}", message.description.as_deref().unwrap_or_default())
}

fn header(message: &async_nats::Message, name: &str) -> Option<String> {
    headers::header(message.headers.as_ref()?, name).map(str::to_owned)
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

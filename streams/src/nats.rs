//! The connection to the streaming server: one a process, shared by cloning.
//!
//! Its outgoing commands queue while the server is away and calls then wait without an end, so
//! whoever must answer somebody asks [`Nats::is_connected`] first and puts a time limit on the call.

use std::time::Duration;

use async_nats::jetstream;
use async_nats::jetstream::message::StreamMessage;
use async_nats::jetstream::stream::{RawMessageError, RawMessageErrorKind};
use async_nats::{ConnectOptions, Event, ServerAddr, connection::State};
use tokio::sync::watch;

/// How long a request to the JetStream API may take before its outcome counts as unknown.
pub const API_TIMEOUT: Duration = Duration::from_secs(5);

/// A connection to nats-server.
#[derive(Clone)]
pub struct Nats {
    client: async_nats::Client,
    context: jetstream::Context,
    connects: watch::Receiver<u64>,
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum NatsError {
    /// The server could not be reached.
    #[error("connect to nats-server at {url}")]
    Connect {
        /// Where, without credentials.
        url: String,
        /// Why.
        #[source]
        source: async_nats::ConnectError,
    },
    /// The server is older than what Maru is built on.
    #[error("nats-server {found} is too old: Maru needs 2.14 or newer")]
    TooOld {
        /// The version it told.
        found: String,
    },
}

/// The client does not take user and password out of an address by itself. All servers of a cluster know the
/// same users, so those of the first address are good everywhere.
fn signed_in(url: &str) -> ConnectOptions {
    let first = url.split(',').next().unwrap_or_default();
    let address = first.parse::<ServerAddr>().ok();
    let user = |address: &ServerAddr| Some((address.username()?.to_owned(), address.password()?.to_owned()));
    match address.as_ref().and_then(user) {
        Some((user, password)) => ConnectOptions::with_user_and_password(user, password),
        // What is wrong with an address is said by whoever connects to it.
        None => ConnectOptions::new(),
    }
}

/// The newest message under a subject, which may have wildcards, as the stream's leader knows it. A direct read may
/// be answered by a replica that is a moment behind; that is for where a moment does not matter.
///
/// # Errors
/// When the leader does not answer.
pub(crate) async fn latest(nats: &Nats, stream: &str, subject: &str) -> Result<Option<StreamMessage>, RawMessageError> {
    let stream = nats.jetstream().get_stream_no_info(stream).await;
    let stream = stream.map_err(|error| RawMessageError::with_source(RawMessageErrorKind::Other, error))?;
    match stream.get_last_raw_message_by_subject(subject).await {
        Ok(message) => Ok(Some(message)),
        Err(error) if error.kind() == RawMessageErrorKind::NoMessageFound => Ok(None),
        Err(error) => Err(error),
    }
}

impl Nats {
    /// Connects to a server, or to one of several that are named with commas between, and checks that it is new
    /// enough. The others of a cluster are heard of from the one that answers.
    ///
    /// # Errors
    /// When the server cannot be reached or is older than 2.14.
    pub async fn connect(url: &str, name: &str) -> Result<Self, NatsError> {
        let (connected, mut connects) = watch::channel(0_u64);
        let client = signed_in(url)
            .name(name)
            // The default notices a silent peer after three minutes only.
            .ping_interval(Duration::from_secs(10))
            .event_callback(move |event| {
                match &event {
                    Event::Connected => connected.send_modify(|count| *count += 1),
                    Event::Disconnected => tracing::warn!("the connection to nats-server is lost"),
                    Event::SlowConsumer(_) => tracing::error!("a subscription overflowed and lost messages"),
                    other => tracing::debug!(event = %other, "nats"),
                }
                metrics::counter!("maru_nats_events_total", "event" => name_of(&event)).increment(1);
                async {}
            })
            .connect(url.split(',').map(str::trim).collect::<Vec<_>>())
            .await
            .map_err(|source| NatsError::Connect {
                url: without_credentials(url),
                source,
            })?;
        if !client.is_server_compatible(2, 14, 0) {
            return Err(NatsError::TooOld {
                found: client.server_info().version,
            });
        }
        // The news of the first connection comes a moment later; whoever begins to listen before it would
        // take it for a second one.
        let _ = tokio::time::timeout(API_TIMEOUT, connects.wait_for(|count| *count > 0)).await;
        let context = jetstream::context::ContextBuilder::new()
            .timeout(API_TIMEOUT)
            .build(client.clone());
        Ok(Self {
            client,
            context,
            connects,
        })
    }

    /// Whether the server is there right now.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.client.connection_state() == State::Connected
    }

    /// Counts (re)connections; changes whenever one is made.
    #[must_use]
    pub fn connects(&self) -> watch::Receiver<u64> {
        self.connects.clone()
    }

    /// The plain client, for requests and subscriptions.
    #[must_use]
    pub const fn client(&self) -> &async_nats::Client {
        &self.client
    }

    /// The JetStream side.
    #[must_use]
    pub const fn jetstream(&self) -> &jetstream::Context {
        &self.context
    }

    /// Sends what is buffered and closes; the last thing a process does. Bounded, because both wait
    /// for a server that may be away.
    pub async fn close(&self) {
        let _ = tokio::time::timeout(Duration::from_secs(2), async {
            let _ = self.client.flush().await;
            let _ = self.client.drain().await;
        })
        .await;
    }
}

fn name_of(event: &Event) -> &'static str {
    match event {
        Event::Connected => "connected",
        Event::Disconnected => "disconnected",
        Event::SlowConsumer(_) => "slow_consumer",
        Event::ServerError(_) => "server_error",
        Event::ClientError(_) => "client_error",
        _ => "other",
    }
}

/// Addresses as they may be shown: who signs in there, and with what, is left out.
#[must_use]
pub fn without_credentials(urls: &str) -> String {
    let plain = urls
        .split(',')
        .map(|url| match (url.split_once("://"), url.rsplit_once('@')) {
            (Some((scheme, _)), Some((_, host))) => format!("{scheme}://{host}"),
            _ => url.to_owned(),
        });
    plain.collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_password_in_the_url_is_not_repeated_in_an_error() {
        assert_eq!(
            super::without_credentials("nats://me:secret@host:4222"),
            "nats://host:4222"
        );
        assert_eq!(super::without_credentials("nats://host:4222"), "nats://host:4222");
        assert_eq!(
            super::without_credentials("nats://one:4222,nats://me:secret@two:4222"),
            "nats://one:4222,nats://two:4222"
        );
    }
}

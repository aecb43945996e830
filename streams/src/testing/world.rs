//! A whole installation for one test: server, database, publishers, clock.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_nats::jetstream;
use jiff::{SignedDuration, Timestamp};
use tempfile::TempDir;

use crate::intention::{Clock, Intend};
use crate::jobs::Engine;
use crate::letters::Letters;
use crate::nats::Nats;
use crate::publish::Publisher;
use crate::server::{self, NatsServer, ServerOptions};
use crate::store::{Addresses, Store};
use crate::topology::{self, COMMANDS, Consumer, EVENTS, JOBS, Size};
use crate::write::outbox::Outbox;

/// An installation that goes away with the test.
pub struct World {
    /// The streaming server; `None` once taken.
    pub server: NatsServer,
    /// A connection to it.
    pub nats: Nats,
    /// The database.
    pub store: Store,
    /// Into COMMANDS.
    pub commands: Publisher,
    /// Into JOBS.
    pub jobs: Publisher,
    /// Into EVENTS.
    pub events: Publisher,
    /// What lanes need.
    pub engine: Engine,
    /// The time.
    pub clock: MovableClock,
    folder: TempDir,
}

/// The streams' size in tests: large enough to hold what a test sends.
const SIZE: Size = Size {
    max_bytes: 256 << 20,
    replicas: 1,
};

/// Where the set-up step puts the server, from wherever the test runs.
#[must_use]
pub fn program() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.maru/bin");
    server::find(&root).expect("run `make setup` first: it fetches nats-server")
}

impl World {
    /// An installation with its database in memory and these consumers.
    pub async fn new(consumers: &[Consumer]) -> Self {
        Self::on("mem://", &[], consumers).await
    }

    /// The same, with a database of its own for each of these contexts.
    pub async fn divided(own: &[&'static str], consumers: &[Consumer]) -> Self {
        Self::on("mem://", own, consumers).await
    }

    /// An installation whose database is on disk, as in production.
    pub async fn on_disk(consumers: &[Consumer]) -> Self {
        Self::on("surrealkv://", &[], consumers).await
    }

    async fn on(engine: &str, own: &[&'static str], consumers: &[Consumer]) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let server = NatsServer::start(ServerOptions {
            program: program(),
            data: folder.path().join("nats"),
            port: None,
            sync_always: true,
        })
        .expect("a nats-server");
        let nats = Nats::connect(server.url(), "test").await.expect("a connection");
        topology::apply(&nats, consumers, SIZE).await.expect("the topology");
        let url = match engine {
            "mem://" => engine.to_owned(),
            _ => format!("{engine}{}", folder.path().join("db").display()),
        };
        let databases = Addresses {
            main: url,
            own: own.iter().map(|context| (*context, engine.to_owned())).collect(),
        };
        let store = Store::open(databases, None).await.expect("a database");
        let clock = MovableClock::default();
        let jobs = Publisher::start(nats.clone(), JOBS);
        Self {
            commands: Publisher::start(nats.clone(), COMMANDS),
            jobs: jobs.clone(),
            events: Publisher::start(nats.clone(), EVENTS),
            engine: Engine::new(
                nats.clone(),
                store.clone(),
                jobs.clone(),
                Letters::new(nats.clone(), store.clone(), clock.clock()),
                clock.clock(),
            ),
            clock,
            server,
            nats,
            store,
            folder,
        }
    }

    /// Carries events out.
    #[must_use]
    pub fn outbox(&self) -> Outbox {
        Outbox::new(self.store.clone(), self.events.clone())
    }

    /// Sends intentions.
    #[must_use]
    pub fn intend(&self) -> Intend {
        Intend::new(self.commands.clone(), self.jobs.clone(), self.clock.clock())
    }

    /// The temporary folder of everything.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Makes further consumers.
    pub async fn apply(&self, consumers: &[Consumer]) {
        topology::apply(&self.nats, consumers, SIZE)
            .await
            .expect("the topology");
    }

    /// How many messages of a consumer are not settled; asked again while the server is away.
    pub async fn unsettled(&self, stream: &str, consumer: &str) -> u64 {
        self.standing(stream, consumer).await.0
    }

    /// The same of a consumer that hears everything in its stream. The server counts in its own time: right after
    /// something was stored it may still say that nothing waits.
    pub async fn unsettled_of_all(&self, stream: &str, consumer: &str) -> u64 {
        let last = loop {
            match self.nats.jetstream().get_stream(stream).await {
                Ok(stream) => break stream.cached_info().state.last_sequence,
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        };
        let (unsettled, delivered) = self.standing(stream, consumer).await;
        unsettled.max(last.saturating_sub(delivered))
    }

    /// How many are not settled, and the last that was delivered.
    async fn standing(&self, stream: &str, consumer: &str) -> (u64, u64) {
        for _ in 0..100 {
            if let Ok(info) = topology::consumer_info(&self.nats, stream, consumer).await {
                let unsettled = info.num_pending + info.num_ack_pending as u64;
                return (unsettled, info.delivered.stream_sequence);
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("the server does not tell about {consumer}");
    }

    /// Lets the server give up sooner on a worker that is gone, so that a test of it is quick. A running
    /// handler is looked after as seldom as always: this is for work that is shorter.
    pub async fn shorten_ack_wait(&self, consumer: &Consumer, ack_wait: Duration) {
        let info = topology::consumer_info(&self.nats, consumer.stream, &consumer.name)
            .await
            .expect("the consumer");
        let config = jetstream::consumer::Config {
            ack_wait,
            ..info.config
        };
        let js = self.nats.jetstream();
        js.create_consumer_on_stream(config, consumer.stream)
            .await
            .expect("it is changed");
    }

    /// How many messages a stream holds; asked again while the server is away.
    pub async fn count(&self, stream: &str) -> u64 {
        for _ in 0..10 {
            if let Ok(stream) = self.nats.jetstream().get_stream(stream).await {
                return stream.cached_info().state.messages;
            }
        }
        panic!("the server does not tell about {stream}");
    }
}

/// A clock that goes when told to.
#[derive(Clone)]
pub struct MovableClock(Arc<Mutex<Timestamp>>);

impl Default for MovableClock {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(
            Timestamp::from_second(1_800_000_000).expect("a time"),
        )))
    }
}

impl MovableClock {
    /// Moves on.
    pub fn advance(&self, by: Duration) {
        let mut now = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *now += SignedDuration::try_from(by).expect("a short time");
    }

    /// As the house takes it.
    #[must_use]
    pub fn clock(&self) -> Clock {
        let now = Arc::clone(&self.0);
        Clock::from_fn(move || *now.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Waits until something is so, and fails the test with `what` if it is not within three quarters of a
/// minute: longer than the server waits before it delivers again what got lost on the way.
pub async fn until<F: AsyncFnMut() -> bool>(what: &str, mut is_so: F) {
    let waited = tokio::time::timeout(Duration::from_secs(45), async {
        while !is_so().await {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    assert!(waited.await.is_ok(), "never happened: {what}");
}

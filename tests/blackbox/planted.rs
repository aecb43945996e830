//! A Maru with a bug, for `maru verify` to find. It is no test: `verify` runs this program as the build
//! to prove. No build of Maru contains the bug, so no setting can bring it about.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use maru_gateway::keys::Keys;
use maru_gateway::proxies::Proxies;
use maru_gateway::{Door, Settings};
use maru_streams::durability;
use maru_streams::intention::Clock;
use maru_streams::jobs::{Delivery, Handler, Lane, Reason, Verdict};
use maru_streams::nats::Nats;
use maru_streams::server::{NatsServer, ServerOptions};
use maru_streams::store::Store;
use maru_streams::testing::program;
use maru_streams::topology::{self, Size};
use maru_workers::house::{House, Parts};
use maru_workers::ports::ai::Sketch;
use maru_workers::ports::sandbox::Sandbox;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// How slow its commits are, so that a few kills are enough to hit one.
const SLOW: Duration = Duration::from_millis(50);

/// Tells the server that a message is done with, and begins to work on it then.
struct AcksFirst(Arc<dyn Handler>);

impl AcksFirst {
    fn wrap(mut lane: Lane) -> Lane {
        if lane.name.starts_with("cmd-") {
            lane.handler = Arc::new(Self(lane.handler));
        }
        lane
    }
}

impl Handler for AcksFirst {
    fn handle(self: Arc<Self>, delivery: Arc<Delivery>) -> BoxFuture<'static, Verdict> {
        tokio::spawn(async move {
            tokio::time::sleep(SLOW).await;
            Arc::clone(&self.0).handle(delivery).await
        });
        async { Verdict::Done }.boxed()
    }

    fn give_up(self: Arc<Self>, delivery: Arc<Delivery>, reason: Reason) -> BoxFuture<'static, Result<(), Reason>> {
        Arc::clone(&self.0).give_up(delivery, reason)
    }
}

#[test]
#[ignore = "is a Maru with a bug, which `verify_finds_an_ack_before_commit` starts"]
fn a_maru_that_acknowledges_before_it_commits() {
    let (Ok(data), Ok(api)) = (std::env::var("MARU_DATA"), std::env::var("MARU_API")) else {
        return;
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_stack_size(10 << 20)
        .build()
        .expect("a runtime");
    runtime.block_on(runs(PathBuf::from(data), api.parse().expect("an address")));
}

/// As `maru up` does it, with every lane wrapped.
async fn runs(data: PathBuf, api: SocketAddr) {
    std::fs::create_dir_all(&data).expect("a folder");
    let listener = tokio::net::TcpListener::bind(api).await.expect("the port");
    let options = ServerOptions {
        program: program(),
        data: data.join("nats"),
        port: None,
        sync_always: true,
    };
    let server = tokio::task::spawn_blocking(move || NatsServer::start(options)).await;
    let server = server.expect("a thread").expect("a nats-server");
    let nats = Nats::connect(server.url(), "planted").await.expect("a connection");
    let database = format!("surrealkv://{}", data.join("db").display());
    let store = Store::open(&database, None).await.expect("a database");
    let house = House::new(Parts {
        nats: nats.clone(),
        store: store.clone(),
        clock: Clock::system(),
        ai: Arc::new(Sketch),
        bank: Arc::new(Sandbox::new(store.clone())),
        bank_timeout: Duration::from_secs(3),
    });
    let size = Size {
        max_bytes: 256 << 20,
        replicas: 1,
    };
    topology::apply(&nats, &house.consumers(), size)
        .await
        .expect("the topology");
    let durability = durability::read(&nats, Some(server.monitor()), &database.as_str().into()).await;
    let settings = Settings {
        requests_per_second: 100_000.try_into().expect("a number"),
        proxies: Proxies::default(),
        requests_at_once: 1024,
        longest_wait: Duration::from_secs(900),
    };
    let keys = Keys::open(&data.join("keys")).expect("keys");
    let door = Door::new(nats.clone(), store.clone(), keys, Clock::system(), durability, settings);
    let door = door.await.expect("a door");
    let working = house.wrap(AcksFirst::wrap).start(&[]);
    let stop = CancellationToken::new();
    let asked = stop.clone();
    let mut terminate = signal(SignalKind::terminate()).expect("a signal");
    tokio::spawn(async move {
        terminate.recv().await;
        asked.cancel();
    });
    maru_gateway::serve(door, listener, stop).await.expect("the door");
    working.stop().await;
    nats.close().await;
    drop(store);
    // The database writes out what it holds in memory after its last handle is gone.
    let log = data.join("db/wal");
    maru_streams::testing::until("the database is closed", async || {
        std::fs::read_dir(&log).is_ok_and(|mut files| files.next().is_none())
    })
    .await;
    drop(server);
}

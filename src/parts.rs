//! What the subcommands put together: a house of workers, and a door.

use std::fs::DirBuilder;
use std::net::SocketAddr;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use maru_gateway::keys::Keys;
use maru_gateway::proxies::Proxies;
use maru_gateway::{Door, Settings};
use maru_streams::durability::{self, Durability};
use maru_streams::heal::lost_context;
use maru_streams::intention::Clock;
use maru_streams::nats::Nats;
use maru_streams::store::{Addresses, Store, StoreError};
use maru_workers::house::{House, Parts};
use maru_workers::ports::ai::{Ai, Sketch};
use maru_workers::ports::openai::OpenAi;
use maru_workers::ports::sandbox::Sandbox;
use secrecy::ExposeSecret;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::settings::{Limits, Outside, Servers};

/// A port that somebody else has.
#[derive(Debug, thiserror::Error)]
#[error("{what} cannot listen on {address}: {why}; choose another address with {option}")]
pub struct ListenError {
    what: &'static str,
    address: SocketAddr,
    why: String,
    option: &'static str,
}

/// Takes an address, before anything else is started.
pub async fn listen(what: &'static str, address: SocketAddr, option: &'static str) -> Result<TcpListener, ListenError> {
    TcpListener::bind(address).await.map_err(|error| ListenError {
        what,
        address,
        why: match error.kind() {
            std::io::ErrorKind::AddrInUse => "the port is in use".to_owned(),
            std::io::ErrorKind::PermissionDenied => "this user may not take it".to_owned(),
            _ => error.to_string(),
        },
        option,
    })
}

/// Who writes and paints, as the settings say.
pub fn ai(outside: &Outside) -> Result<Arc<dyn Ai>, Box<dyn std::error::Error>> {
    Ok(match outside.openai() {
        Some(settings) => Arc::new(OpenAi::new(settings)?),
        None => Arc::new(Sketch),
    })
}

/// All workers, not started yet.
pub fn house(nats: &Nats, store: &Store, ai: Arc<dyn Ai>, bank_timeout: Duration) -> House {
    House::new(Parts {
        nats: nats.clone(),
        store: store.clone(),
        clock: Clock::system(),
        ai,
        bank: Arc::new(Sandbox::new(store.clone())),
        bank_timeout,
    })
}

/// Production wants more than this installation can promise.
#[derive(Debug, thiserror::Error)]
#[error(
    "in production \"accepted\" must survive a power cut, but these servers keep it as \"buffered\" only; give \
     nats-server `sync_interval: always` and its monitoring address with --nats-monitor, and the database `sync=every`"
)]
pub struct NotDurable;

/// A door on these servers, which knows what "accepted" is worth.
pub async fn door(
    nats: &Nats,
    store: &Store,
    monitor: Option<&str>,
    databases: &Addresses,
    keys: &Path,
    limits: &Limits,
) -> Result<Arc<Door>, Box<dyn std::error::Error>> {
    let durability = durability::read(nats, monitor, databases).await;
    if limits.production && durability == Durability::Buffered {
        return Err(NotDurable.into());
    }
    let settings = Settings {
        requests_per_second: limits.requests_per_second,
        requests_at_once: limits.requests_at_once,
        longest_wait: Duration::from_secs(limits.longest_wait_s),
        proxies: Proxies::new(limits.trusted_proxies.clone()),
    };
    let keys = Keys::open(keys)?;
    let (nats, store) = (nats.clone(), store.clone());
    let door = Door::new(nats.clone(), store, keys, Clock::system(), durability, settings).await?;
    let (monitor, databases) = (monitor.map(str::to_owned), databases.clone());
    tokio::spawn(durability::watch(nats, monitor, databases, door.stop.clone()));
    if let Some(password) = &limits.admin_password {
        door.appoint_administrator(password.expose_secret()).await?;
    }
    Ok(door)
}

/// Between two tries to reach the servers, and two words that they are still waited for.
const TRY_EVERY: Duration = Duration::from_millis(500);
const TELL_EVERY: Duration = Duration::from_secs(60);

/// The database is empty, and the streams are not.
#[derive(Debug, thiserror::Error)]
#[error(
    "EVENTS tells of {0}, and the database knows nothing of them: its data was lost, or it is another one. Name the right \
     one, or bring it back (`maru restore --database-only`, docs/operating/backup.md); nothing was started"
)]
struct Lost(&'static str);

/// The servers of one's own, with every database whatever part this process does; none, if a stop was asked for while they
/// were waited for. They are waited for without end: who started while one is away, in the middle of the night, is there as
/// soon as it is back, and says until then on its metrics page that it takes no work.
pub async fn servers(
    servers: &Servers,
    name: &str,
    stop: &CancellationToken,
) -> Result<Option<(Nats, Store)>, Box<dyn std::error::Error>> {
    // What is said wrongly does not get better by waiting.
    let databases = servers.databases()?;
    let reach = async || -> Result<(Nats, Store), Box<dyn std::error::Error>> {
        let nats = Nats::connect(&servers.nats, name).await?;
        let store = Store::open(&databases, servers.credentials()).await?;
        match lost_context(&nats, &store, &maru_schemas::CONTEXTS).await? {
            Some(context) => Err(Lost(context).into()),
            None => Ok((nats, store)),
        }
    };
    let begun = Instant::now();
    let mut told_at: Option<Instant> = None;
    loop {
        match stop.run_until_cancelled(reach()).await {
            None => return Ok(None),
            Some(Ok(reached)) => return Ok(Some(reached)),
            Some(Err(error)) if is_told_wrongly(&*error) => return Err(error),
            Some(Err(error)) => {
                let why = crate::sentence(&*error);
                match told_at {
                    None => tracing::info!(why, "waiting for the servers"),
                    Some(at) if at.elapsed() < TELL_EVERY => {}
                    Some(_) => tracing::warn!(
                        why,
                        seconds = begun.elapsed().as_secs(),
                        "still waiting for the servers"
                    ),
                }
                if told_at.is_none_or(|at| at.elapsed() >= TELL_EVERY) {
                    told_at = Some(Instant::now());
                }
            }
        }
        let _ = stop.run_until_cancelled(tokio::time::sleep(TRY_EVERY)).await;
    }
}

/// Whether somebody has to say it otherwise.
fn is_told_wrongly(error: &(dyn std::error::Error + 'static)) -> bool {
    matches!(error.downcast_ref(), Some(StoreError::Divided { .. })) || error.is::<Lost>()
}

/// The embedded database could not be opened.
#[derive(Debug, thiserror::Error)]
#[error("the database in {folder} cannot be opened: {why}")]
pub struct DatabaseError {
    folder: String,
    why: String,
}

/// Opens the embedded database of a data folder.
pub async fn database(data: &Path) -> Result<Store, DatabaseError> {
    let folder = data.join("db");
    Store::open(database_url(data).as_str(), None)
        .await
        .map_err(|error| DatabaseError {
            folder: folder.display().to_string(),
            why: crate::sentence(&error),
        })
}

/// Opens it again after [`close`]: the engine lets go of its folder a moment after everything is written.
pub async fn reopen(data: &Path) -> Result<Store, DatabaseError> {
    let until = Instant::now() + Duration::from_secs(30);
    loop {
        match database(data).await {
            Err(_) if Instant::now() < until => tokio::time::sleep(Duration::from_millis(20)).await,
            outcome => return outcome,
        }
    }
}

/// The address of the embedded database of a data folder.
pub fn database_url(data: &Path) -> String {
    format!("surrealkv://{}", data.join("db").display())
}

/// Dropping the last handle makes the engine write out what it holds in memory, in a task of its own.
/// Ending the process before that is done would lose the newest commits, so the write-ahead log is
/// watched until it is empty, for a while at most. Whether it was.
pub async fn close(store: Store, folder: &Path) -> bool {
    drop(store);
    let log = folder.join("wal");
    let is_empty = || std::fs::read_dir(&log).is_ok_and(|mut files| files.next().is_none());
    let closing = async {
        while !is_empty() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let is_closed = tokio::time::timeout(Duration::from_secs(60), closing).await.is_ok();
    if !is_closed {
        tracing::warn!("the database did not finish writing out what it holds in memory");
    }
    is_closed
}

/// Makes a folder unless it is there. People's words lie in it: nobody else on the machine is to read them.
pub fn private_folder(folder: &Path) -> std::io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

//! What the subcommands put together: a house of workers, and a door.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use maru_gateway::keys::Keys;
use maru_gateway::{Door, Settings};
use maru_streams::durability::{self, Durability};
use maru_streams::intention::Clock;
use maru_streams::nats::Nats;
use maru_streams::store::Store;
use maru_workers::house::{House, Parts};
use maru_workers::ports::ai::{Ai, Sketch};
use maru_workers::ports::openai::OpenAi;
use maru_workers::ports::sandbox::Sandbox;
use secrecy::ExposeSecret;
use tokio::net::TcpListener;

use crate::settings::{Limits, Outside};

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
    database: &str,
    keys: &Path,
    limits: &Limits,
) -> Result<Arc<Door>, Box<dyn std::error::Error>> {
    let durability = durability::read(nats, monitor, database).await;
    if limits.production && durability == Durability::Buffered {
        return Err(NotDurable.into());
    }
    let settings = Settings {
        requests_per_second: limits.requests_per_second,
        requests_at_once: limits.requests_at_once,
    };
    let keys = Keys::open(keys)?;
    let (nats, store) = (nats.clone(), store.clone());
    let door = Door::new(nats, store, keys, Clock::system(), durability, settings).await?;
    if let Some(password) = &limits.admin_password {
        door.appoint_administrator(password.expose_secret()).await?;
    }
    Ok(door)
}

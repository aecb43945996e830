//! A nats-server of our own: found, started on a free port, watched, started again if it dies, and
//! stopped last.
//!
//! The server takes no lock on its data, and would outlive us if we were killed. So the folder is
//! locked here, the child inherits the lock (it is held until both are gone), and the kernel is asked
//! to end the child when we end. That request is bound to the thread that made it, which is why a
//! thread of its own starts the child and waits for it.

use std::fs::{self, File, OpenOptions};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};
use rustix::process::{Pid, Signal, kill_process};

/// The oldest server that has what Maru is built on.
const OLDEST: (u32, u32) = (2, 14);
/// How long a server may take to open its streams, or to close them.
const PATIENCE: Duration = Duration::from_secs(20);

/// Why there is no server.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// None was found.
    #[error(
        "nats-server was not found in PATH or in {}; `make run` puts one there, or install version 2.14 or newer",
        .0.display()
    )]
    Missing(PathBuf),
    /// One was found, but it is too old, and there is no other.
    #[error(
        "the nats-server in PATH is version {found}, Maru needs 2.14 or newer; `make run` puts a newer one into {}",
        .folder.display()
    )]
    TooOld {
        /// Its version.
        found: String,
        /// Where a newer one would be looked for.
        folder: PathBuf,
    },
    /// Somebody else uses the data folder.
    #[error("the data folder {} is in use by another Maru; stop that one, or give this one its own with --data", .0.display())]
    Locked(PathBuf),
    /// It could not be started.
    #[error("start nats-server: {0}")]
    Start(String),
}

/// Where it keeps its data, and how.
#[derive(Debug, Clone)]
pub struct ServerOptions {
    /// The program, from [`find`].
    pub program: PathBuf,
    /// Its own folder.
    pub data: PathBuf,
    /// Its port on loopback; any free one if not said.
    pub port: Option<u16>,
    /// Whether every write goes through to the disk before it is acknowledged.
    pub sync_always: bool,
}

/// A running server. Dropping it stops it.
pub struct NatsServer {
    url: String,
    monitor: String,
    pid: Arc<AtomicU32>,
    stopping: Arc<AtomicBool>,
    keeper: Option<JoinHandle<()>>,
    _lock: Arc<File>,
}

/// Finds a server that is new enough: in PATH, else in `folder`.
///
/// # Errors
/// When there is none, or only an old one.
pub fn find(folder: &Path) -> Result<PathBuf, ServerError> {
    let mut too_old = None;
    for program in [PathBuf::from("nats-server"), folder.join("nats-server")] {
        match version(&program) {
            Some((version, _)) if version >= OLDEST => return Ok(program),
            Some((_, text)) => too_old = Some(text),
            None => {}
        }
    }
    let folder = folder.to_path_buf();
    Err(match too_old {
        Some(found) => ServerError::TooOld { found, folder },
        None => ServerError::Missing(folder),
    })
}

fn version(program: &Path) -> Option<((u32, u32), String)> {
    let told = Command::new(program).arg("--version").output().ok()?;
    let told = String::from_utf8(told.stdout).ok()?;
    let text = told.trim().rsplit('v').next()?.to_owned();
    let mut parts = text.split('.').map_while(|part| part.parse().ok());
    Some(((parts.next()?, parts.next()?), text))
}

impl NatsServer {
    /// Starts a server and waits until it answers.
    ///
    /// # Errors
    /// When the folder is somebody else's, or the server does not come up.
    pub fn start(options: ServerOptions) -> Result<Self, ServerError> {
        let failed = |error: std::io::Error| ServerError::Start(error.to_string());
        fs::create_dir_all(&options.data).map_err(failed)?;
        let lock = Arc::new(lock(&options.data)?);
        let ports_folder = options.data.join("run");
        let _ = fs::remove_dir_all(&ports_folder);
        fs::create_dir_all(&ports_folder).map_err(failed)?;
        let pid = Arc::new(AtomicU32::new(0));
        let stopping = Arc::new(AtomicBool::new(false));
        let (tell, told) = std::sync::mpsc::channel();
        let keeper = {
            let (pid, stopping, lock) = (Arc::clone(&pid), Arc::clone(&stopping), Arc::clone(&lock));
            std::thread::Builder::new()
                .name("nats-server".to_owned())
                .spawn(move || keep(options, &ports_folder, &lock, &pid, &stopping, &tell))
                .map_err(failed)?
        };
        let (port, monitor) = told
            .recv_timeout(PATIENCE + Duration::from_secs(1))
            .map_err(|_| ServerError::Start("it did not come up; see nats.log in its folder".to_owned()))??;
        Ok(Self {
            url: format!("nats://127.0.0.1:{port}"),
            monitor: format!("http://127.0.0.1:{monitor}"),
            pid,
            stopping,
            keeper: Some(keeper),
            _lock: lock,
        })
    }

    /// Where clients connect.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Where it tells about itself.
    #[must_use]
    pub fn monitor(&self) -> &str {
        &self.monitor
    }

    /// The process id of the child that runs now.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.pid.load(Ordering::Acquire)
    }

    /// Sends the child a signal. If it dies of it, it is started again on the same port.
    pub fn signal(&self, signal: Signal) {
        if let Some(pid) = i32::try_from(self.pid()).ok().and_then(Pid::from_raw) {
            let _ = kill_process(pid, signal);
        }
    }
}

impl Drop for NatsServer {
    fn drop(&mut self) {
        self.stopping.store(true, Ordering::Release);
        self.signal(Signal::TERM);
        self.signal(Signal::CONT);
        let Some(keeper) = self.keeper.take() else { return };
        let since = Instant::now();
        while !keeper.is_finished() && since.elapsed() < PATIENCE {
            pause(Duration::from_millis(5));
        }
        if keeper.is_finished() {
            let _ = keeper.join();
        } else {
            self.signal(Signal::KILL);
        }
    }
}

/// Waits on the thread that keeps the child, or while nothing else can go on.
#[expect(clippy::disallowed_methods, reason = "none of these threads belongs to the runtime")]
fn pause(wait: Duration) {
    std::thread::sleep(wait);
}

fn lock(data: &Path) -> Result<File, ServerError> {
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(data.join("lock"))
        .map_err(|error| ServerError::Start(error.to_string()))?;
    let since = Instant::now();
    // A server whose Maru was killed just now needs a moment to close its streams.
    while flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
        if since.elapsed() > Duration::from_secs(3) {
            return Err(ServerError::Locked(data.parent().unwrap_or(data).to_path_buf()));
        }
        pause(Duration::from_millis(50));
    }
    Ok(file)
}

type Ports = Result<(u16, u16), ServerError>;

/// Starts the child, waits for its end, and starts it again unless that was asked for.
fn keep(
    mut options: ServerOptions,
    ports_folder: &Path,
    lock: &File,
    pid: &AtomicU32,
    stopping: &AtomicBool,
    tell: &std::sync::mpsc::Sender<Ports>,
) {
    let mut monitor = None;
    while !stopping.load(Ordering::Acquire) {
        let started = Instant::now();
        match spawn(&options, monitor, ports_folder, lock) {
            Ok(mut child) => {
                pid.store(child.id(), Ordering::Release);
                if monitor.is_none() {
                    let ports = ports(&mut child, ports_folder);
                    if let Ok((port, found)) = &ports {
                        // The next one gets the same ports, so that clients find it again.
                        options.port = Some(*port);
                        monitor = Some(*found);
                    }
                    let came_up = ports.is_ok();
                    let _ = tell.send(ports);
                    if !came_up {
                        let _ = child.kill();
                        let _ = child.wait();
                        return;
                    }
                }
                let ended = child.wait();
                if !stopping.load(Ordering::Acquire) {
                    tracing::error!(?ended, "nats-server ended; starting it again");
                }
            }
            Err(error) if monitor.is_none() => {
                let _ = tell.send(Err(error));
                return;
            }
            Err(error) => tracing::error!(%error, "nats-server cannot be started again yet"),
        }
        if started.elapsed() < Duration::from_secs(1) {
            pause(Duration::from_millis(500));
        }
    }
}

fn spawn(
    options: &ServerOptions,
    monitor: Option<u16>,
    ports_folder: &Path,
    lock: &File,
) -> Result<Child, ServerError> {
    let failed = |error: std::io::Error| ServerError::Start(error.to_string());
    let config = options.data.join("nats.conf");
    let text = format!(
        "# Written by Maru at every start.\n\
         server_name: maru\n\
         host: 127.0.0.1\n\
         port: {port}\n\
         http: \"127.0.0.1:{monitor}\"\n\
         ports_file_dir: {ports:?}\n\
         log_file: {log:?}\n\
         logfile_size_limit: 10MB\n\
         max_payload: 8MB\n\
         jetstream {{ store_dir: {store:?}{sync} }}\n",
        port = options.port.map_or(-1, i32::from),
        monitor = monitor.map_or(-1, i32::from),
        ports = ports_folder,
        log = options.data.join("nats.log"),
        store = options.data.join("streams"),
        sync = if options.sync_always {
            ", sync_interval: always"
        } else {
            ""
        },
    );
    fs::write(&config, text).map_err(failed)?;
    let lock = std::os::fd::AsFd::as_fd(lock).try_clone_to_owned().map_err(failed)?;
    let mut command = Command::new(&options.program);
    command
        .arg("--config")
        .arg(&config)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        // Its own group: a Ctrl-C in the terminal is for us, who drain before stopping it.
        .process_group(0);
    #[expect(unsafe_code, reason = "runs between fork and exec; both calls are async-signal-safe")]
    unsafe {
        command.pre_exec(move || {
            rustix::process::set_parent_process_death_signal(Some(Signal::TERM))?;
            rustix::io::fcntl_setfd(&lock, rustix::io::FdFlags::empty())?;
            Ok(())
        });
    }
    command.spawn().map_err(failed)
}

/// The address of the nats-server that a running Maru keeps on this folder; none if none is running.
///
/// # Errors
/// When the folder is in use, but no server has written down where it listens.
pub fn running(data: &Path) -> Result<Option<String>, ServerError> {
    let Ok(file) = OpenOptions::new().write(true).open(data.join("lock")) else {
        return Ok(None);
    };
    if flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok() {
        return Ok(None);
    }
    match written_ports(&data.join("run")) {
        Some((client, _)) => Ok(Some(format!("nats://127.0.0.1:{client}"))),
        None => Err(ServerError::Start(
            "the one that uses the folder has not written down its ports yet; try again".to_owned(),
        )),
    }
}

fn written_ports(folder: &Path) -> Option<(u16, u16)> {
    let file = fs::read_dir(folder).ok()?.next()?.ok()?;
    let ports: serde_json::Value = serde_json::from_slice(&fs::read(file.path()).ok()?).ok()?;
    Some((port_of(&ports["nats"])?, port_of(&ports["monitoring"])?))
}

/// Reads the ports that the server chose, from the file it writes when it is up.
fn ports(child: &mut Child, folder: &Path) -> Ports {
    let since = Instant::now();
    while since.elapsed() < PATIENCE {
        if let Ok(Some(status)) = child.try_wait() {
            return Err(ServerError::Start(format!(
                "it ended at once ({status}); see nats.log in its folder"
            )));
        }
        if let Some((client, monitor)) = written_ports(folder)
            && std::net::TcpStream::connect(("127.0.0.1", client)).is_ok()
        {
            return Ok((client, monitor));
        }
        pause(Duration::from_millis(5));
    }
    Err(ServerError::Start(
        "it did not come up; see nats.log in its folder".to_owned(),
    ))
}

fn port_of(urls: &serde_json::Value) -> Option<u16> {
    urls[0].as_str()?.rsplit(':').next()?.parse().ok()
}

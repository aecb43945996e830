//! A wire that can be cut: connections through it break at once and new ones are refused, until it is
//! restored. Or it falls silent: what is connected stays so and hears nothing ever again, as when the other
//! machine has lost its power; who connects anew gets through. Or it swallows what is published on some subjects.

use std::net::SocketAddr;

use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader, copy};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// A proxy on loopback before one server.
pub struct Proxy {
    address: SocketAddr,
    is_whole: watch::Sender<bool>,
    silences: watch::Sender<u32>,
    /// What begins like this does not get through; empty, if all does.
    swallowed: watch::Sender<&'static str>,
}

/// Hands on what a NATS client says, but for what it publishes on subjects that are swallowed.
async fn hand_on(
    client: impl AsyncRead + Unpin,
    mut server: impl AsyncWrite + Unpin,
    swallowed: watch::Receiver<&'static str>,
) -> std::io::Result<()> {
    let (mut client, mut line) = (BufReader::new(client), Vec::new());
    while client.read_until(b'\n', &mut line).await? > 0 {
        let said = String::from_utf8_lossy(&line).into_owned();
        let mut words = said.split_ascii_whitespace();
        if let Some("PUB" | "HPUB") = words.next() {
            let subject = words.next().unwrap_or_default();
            let length: usize = words.last().and_then(|length| length.parse().ok()).unwrap_or_default();
            let end = line.len() + length + 2;
            line.resize(end, 0);
            let from = end - length - 2;
            client.read_exact(&mut line[from..]).await?;
            let prefix = *swallowed.borrow();
            if !prefix.is_empty() && subject.starts_with(prefix) {
                line.clear();
                continue;
            }
        }
        server.write_all(&line).await?;
        line.clear();
    }
    server.shutdown().await
}

impl Proxy {
    /// A proxy before `host:port`, or `nats://host:port`.
    pub async fn before(upstream: String) -> Self {
        let upstream = upstream.trim_start_matches("nats://").to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("its address");
        let (is_whole, whole) = watch::channel(true);
        let (silences, silence) = watch::channel(0);
        let (swallowed, swallows) = watch::channel("");
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (mut whole, mut silence, upstream) = (whole.clone(), silence.clone(), upstream.clone());
                let swallows = swallows.clone();
                silence.mark_unchanged();
                tokio::spawn(async move {
                    if !*whole.borrow_and_update() {
                        return;
                    }
                    let Ok(server) = TcpStream::connect(upstream).await else {
                        return;
                    };
                    let ((mut says, mut hears), (mut answers, mut asked)) = (client.into_split(), server.into_split());
                    tokio::select! {
                        _ = hand_on(&mut says, &mut asked, swallows) => return,
                        _ = copy(&mut answers, &mut hears) => return,
                        _ = whole.wait_for(|whole| !whole) => return,
                        Ok(()) = silence.changed() => {}
                    }
                    // Both sockets stay open, and nobody reads them.
                    let _ = whole.wait_for(|whole| !whole).await;
                });
            }
        });
        Self {
            address,
            is_whole,
            silences,
            swallowed,
        }
    }

    /// The url to connect to.
    #[must_use]
    pub fn url(&self) -> String {
        format!("nats://{}", self.address)
    }

    /// Where to connect.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Breaks every connection and refuses new ones.
    pub fn cut(&self) {
        self.is_whole.send_replace(false);
    }

    /// Leaves what is connected now without a word for good.
    pub fn fall_silent(&self) {
        self.silences.send_modify(|count| *count += 1);
    }

    /// Swallows what is published on subjects that begin like this, from now on; nothing any more, if it is empty.
    pub fn swallow(&self, prefix: &'static str) {
        self.swallowed.send_replace(prefix);
    }

    /// Lets connections through again.
    pub fn restore(&self) {
        self.is_whole.send_replace(true);
    }
}

//! A wire that can be cut: connections through it break at once and new ones are refused, until it is
//! restored. Or it falls silent: what is connected stays so and hears nothing ever again, as when the other
//! machine has lost its power; who connects anew gets through.

use std::net::SocketAddr;

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// A proxy on loopback before one server.
pub struct Proxy {
    address: SocketAddr,
    is_whole: watch::Sender<bool>,
    silences: watch::Sender<u32>,
}

impl Proxy {
    /// A proxy before `host:port`, or `nats://host:port`.
    pub async fn before(upstream: String) -> Self {
        let upstream = upstream.trim_start_matches("nats://").to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("its address");
        let (is_whole, whole) = watch::channel(true);
        let (silences, silence) = watch::channel(0);
        tokio::spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                let (mut whole, mut silence, upstream) = (whole.clone(), silence.clone(), upstream.clone());
                silence.mark_unchanged();
                tokio::spawn(async move {
                    if !*whole.borrow_and_update() {
                        return;
                    }
                    let Ok(mut server) = TcpStream::connect(upstream).await else {
                        return;
                    };
                    tokio::select! {
                        _ = copy_bidirectional(&mut client, &mut server) => return,
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

    /// Lets connections through again.
    pub fn restore(&self) {
        self.is_whole.send_replace(true);
    }
}

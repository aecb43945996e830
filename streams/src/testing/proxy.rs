//! A wire that can be cut: connections through it break at once and new ones are refused, until it is
//! restored.

use std::net::SocketAddr;

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// A proxy on loopback before one server.
pub struct Proxy {
    address: SocketAddr,
    is_whole: watch::Sender<bool>,
}

impl Proxy {
    /// A proxy before `host:port`.
    pub async fn before(upstream: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("its address");
        let (is_whole, whole) = watch::channel(true);
        tokio::spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                let (mut whole, upstream) = (whole.clone(), upstream.clone());
                tokio::spawn(async move {
                    if !*whole.borrow_and_update() {
                        return;
                    }
                    let Ok(mut server) = TcpStream::connect(upstream).await else {
                        return;
                    };
                    tokio::select! {
                        _ = copy_bidirectional(&mut client, &mut server) => {}
                        _ = whole.wait_for(|whole| !whole) => {}
                    }
                });
            }
        });
        Self { address, is_whole }
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

    /// Lets connections through again.
    pub fn restore(&self) {
        self.is_whole.send_replace(true);
    }
}

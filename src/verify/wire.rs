//! A wire that can be cut, between people and the doors, or between the processes of a split installation and a server they
//! stand on: then connections break at once, answers on their way are lost, and new connections are refused until it is
//! whole again.

use std::net::SocketAddr;

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

#[derive(Clone)]
pub struct Wire {
    address: SocketAddr,
    is_whole: watch::Sender<bool>,
}

impl Wire {
    /// Each connection goes to the next door; where that is shut, to another one, as behind any balancer.
    pub async fn before(doors: Vec<SocketAddr>) -> std::io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let (is_whole, whole) = watch::channel(true);
        tokio::spawn(async move {
            let mut next = doors;
            while let Ok((mut client, _)) = listener.accept().await {
                next.rotate_left(1);
                let (doors, mut whole) = (next.clone(), whole.clone());
                tokio::spawn(async move {
                    if !*whole.borrow_and_update() {
                        return;
                    }
                    // Tokio tries one after the other.
                    let Ok(mut server) = TcpStream::connect(&doors[..]).await else {
                        return;
                    };
                    tokio::select! {
                        _ = copy_bidirectional(&mut client, &mut server) => {}
                        _ = whole.wait_for(|whole| !whole) => {}
                    }
                });
            }
        });
        Ok(Self { address, is_whole })
    }

    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn cut(&self) {
        self.is_whole.send_replace(false);
    }

    pub fn mend(&self) {
        self.is_whole.send_replace(true);
    }
}

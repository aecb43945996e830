//! One address for several gateways, as a load balancer gives it: each connection goes to the next one in
//! turn, and past one that is not there.

use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::AbortHandle;

/// The address, open until this is dropped.
pub struct Doors(AbortHandle);

impl Doors {
    pub async fn open(port: u16, gateways: Vec<u16>) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", port)).await.expect("the port");
        let turn = AtomicUsize::new(0);
        let serving = tokio::spawn(async move {
            while let Ok((mut person, _)) = listener.accept().await {
                let first = turn.fetch_add(1, Ordering::Relaxed);
                let mut order = gateways.clone();
                order.rotate_left(first % gateways.len());
                tokio::spawn(async move {
                    for gateway in order {
                        if let Ok(mut gateway) = TcpStream::connect(("127.0.0.1", gateway)).await {
                            let _ = copy_bidirectional(&mut person, &mut gateway).await;
                            return;
                        }
                    }
                });
            }
        });
        Self(serving.abort_handle())
    }
}

impl Drop for Doors {
    fn drop(&mut self) {
        self.0.abort();
    }
}

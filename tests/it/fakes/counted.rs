//! A way to a server that counts its connections, and can be closed as if the server were gone.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// Forwards to a server for as long as it lives.
pub struct Counted {
    pub address: SocketAddr,
    count: Arc<AtomicUsize>,
    task: tokio::task::JoinHandle<()>,
}

impl Counted {
    pub async fn way_to(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, count) = (listener.local_addr().unwrap(), Arc::new(AtomicUsize::new(0)));
        let counter = Arc::clone(&count);
        let task = tokio::spawn(async move {
            // Dropped with this task, and every connection with it.
            let mut connections = JoinSet::new();
            while let Ok((mut near, _)) = listener.accept().await {
                counter.fetch_add(1, Ordering::Relaxed);
                connections.spawn(async move {
                    if let Ok(mut far) = TcpStream::connect(server).await {
                        let _closed = tokio::io::copy_bidirectional(&mut near, &mut far).await;
                    }
                });
            }
        });
        Self { address, count, task }
    }

    /// Connections so far.
    pub fn connections(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    /// From now on connections are refused, and those that were open are closed.
    pub async fn close(&mut self) {
        self.task.abort();
        assert!((&mut self.task).await.is_err_and(|end| end.is_cancelled()));
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.task.abort();
    }
}

//! A way to a server that counts its connections, and can be closed as if the server were gone.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinSet;

/// Forwards to a server for as long as it lives.
pub struct Counted {
    pub address: SocketAddr,
    count: Arc<AtomicUsize>,
    /// The way closes when something is said here, or nothing can be said any more.
    end: Option<oneshot::Sender<()>>,
    task: tokio::task::JoinHandle<()>,
}

impl Counted {
    pub async fn way_to(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, count) = (listener.local_addr().unwrap(), Arc::new(AtomicUsize::new(0)));
        let counter = Arc::clone(&count);
        let (end, mut ended) = oneshot::channel::<()>();
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let accepted = tokio::select! {
                    _said = &mut ended => break,
                    accepted = listener.accept() => accepted,
                };
                let Ok((mut near, _)) = accepted else { break };
                counter.fetch_add(1, Ordering::Relaxed);
                connections.spawn(async move {
                    if let Ok(mut far) = TcpStream::connect(server).await {
                        let _closed = tokio::io::copy_bidirectional(&mut near, &mut far).await;
                    }
                });
            }
            drop(listener);
            connections.shutdown().await;
        });
        Self { address, count, end: Some(end), task }
    }

    /// Connections so far.
    pub fn connections(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    /// When this returns, connections are refused, and those that were open are closed.
    pub async fn close(&mut self) {
        drop(self.end.take());
        (&mut self.task).await.expect("the way ends");
    }
}

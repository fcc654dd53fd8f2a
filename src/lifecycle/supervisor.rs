//! Tells the supervisor that started the process how it is: the protocol of `sd_notify(3)`, which systemd speaks.

use std::io;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};

use tokio::sync::watch;

use super::{Lifecycle, Objections};

/// Who wants to be told, at the address in `NOTIFY_SOCKET`.
#[derive(Debug)]
pub struct Supervisor {
    socket: UnixDatagram,
    address: SocketAddr,
}

impl Supervisor {
    /// At `address`: a path, or an abstract name after `@`.
    ///
    /// # Errors
    ///
    /// If it is neither, or no socket can be had.
    pub fn at(address: &str) -> io::Result<Self> {
        let address = match address.strip_prefix('@') {
            Some(name) => SocketAddr::from_abstract_name(name)?,
            None if address.starts_with('/') => SocketAddr::from_pathname(address)?,
            None => return Err(io::Error::new(io::ErrorKind::InvalidInput, "neither a path nor a name after @")),
        };
        let socket = UnixDatagram::unbound()?;
        // A supervisor that does not read stops nothing.
        socket.set_nonblocking(true)?;
        Ok(Self { socket, address })
    }

    /// Tells it each change of readiness, until the process begins to end.
    pub fn follow(self, lifecycle: &Lifecycle) {
        let mut readiness = lifecycle.readiness();
        lifecycle.spawn(async move {
            loop {
                let now = State::of(&readiness);
                self.tell(&now.text());
                if now.is_leaving || readiness.changed().await.is_err() {
                    return;
                }
            }
        });
    }

    fn tell(&self, text: &str) {
        if let Err(error) = self.socket.send_to_addr(text.as_bytes(), &self.address) {
            tracing::debug!(%error, "the supervisor was not told");
        }
    }
}

/// What is told.
struct State {
    is_serving: bool,
    is_leaving: bool,
    objections: String,
}

impl State {
    fn of(readiness: &watch::Receiver<Objections>) -> Self {
        let objections = readiness.borrow();
        let codes: Vec<&str> = objections.keys().copied().collect();
        let has = |code| codes.contains(&code);
        Self { is_serving: !has("starting"), is_leaving: has("draining"), objections: codes.join(", ") }
    }

    /// `READY=1` says that the process serves; a service whose users cannot sign in yet is not to be started again for it, so what
    /// speaks against readiness is a part of the status alone.
    fn text(&self) -> String {
        let mut lines = Vec::new();
        if self.is_leaving {
            lines.push("STOPPING=1".to_owned());
        } else if self.is_serving {
            lines.push("READY=1".to_owned());
        }
        lines.push(match self.objections.as_str() {
            "" => "STATUS=ready".to_owned(),
            codes => format!("STATUS=not ready: {codes}"),
        });
        lines.join("\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(socket: &UnixDatagram) -> String {
        let mut buffer = [0; 256];
        let length = socket.recv(&mut buffer).expect("a message");
        String::from_utf8(buffer[..length].to_vec()).expect("text")
    }

    #[tokio::test]
    async fn an_abstract_socket_hears_each_change_and_nothing_after_the_end() {
        let name = format!("sidemint-{}-{:?}", std::process::id(), std::thread::current().id());
        let socket = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
        let lifecycle = Lifecycle::new();
        Supervisor::at(&format!("@{name}")).unwrap().follow(&lifecycle);
        let mut heard = Vec::new();
        let mut change = async |change: fn(&Lifecycle)| {
            change(&lifecycle);
            tokio::task::yield_now().await;
            heard.push(told(&socket));
        };
        change(|_| ()).await;
        change(|own| own.withdraw("starting")).await;
        change(|own| own.object("no_routes", "add one")).await;
        change(Lifecycle::leave).await;
        let wanted = [
            "STATUS=not ready: starting",
            "READY=1\nSTATUS=ready",
            "READY=1\nSTATUS=not ready: no_routes",
            "STOPPING=1\nSTATUS=not ready: draining, no_routes",
        ];
        assert_eq!(heard, wanted);
        lifecycle.finished().await;
    }

    #[test]
    fn an_address_is_a_path_or_a_name() {
        assert!(Supervisor::at("/run/systemd/notify").is_ok());
        assert!(Supervisor::at("vsock:2:1234").is_err());
    }

    #[tokio::test]
    async fn a_supervisor_that_reads_nothing_stops_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let _unread = UnixDatagram::bind(&path).unwrap();
        let supervisor = Supervisor::at(path.to_str().unwrap()).unwrap();
        for _ in 0..10_000 {
            supervisor.tell("STATUS=ready");
        }
    }
}

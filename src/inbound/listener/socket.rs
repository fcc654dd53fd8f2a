//! The sockets that are listened on: bound, accepted from, and emptied before they close.

use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use tokio::net::{TcpListener, TcpSocket, TcpStream, UnixListener, UnixStream};

use crate::config::Listen;
use crate::identity::Peer;

/// Connections that the kernel keeps while we are busy.
const BACKLOG: u32 = 1024;

/// A bound socket. Bound first, served later, so that a busy port is found before anything begins.
#[derive(Debug)]
pub enum Bound {
    /// TCP.
    Tcp(TcpListener),
    /// Unix; the file is removed before the listener goes: a file of that name may be another's from then on.
    Unix(SocketFile, UnixListener),
}

/// Removes its file on drop.
#[derive(Debug)]
pub struct SocketFile(PathBuf);

impl Drop for SocketFile {
    fn drop(&mut self) {
        // It may have been removed already, with its folder.
        let _gone = std::fs::remove_file(&self.0);
    }
}

impl Bound {
    /// Binds `listen`. A socket file without a listener is replaced.
    pub fn bind(listen: &Listen, unix_mode: u32) -> io::Result<Self> {
        match listen {
            Listen::Tcp(address) => {
                let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
                socket.set_reuseaddr(true)?;
                // Accepted connections inherit it.
                socket.set_nodelay(true)?;
                socket.bind(*address)?;
                Ok(Self::Tcp(socket.listen(BACKLOG)?))
            }
            Listen::Unix(path) => {
                if is_left_over(path) {
                    std::fs::remove_file(path)?;
                }
                let listener = UnixListener::bind(path)?;
                std::fs::set_permissions(path, std::fs::Permissions::from_mode(unix_mode))?;
                Ok(Self::Unix(SocketFile(path.clone()), listener))
            }
        }
    }

    /// The address, with the port that the system chose.
    pub fn address(&self) -> io::Result<Listen> {
        match self {
            Self::Tcp(listener) => listener.local_addr().map(Listen::Tcp),
            Self::Unix(SocketFile(path), _) => Ok(Listen::Unix(path.clone())),
        }
    }

    /// The next connection.
    pub(super) async fn accept(&self) -> io::Result<(Stream, Peer)> {
        match self {
            Self::Tcp(listener) => {
                let (stream, address) = listener.accept().await?;
                Ok((Stream::Tcp(stream), Peer::tcp(address.ip())))
            }
            Self::Unix(_, listener) => {
                let (stream, _) = listener.accept().await?;
                let uid = stream.peer_cred()?.uid();
                Ok((Stream::Unix(stream), Peer::Unix { uid }))
            }
        }
    }

    /// Closes the socket, and gives the connections that the kernel has already taken for us: otherwise they would be
    /// reset, with requests on them. A socket file goes first, so that no client connects to one that is about to close.
    pub(super) fn queued(self) -> Vec<(Stream, Peer)> {
        match self {
            Self::Tcp(listener) => {
                let Ok(listener) = listener.into_std() else { return Vec::new() };
                let tcp = |(stream, address): (std::net::TcpStream, SocketAddr)| {
                    stream.set_nonblocking(true).ok()?;
                    Some((Stream::Tcp(TcpStream::from_std(stream).ok()?), Peer::tcp(address.ip())))
                };
                waiting(|| listener.accept()).filter_map(tcp).collect()
            }
            Self::Unix(file, listener) => {
                drop(file);
                let Ok(listener) = listener.into_std() else { return Vec::new() };
                let unix = |(stream, _)| {
                    let stream: std::os::unix::net::UnixStream = stream;
                    stream.set_nonblocking(true).ok()?;
                    let stream = UnixStream::from_std(stream).ok()?;
                    let uid = stream.peer_cred().ok()?.uid();
                    Some((Stream::Unix(stream), Peer::Unix { uid }))
                };
                waiting(|| listener.accept()).filter_map(unix).collect()
            }
        }
    }
}

/// The connections that wait in a queue; no more than it holds, because others may go on coming.
fn waiting<C>(accept: impl Fn() -> io::Result<C>) -> impl Iterator<Item = C> {
    let next = move || loop {
        match accept() {
            Err(error) if is_of_one_connection(&error) => {}
            accepted => return accepted.ok(),
        }
    };
    std::iter::from_fn(next).take(usize::try_from(BACKLOG).unwrap_or(usize::MAX))
}

/// Whether a path is a socket whose listener has gone. The kernel refuses what is no socket in the same way.
fn is_left_over(path: &Path) -> bool {
    let is_refused = |error: io::Error| error.kind() == io::ErrorKind::ConnectionRefused;
    let is_socket = std::fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_socket());
    is_socket && std::os::unix::net::UnixStream::connect(path).is_err_and(is_refused) // socket: stale socket
}

/// A connection that was taken.
pub(super) enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

/// A client that went away before it was accepted; others are not affected.
pub(super) fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionRefused
    )
}

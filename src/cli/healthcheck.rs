//! `sidemint healthcheck`: asks the ops listener that the same configuration names.

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use clap::Args;

use super::{Failure, print};
use crate::config::{Config, Environment, Listen, Sources};

/// The whole question and answer take this long at most.
const PATIENCE: Duration = Duration::from_secs(3);

#[derive(Debug, Args)]
pub(super) struct Options {
    /// Ask whether the process lives, not whether it is ready
    #[arg(long)]
    live: bool,
}

pub(super) fn run(options: &Options, sources: &Sources, environment: &Environment) -> Result<(), Failure> {
    let config = Config::load(sources, environment)?;
    let path = if options.live { "/livez" } else { "/readyz" };
    let answer = ask(&config.ops.listen, path)
        .map_err(|error| Failure::Running(format!("{} does not answer: {error}", config.ops.listen)))?;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    if head.starts_with("HTTP/1.1 200 ") { print("ok\n") } else { Err(Failure::Running(format!("not ready: {body}"))) }
}

/// One request, small enough to need no client: a health check must start and end quickly.
fn ask(listen: &Listen, path: &str) -> std::io::Result<String> {
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    let mut answer = String::new();
    match listen {
        Listen::Tcp(address) => {
            let mut stream = TcpStream::connect_timeout(&reachable(*address), PATIENCE)?;
            stream.set_read_timeout(Some(PATIENCE))?;
            stream.write_all(request.as_bytes())?;
            stream.read_to_string(&mut answer)?;
        }
        Listen::Unix(path) => {
            let mut stream = UnixStream::connect(path)?;
            stream.set_read_timeout(Some(PATIENCE))?;
            stream.write_all(request.as_bytes())?;
            stream.read_to_string(&mut answer)?;
        }
    }
    Ok(answer)
}

/// An address to connect to, where the listener is on all of them.
pub(super) fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

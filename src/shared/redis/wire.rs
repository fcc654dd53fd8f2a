//! A connection to the tier, and why there is none.

use redis::aio::{ConnectionLike, MultiplexedConnection};
use redis::cluster_async::ClusterConnection;
use redis::{Cmd, ErrorKind, Pipeline, RedisError, RedisFuture, Value};

/// A connection: one server's, or one to each of a cluster.
#[derive(Clone)]
pub(super) enum Wire {
    One(MultiplexedConnection),
    Many(ClusterConnection),
}

impl ConnectionLike for Wire {
    fn req_packed_command<'a>(&'a mut self, cmd: &'a Cmd) -> RedisFuture<'a, Value> {
        match self {
            Self::One(wire) => wire.req_packed_command(cmd),
            Self::Many(wire) => wire.req_packed_command(cmd),
        }
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        cmd: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        match self {
            Self::One(wire) => wire.req_packed_commands(cmd, offset, count),
            Self::Many(wire) => wire.req_packed_commands(cmd, offset, count),
        }
    }

    fn get_db(&self) -> i64 {
        0
    }
}

/// Why there is no connection. It names no key and no secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{why}")]
pub(super) struct DialError {
    why: String,
    /// Whether the server is there, and must be set up differently.
    is_unusable: bool,
}

impl DialError {
    pub(super) fn new(why: impl Into<String>) -> Self {
        Self { why: why.into(), is_unusable: false }
    }

    /// The server is there, and must be set up differently.
    pub(super) fn unusable(why: String) -> Self {
        Self { why, is_unusable: true }
    }

    /// Whether waiting does not help.
    pub(super) const fn is_unusable(&self) -> bool {
        self.is_unusable
    }

    pub(super) fn timeout() -> Self {
        Self::new("it took too long")
    }

    pub(super) fn too_old(name: &str, (major, minor): (u64, u64)) -> Self {
        Self::new(format!("it is too old; use {name} {major}.{minor} or later"))
    }
}

impl From<RedisError> for DialError {
    fn from(error: RedisError) -> Self {
        // What a server says in words may be anything.
        match error.kind() {
            ErrorKind::Io => Self::new(error.to_string()),
            ErrorKind::Server(_) | ErrorKind::Extension => {
                Self::new(format!("the server refuses: {}", error.code().unwrap_or("ERR")))
            }
            _ => Self::new(error.category()),
        }
    }
}

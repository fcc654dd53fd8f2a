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
#[error("{0}")]
pub(super) struct DialError(String);

impl DialError {
    pub(super) fn new(why: impl Into<String>) -> Self {
        Self(why.into())
    }

    pub(super) fn timeout() -> Self {
        Self("it took too long".to_owned())
    }

    pub(super) fn too_old(name: &str, (major, minor): (u64, u64)) -> Self {
        Self(format!("it is too old; use {name} {major}.{minor} or later"))
    }
}

impl From<RedisError> for DialError {
    fn from(error: RedisError) -> Self {
        // What a server says in words may be anything.
        match error.kind() {
            ErrorKind::Io => Self(error.to_string()),
            ErrorKind::Server(_) | ErrorKind::Extension => {
                Self(format!("the server refuses: {}", error.code().unwrap_or("ERR")))
            }
            _ => Self(error.category().to_owned()),
        }
    }
}

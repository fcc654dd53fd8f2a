//! What a listener allows.

use std::time::Duration;

use crate::config::Server;
use crate::gateway::gate::MOST_READ;
use crate::inbound::connection::Protocol;

/// How long a client may say nothing on a place of the ops listener.
const OPS_PATIENCE: Duration = Duration::from_secs(4);

/// Limits of one listener.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Open connections at most.
    pub connections: usize,
    /// From the first byte of a head to its end.
    pub header_timeout: Duration,
    /// Keep-alive without a request.
    pub idle_timeout: Duration,
    /// Header lines.
    pub headers: usize,
    /// Bytes of a head.
    pub head_bytes: usize,
    /// Bytes of all heads and bodies that are not complete.
    pub unfinished_bytes: usize,
    /// What is spoken.
    pub protocol: Protocol,
    /// Whether this is a listener of identity. Peers are told apart there, and open connections are shown in the gauge;
    /// probes and scrapes are all alike.
    pub of_identity: bool,
}

impl From<&Server> for Limits {
    fn from(server: &Server) -> Self {
        Self {
            connections: server.max_connections,
            header_timeout: server.header_timeout,
            idle_timeout: server.idle_timeout, // T-50: idle time
            headers: server.max_headers,
            head_bytes: server.max_head_bytes,
            unfinished_bytes: server.max_unfinished_bytes,
            protocol: if server.http2 { Protocol::Either } else { Protocol::Http1 },
            of_identity: true,
        }
    }
}

impl Limits {
    /// Those of the listener of webhooks, whose bodies may take so many bytes together. No peer proves anything there, and
    /// strangers reach only half of what is not complete.
    #[must_use]
    pub fn of_webhooks(self, bodies: usize) -> Self {
        Self {
            unfinished_bytes: bodies.saturating_mul(2).saturating_add(self.unfinished_bytes),
            of_identity: false,
            ..self
        }
    }

    /// Those of a listener of the gateway, with so many calls at work at once. The body of each may be read whole. A key proves
    /// nothing of a connection, so callers with one reach only half of what is not complete.
    #[must_use]
    pub fn of_gateway(self, calls: usize) -> Self {
        Self {
            unfinished_bytes: calls.saturating_mul(2 * MOST_READ).saturating_add(self.unfinished_bytes),
            protocol: Protocol::Http1,
            of_identity: false,
            ..self
        }
    }

    /// Those of the ops listener. Probes and scrapes are over at once, so a client that says nothing for seconds is neither.
    #[must_use]
    pub fn of_ops(self, connections: usize) -> Self {
        Self {
            connections,
            header_timeout: self.header_timeout.min(OPS_PATIENCE),
            idle_timeout: self.idle_timeout.min(OPS_PATIENCE),
            protocol: Protocol::Http1,
            of_identity: false,
            ..self
        }
    }
}

//! Calls the operator's own application: over HTTP/1.1, by no proxy, and with a bound on what is read of the answer.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::HeaderMap;

use super::fault::Failure;
use super::way::{Way, plain};
use super::{Call, SendError};
use crate::clock::{Clock, Moment};
use crate::definition::Mistake;

/// Longest wait for a connection: an application stands near.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// Shorter than the keep-alive of common servers, Node's 5 s for one, so that a call rarely meets a connection that is
/// just being closed.
const POOL_IDLE: Duration = Duration::from_secs(4);

/// A client for calls to the operator's own application. Redirects are not followed: what they lead to was named by the
/// application and not by the operator.
#[derive(Clone, Debug)]
pub struct Poster {
    client: reqwest::Client,
    clock: Arc<dyn Clock>,
}

/// What the application answered.
#[derive(Clone)]
pub struct Answer {
    /// Status code.
    pub status: u16,
    /// Headers.
    pub headers: HeaderMap,
    /// The body, where all of it came in time and within the bound. The status holds in any case.
    pub body: Option<Bytes>,
}

impl std::fmt::Debug for Answer {
    /// Bodies may repeat what was posted.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Answer").field("status", &self.status).finish_non_exhaustive()
    }
}

impl Poster {
    pub(super) fn new(way: &Way, clock: Arc<dyn Clock>) -> Result<Self, Mistake> {
        let client = way.direct().http1_only().connect_timeout(CONNECT_TIMEOUT).pool_idle_timeout(POOL_IDLE);
        Ok(Self { client: client.build().map_err(plain)?, clock })
    }

    /// Sends `call` and reads at most `most` bytes of the answer before `deadline`.
    pub async fn send(&self, call: Call, deadline: Moment, most: usize) -> Result<Answer, SendError> {
        let mut request = reqwest::Request::new(call.method, call.url);
        *request.headers_mut() = call.headers;
        *request.body_mut() = call.body.map(Into::into);
        let late = self.clock.sleep_until(deadline);
        tokio::pin!(late);
        let response = tokio::select! {
            biased;
            response = self.client.execute(request) => response,
            // W-17: no answer
            () = &mut late => return Err(SendError::Timeout),
        };
        let mut response = response.map_err(|error| Failure::Transport(error, false).kind())?;
        let status = response.status().as_u16();
        let headers = std::mem::take(response.headers_mut());
        // What the status says is done, whatever comes of the body.
        let body = tokio::select! {
            biased;
            body = read(&mut response, most) => body,
            () = &mut late => None,
        };
        Ok(Answer { status, headers, body })
    }
}

/// The body, if it is complete and no larger than `most`. A connection is kept where it was read to its end.
async fn read(response: &mut reqwest::Response, most: usize) -> Option<Bytes> {
    let mut body = BytesMut::new();
    while let Some(chunk) = response.chunk().await.ok()? {
        // W-17: endless answer
        if body.len() + chunk.len() > most {
            return None;
        }
        body.extend_from_slice(&chunk);
    }
    Some(body.freeze())
}

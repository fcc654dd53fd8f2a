//! A call whose body and answer pass as they come: memory holds a part of them, never the whole.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use http_body_util::combinators::BoxBody;

use super::fault::Failure;
use super::{Call, ConnectError, Outbound, SendError};
use crate::clock::{Clock, Moment, Sleep};

/// Longest time without a byte of an answer that has begun.
const QUIET: Duration = Duration::from_secs(30);

/// The body of a call that is sent as it comes.
pub type Upload = BoxBody<Bytes, Box<dyn std::error::Error + Send + Sync>>;

/// An answer of which the head is here, whatever its status. Redirects are not followed, so it may be 3xx.
pub struct Streamed {
    /// Status code.
    pub status: u16,
    /// Headers.
    pub headers: HeaderMap,
    /// The body as it comes. The connection is given up where this is dropped before its end.
    pub body: Download,
}

impl fmt::Debug for Streamed {
    /// Headers and bodies may repeat credentials.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Streamed").field("status", &self.status).finish_non_exhaustive()
    }
}

/// The body of an answer as it comes. It fails where no byte came for 30 seconds, where its time is over, and where the
/// connection breaks. Its bytes have no bound.
pub struct Download {
    body: reqwest::Body,
    clock: Arc<dyn Clock>,
    /// When the last byte came.
    last: Moment,
    /// When all of it must have come.
    end: Moment,
    /// Fires at the earliest time at which the body may have been quiet for too long.
    timer: Sleep,
}

impl fmt::Debug for Download {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Download").finish_non_exhaustive()
    }
}

impl Outbound {
    /// Sends `call` the way of all calls, and gives the answer once its head is here, which is before `deadline`; all of
    /// it comes before `end`. The body is that of the call, or else `upload`, which is read as the other side takes it.
    pub async fn stream(
        &self,
        call: Call,
        upload: Option<Upload>,
        (deadline, end): (Moment, Moment),
    ) -> Result<Streamed, SendError> {
        if self.clock.moment() >= deadline {
            return Err(SendError::Timeout);
        }
        if !self.may_call(&call.url) {
            return Err(SendError::Connect(ConnectError::NotGranted));
        }
        let is_proxied = self.way.is_proxied(&call.url);
        let (client, is_proxied) = match &self.clients.proxied {
            Some(client) if is_proxied => (client, true),
            _ => (&self.clients.direct, false),
        };
        let mut request = reqwest::Request::new(call.method, call.url);
        *request.headers_mut() = call.headers;
        *request.body_mut() = call.body.map(Into::into).or_else(|| upload.map(reqwest::Body::wrap));
        let response = tokio::select! {
            biased;
            response = client.execute(request) => response,
            // G-22: no head
            () = self.clock.sleep_until(deadline) => return Err(SendError::Timeout),
        };
        let mut response = response.map_err(|error| Failure::Transport(error, is_proxied).kind())?;
        let status = response.status().as_u16();
        let headers = std::mem::take(response.headers_mut());
        let last = self.clock.moment();
        let body = Download {
            body: response.into(),
            last,
            end,
            timer: self.clock.sleep_until(last.plus(QUIET).min(end)),
            clock: Arc::clone(&self.clock),
        };
        Ok(Streamed { status, headers, body })
    }
}

impl Download {
    /// Whether no byte came for too long. A byte moves the time and not the timer, so that it costs nothing.
    fn poll_quiet(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while self.timer.as_mut().poll(cx).is_ready() {
            let end = self.last.plus(QUIET).min(self.end);
            if self.clock.moment() >= end {
                return Poll::Ready(());
            }
            self.timer = self.clock.sleep_until(end);
        }
        Poll::Pending
    }
}

impl Body for Download {
    type Data = Bytes;
    type Error = SendError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, SendError>>> {
        match Pin::new(&mut self.body).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => {
                self.last = self.clock.moment();
                // G-22: answers that drip
                if self.last >= self.end {
                    return Poll::Ready(Some(Err(SendError::Timeout)));
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(_))) => Poll::Ready(Some(Err(SendError::Broken))),
            Poll::Ready(None) => Poll::Ready(None),
            // G-22: quiet answers
            Poll::Pending => self.poll_quiet(cx).map(|()| Some(Err(SendError::Timeout))),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use http_body_util::Full;

    use super::*;
    use crate::clock::{ManualClock, Timestamp};

    /// A body whose next piece is always there is never quiet, so that no timer is asked.
    #[test]
    fn a_body_that_never_pauses_ends_in_time() {
        let clock = ManualClock::new(Timestamp::from_seconds(0));
        let now = clock.moment();
        let timer = clock.sleep_until(now);
        let body = reqwest::Body::wrap(Full::new(Bytes::from_static(b"x")));
        let mut download = Download { body, clock: Arc::new(clock), last: now, end: now, timer };
        let polled = Pin::new(&mut download).poll_frame(&mut Context::from_waker(Waker::noop()));
        assert!(matches!(polled, Poll::Ready(Some(Err(SendError::Timeout)))));
    }
}

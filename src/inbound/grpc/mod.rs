//! Envoy's external authorization over gRPC: `envoy.service.auth.v3.Authorization/Check`, and the standard health service.
//!
//! A gRPC check asks the same as an auth subrequest and has the same handler. [`codec`] reads it and [`question`] makes a
//! `Request` of it; [`checks`] finds the handler that answers, and [`answer`] turns that into what Envoy wants: one table
//! of outcomes, one set of counters.

mod answer;
mod checks;
mod codec;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod health;
mod question;

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Method, Request, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use tokio_util::task::task_tracker::TaskTrackerToken;
use tonic::Status;
use tonic::body::Body as Answer;
use tonic::codegen::Service as _;
use tonic::server::Grpc;

use super::connection::{HeadFault, Held, Phase};
use super::listener::{Answers, Content};
use super::reply::Outcome;
use super::request::body::{self, Body, BodyLimits};
use super::routes::Routes;
use crate::config;
use crate::identity::{ConnectionProof, Rank};
use crate::lifecycle::Lifecycle;
use checks::{Check, Checks};
use codec::Checked;
use health::{Health, HealthServer};

/// Bytes of a call at most. The head that Envoy asks about has 60 KiB in its own defaults, and metadata comes on top.
const MOST_BYTES: usize = 256 * 1024; // T-24: size of a check
/// The path of a check, and how those of the health service begin.
const CHECK: &str = "/envoy.service.auth.v3.Authorization/Check";
const HEALTH: &str = "/grpc.health.v1.Health/";
/// A message of no bytes, in its envelope.
const NOTHING: Bytes = Bytes::from_static(&[0; 5]);

/// Marks a call that was not read: because of its size, or of who sent it.
#[derive(Clone, Copy)]
struct Unread;

/// Every service that the gRPC listener has.
#[derive(Clone)]
pub struct Calls {
    checks: Arc<Checks>,
    health: HealthServer<Health>,
    /// For the rest of a call, once its head is here.
    patience: Duration,
}

impl std::fmt::Debug for Calls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Calls").finish_non_exhaustive()
    }
}

impl Calls {
    /// The services of this configuration: checks are answered by `routes`, a call has to come within `patience`, and
    /// `lifecycle` is what health tells of.
    pub fn new(grpc: &config::Grpc, routes: &Routes, patience: Duration, lifecycle: &Lifecycle) -> Self {
        Self {
            checks: Arc::new(Checks::new(grpc, routes)),
            health: HealthServer::new(Health::new(lifecycle)),
            patience,
        }
    }

    /// Answers one call. It is read as a whole first, within a size and a time: nothing is decoded before. What a stranger
    /// sends is not read at all: a check of its is refused, and health is told of the whole service.
    async fn call(
        &mut self,
        request: Request<Incoming>,
        connection: ConnectionProof,
        room: Held,
    ) -> Result<http::Response<Answer>, Infallible> {
        if let Some(status) = no_call(&request) {
            let mut refused = http::Response::new(Answer::empty());
            *refused.status_mut() = status;
            return Ok(refused);
        }
        let path = request.uri().path();
        let is_check = path == CHECK;
        if !is_check && !path.starts_with(HEALTH) {
            return Ok(Status::unimplemented("there is no such service").into_http());
        }
        let (mut head, body) = request.into_parts();
        let limits = BodyLimits { bytes: MOST_BYTES, patience: self.patience }; // T-49: time for a check
        let is_read = connection.rank() != Rank::Unproven; // T-70: bodies of strangers
        let read = if is_read { body::read(body, limits, room).await } else { Body::TooLarge };
        let bytes = match read {
            Body::Whole(bytes) => bytes,
            Body::Empty => Bytes::new(),
            Body::TooLarge => {
                head.extensions.insert(Unread); // T-57: too large a check
                NOTHING
            }
            Body::NoRoom => return Ok(Status::resource_exhausted("too many calls at once").into_http()),
            Body::Broken => return Ok(Status::deadline_exceeded("the call did not come to its end").into_http()),
        };
        head.extensions.insert(connection);
        let request = Request::from_parts(head, Full::new(bytes));
        if is_check {
            Ok(Grpc::new(Checked::default()).unary(Check(Arc::clone(&self.checks)), request).await)
        } else {
            self.health.call(request).await
        }
    }
}

/// What is wrong with a request that is no call. A page in a browser, and an application that is made to ask for a user,
/// can send neither this type nor, unasked, this method with it (T-40, T-43).
fn no_call(request: &Request<Incoming>) -> Option<StatusCode> {
    if request.method() != Method::POST {
        return Some(Outcome::MethodNotAllowed.row().status);
    }
    let media = request.headers().get(CONTENT_TYPE).map_or(&b""[..], HeaderValue::as_bytes);
    // gRPC over HTTP/2 says so itself; no request on a route ends so.
    (!media.starts_with(b"application/grpc")).then_some(StatusCode::UNSUPPORTED_MEDIA_TYPE) // T-40: media type
}

/// The body of an answer, which goes on for as long as a client watches.
struct Ongoing {
    body: Answer,
    _going_on: Option<TaskTrackerToken>,
}

impl hyper::body::Body for Ongoing {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<hyper::body::Frame<Bytes>, Status>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> hyper::body::SizeHint {
        self.body.size_hint()
    }
}

impl Answers for Calls {
    fn answer(
        &self,
        request: Request<Incoming>,
        connection: ConnectionProof,
        phase: Arc<Phase>,
        _fault: Option<HeadFault>,
    ) -> impl Future<Output = Result<http::Response<impl Content + use<>>, Infallible>> + Send + 'static + use<> {
        let mut services = self.clone();
        async move {
            let under_way = phase.under_way();
            let answer = services.call(request, connection, phase.room()).await;
            phase.answered();
            drop(under_way);
            answer.map(|answer| answer.map(|body| Ongoing { body, _going_on: phase.answering() }))
        }
    }
}

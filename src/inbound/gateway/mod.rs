//! Server-side calls: here they come and are answered; [`crate::gateway`] says what becomes of them.

mod body;
mod call;
mod record;

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use http::header::{ALLOW, CONNECTION, EXPECT, HeaderValue};
use http_body_util::Full;
use hyper::body::{Body as _, Incoming};

use body::{Answer, Relayed};
use call::Incoming as Call;
use record::Record;

use super::connection::{HeadFault, Phase};
use super::listener::{Answers, Content};
use super::reply::gateway::refused;
use super::reply::observe::LineLimit;
use super::request::RequestId;
use super::request::body::Unread;
use crate::gateway::forward::End;
use crate::gateway::refusal::Refusal;
use crate::gateway::{Gateway, Mount};
use crate::identity::ConnectionProof;
use crate::lifecycle::Lifecycle;
use crate::metrics::Metrics;
use crate::provider::FailureView;
use crate::telemetry::RequestLog;
use crate::trace::TraceContext;

/// What a listener of the gateway answers: all mounts, each below its path, or one of them at `/`.
#[derive(Clone)]
pub struct Mounts {
    shared: Arc<Shared>,
    only: Option<Arc<Mount>>,
}

/// What all listeners of the gateway share.
pub(super) struct Shared {
    gateway: Arc<Gateway>,
    metrics: Arc<Metrics>,
    log: RequestLog,
    /// Whether lines show parameters.
    shows_parameters: bool,
    /// For the whole body of a request.
    patience: Duration,
    lifecycle: Lifecycle,
    /// Lines about refusals of strangers, and of each caller.
    lines: LineLimit,
    lines_of: BTreeMap<String, LineLimit>,
}

impl std::fmt::Debug for Mounts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Mounts").field("only", &self.only.as_ref().map(|mount| mount.name())).finish_non_exhaustive()
    }
}

impl Mounts {
    /// All mounts of `gateway`. The whole body of a request has `patience` to come.
    pub fn all(
        gateway: Arc<Gateway>,
        (log, shows_parameters): (RequestLog, bool),
        patience: Duration,
        metrics: &Arc<Metrics>,
        lifecycle: &Lifecycle,
    ) -> Self {
        let lines_of = gateway.caller_names().map(|name| (name.to_owned(), LineLimit::default())).collect();
        let shared = Shared {
            gateway,
            metrics: Arc::clone(metrics),
            log,
            shows_parameters,
            patience,
            lifecycle: lifecycle.clone(),
            lines: LineLimit::default(),
            lines_of,
        };
        Self { shared: Arc::new(shared), only: None }
    }

    /// One of them alone, at `/`.
    #[must_use]
    pub fn only(&self, mount: &Arc<Mount>) -> Self {
        Self { shared: Arc::clone(&self.shared), only: Some(Arc::clone(mount)) }
    }
}

impl Answers for Mounts {
    const MARKS_REFUSALS: bool = true;
    const ARE_LARGE: bool = true;

    fn answer(
        &self,
        incoming: http::Request<Incoming>,
        connection: ConnectionProof,
        phase: Arc<Phase>,
        _fault: Option<HeadFault>,
    ) -> impl Future<Output = Result<http::Response<impl Content + use<>>, Infallible>> + Send + 'static + use<> {
        let own = self.clone();
        // A call is long and waits often; hyper moves the future about.
        Box::pin(async move { Ok(own.call(incoming, connection, phase).await) })
    }
}

impl Mounts {
    async fn call(
        self,
        incoming: http::Request<Incoming>,
        connection: ConnectionProof,
        phase: Arc<Phase>,
    ) -> http::Response<Answer> {
        let (parts, body) = incoming.into_parts();
        let asks_first = parts.headers.contains_key(EXPECT);
        let mut record = Record::new(&self.shared, RequestId::next(), TraceContext::of(&parts.headers));
        let length = body.size_hint().exact();
        let unread = (!body.is_end_stream()).then(|| Unread::new(body, phase.room()));
        let unread = unread.as_ref();
        let mut call = Call { mounts: &self, parts: &parts, connection, unread, length, upload: None, allow: None };
        let passing = tokio::select! {
            biased;
            passing = call.run(&mut record) => passing,
            // T-49: cut calls
            () = self.shared.lifecycle.cut().cancelled() => Err(Refusal::Draining.into()),
        };
        let allow = call.allow.take().and_then(|methods| HeaderValue::try_from(methods).ok());
        let is_read = match (unread, &call.upload) {
            (None, _) => true,
            (Some(_), Some(upload)) => upload.end() == Some(End::Whole),
            (Some(unread), None) => unread.is_over(asks_first).await,
        };
        if let Some(upload) = &call.upload {
            record.bytes_in = upload.bytes();
        }
        // What is left of a body ends the connection: nothing that comes behind it is taken for a request.
        // G-07: rest of a body
        let is_last = !is_read || phase.is_last();
        let mut response = match passing {
            Ok(passing) => {
                let (response, place) = passing.into_parts(&mut record);
                response.map(|body| Answer::Relayed(Box::new(Relayed::new(body, record, phase, place))))
            }
            Err(unsent) => {
                record.stopped(&unsent);
                let in_form = |view: &FailureView<'_>| record.mount.as_ref()?.provider().error_body(view);
                let response = refused(unsent.refusal, record.id, unsent.retry_after, in_form);
                phase.answered();
                response.map(|body| Answer::Own(Full::new(body)))
            }
        };
        response.headers_mut().extend(allow.map(|methods| (ALLOW, methods)));
        if is_last {
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}

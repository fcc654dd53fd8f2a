//! Bodies of answers: our own, and those of providers, which are watched to their end.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::{Body, Frame, SizeHint};

use super::record::{Ended, Record};
use crate::gateway::answer::{AnswerBody, Cut};
use crate::gateway::forward::Place;
use crate::inbound::connection::Phase;
use crate::outbound::Download;

/// The body of an answer.
pub(super) enum Answer {
    /// Of our own.
    Own(Full<Bytes>),
    /// Of the provider.
    Relayed(Box<Relayed>),
}

/// The body of a provider's answer. As long as it lasts the call has its place, and no other request begins on its connection.
pub(super) struct Relayed {
    body: AnswerBody<Download>,
    record: Record,
    /// The connection, until it is told that the answer is over.
    phase: Option<Arc<Phase>>,
    _place: Place,
}

impl Relayed {
    pub(super) fn new(body: AnswerBody<Download>, record: Record, phase: Arc<Phase>, place: Place) -> Self {
        let mut own = Self { body, record, phase: Some(phase), _place: place };
        own.note();
        own
    }

    /// Tells the connection once: another request may have begun on it since.
    fn answered(&mut self) {
        if let Some(phase) = self.phase.take() {
            phase.answered();
        }
    }

    fn note(&mut self) {
        if self.body.is_over() {
            self.record.passed();
            self.answered();
        } else if self.body.is_cut() {
            self.record.ended = Ended::Cut;
        }
    }
}

impl Drop for Relayed {
    fn drop(&mut self) {
        self.record.bytes_out = self.body.bytes();
        self.record.scrubbed += self.body.scrubbed();
        self.answered();
    }
}

impl Body for Answer {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        match &mut *self {
            Self::Own(body) => Pin::new(body).poll_frame(cx).map_err(|never| match never {}),
            Self::Relayed(own) => {
                let frame = Pin::new(&mut own.body).poll_frame(cx);
                own.note();
                frame
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Own(body) => body.is_end_stream(),
            Self::Relayed(own) => own.body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Own(body) => body.size_hint(),
            Self::Relayed(own) => own.body.size_hint(),
        }
    }
}

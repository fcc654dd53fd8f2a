//! What a listener asks of those who answer its requests.

use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use hyper::body::{Body, Incoming};

use crate::identity::{ConnectionProof, Rank};
use crate::inbound::connection::{HeadFault, Phase};

/// What bodies of answers are made of.
pub(in crate::inbound) trait Content:
    Body<Data = Bytes, Error: Into<Box<dyn std::error::Error + Send + Sync>>> + Send + 'static
{
}

impl<B> Content for B where B: Body<Data = Bytes, Error: Into<Box<dyn std::error::Error + Send + Sync>>> + Send + 'static
{}

/// Answers the requests of a listener.
pub(in crate::inbound) trait Answers: Send + Sync + 'static {
    /// Whether answers to heads that are refused say that they are ours, as those of the gateway do.
    const MARKS_REFUSALS: bool = false;
    /// Whether answers may be large, as those are that are passed on. Such a body is written as it comes; a copy of it into one
    /// buffer with the head is quicker where it is small, and takes as much memory again.
    const ARE_LARGE: bool = false;

    /// How far the peer of this connection may be believed by those who answer. Places are shared by it.
    fn rank(&self, connection: ConnectionProof) -> Rank {
        connection.rank()
    }

    /// Answers one request, and tells `phase`. One with a `fault` is refused.
    fn answer(
        &self,
        request: http::Request<Incoming>,
        connection: ConnectionProof,
        phase: Arc<Phase>,
        fault: Option<HeadFault>,
    ) -> impl Future<Output = Result<http::Response<impl Content + use<Self>>, Infallible>> + Send + 'static + use<Self>;
}

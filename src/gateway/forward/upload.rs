//! The body of a call that passes as it comes: counted, without trailers, and given to another attempt as long as none has
//! begun to read it.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt as _;
use parking_lot::Mutex;

use crate::outbound;

/// What a body's error becomes.
type Problem = Box<dyn std::error::Error + Send + Sync>;

/// A body that attempts share.
#[derive(Debug)]
pub struct Upload<B> {
    shared: Arc<Shared<B>>,
}

#[derive(Debug)]
struct Shared<B> {
    state: Mutex<State<B>>,
    /// Bytes at most.
    most: u64,
    hint: SizeHint,
}

#[derive(Debug)]
struct State<B> {
    body: B,
    bytes: u64,
    has_begun: bool,
    end: Option<End>,
}

/// How the body ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// All of it came.
    Whole,
    /// It is larger than it may be.
    TooLarge,
    /// The caller did not send all of it.
    Broken,
}

/// What one attempt reads.
struct Reader<B>(Arc<Shared<B>>);

impl<B> Clone for Upload<B> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

impl<B> Upload<B>
where
    B: Body<Data = Bytes, Error: Into<Problem>> + Send + Unpin + 'static,
{
    /// `body`, of which `most` bytes are read at most. `None` where it says that it is larger.
    pub fn new(body: B, most: u64) -> Option<Self> {
        let hint = body.size_hint();
        if hint.lower() > most {
            return None;
        }
        let end = body.is_end_stream().then_some(End::Whole);
        let state = Mutex::new(State { body, bytes: 0, has_begun: false, end });
        Some(Self { shared: Arc::new(Shared { state, most, hint }) })
    }

    /// For the next attempt. `None` where an attempt before has begun to read.
    pub(super) fn read(&self) -> Option<outbound::Upload> {
        // G-24: body at hand
        self.is_at_hand().then(|| Reader(Arc::clone(&self.shared)).boxed())
    }

    /// Whether another attempt could have it.
    pub(super) fn is_at_hand(&self) -> bool {
        !self.shared.state.lock().has_begun
    }

    /// Bytes that came so far.
    pub fn bytes(&self) -> u64 {
        self.shared.state.lock().bytes
    }

    /// How it ended, where it did.
    pub fn end(&self) -> Option<End> {
        self.shared.state.lock().end
    }
}

impl<B> Body for Reader<B>
where
    B: Body<Data = Bytes, Error: Into<Problem>> + Send + Unpin + 'static,
{
    type Data = Bytes;
    type Error = Problem;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Problem>>> {
        let mut state = self.0.state.lock();
        state.has_begun = true;
        loop {
            let frame = match ready!(Pin::new(&mut state.body).poll_frame(cx)) {
                Some(Ok(frame)) => frame,
                Some(Err(error)) => {
                    state.end = Some(End::Broken);
                    return Poll::Ready(Some(Err(error.into())));
                }
                None => {
                    state.end = Some(End::Whole);
                    return Poll::Ready(None);
                }
            };
            // G-07: trailers
            let Ok(data) = frame.into_data() else { continue };
            state.bytes = state.bytes.saturating_add(u64::try_from(data.len()).unwrap_or(u64::MAX));
            if state.bytes > self.0.most {
                state.end = Some(End::TooLarge);
                return Poll::Ready(Some(Err("larger than it may be".into())));
            }
            if state.body.is_end_stream() {
                state.end = Some(End::Whole);
            }
            return Poll::Ready(Some(Ok(Frame::data(data))));
        }
    }

    fn is_end_stream(&self) -> bool {
        self.0.state.lock().body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.0.hint
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::{BodyExt as _, Full, StreamBody};

    use super::*;

    fn trailed() -> impl Body<Data = Bytes, Error = std::convert::Infallible> + Unpin {
        let mut trailers = http::HeaderMap::new();
        trailers.insert("authorization", http::HeaderValue::from_static("Bearer x"));
        let frames = [Frame::data(Bytes::from_static(b"0123")), Frame::trailers(trailers)];
        StreamBody::new(tokio_stream::iter(frames.map(Ok)))
    }

    /// G-07: trailers of a caller become nothing.
    #[tokio::test]
    async fn a_body_is_counted_and_loses_its_trailers() {
        let upload = Upload::new(trailed(), 4).expect("it fits");
        let read = upload.read().expect("a reader").collect().await.expect("whole");
        assert!(read.trailers().is_none());
        assert_eq!(read.to_bytes(), "0123");
        assert_eq!((upload.bytes(), upload.end()), (4, Some(End::Whole)));
    }

    #[tokio::test]
    async fn a_body_that_is_too_large_is_not_read_to_its_end() {
        assert!(Upload::new(Full::from("01234"), 4).is_none(), "it says so");
        let upload = Upload::new(trailed(), 3).expect("it does not say so");
        assert!(upload.read().expect("a reader").collect().await.is_err());
        assert_eq!(upload.end(), Some(End::TooLarge));
    }

    /// G-24: what an attempt has begun to read is gone.
    #[tokio::test]
    async fn another_attempt_gets_it_only_where_none_has_begun() {
        let upload = Upload::new(Full::from("0123"), 4).expect("it fits");
        drop(upload.read().expect("for the first attempt"));
        let mut second = upload.read().expect("the first read nothing");
        second.frame().await.expect("a frame").expect("data");
        assert!(upload.read().is_none());
    }
}

//! The body of an answer on its way to the caller: masked, counted and bounded.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use super::policy::MOST_BYTES;
use super::scrub::Scrubber;
use crate::outbound::SendError;

/// Why an answer is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Cut {
    /// It is larger than any that passes.
    #[error("the answer is larger than it may be")]
    TooLarge,
    /// It did not come to its end.
    #[error("the answer broke off: {0}")]
    Broken(SendError),
}

/// A body, of the provider's for one.
#[derive(Debug)]
pub struct AnswerBody<B> {
    body: B,
    scrubber: Scrubber,
    bytes: u64,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Passing,
    Over,
    Cut,
}

impl<B: Body> AnswerBody<B> {
    /// `body`, masked by `scrubber`.
    pub fn new(body: B, scrubber: Scrubber) -> Self {
        let state = if body.is_end_stream() { State::Over } else { State::Passing };
        Self { body, scrubber, bytes: 0, state }
    }

    /// Bytes that passed.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Passages that were masked.
    pub fn scrubbed(&self) -> u64 {
        self.scrubber.count()
    }

    /// Whether all of it passed.
    pub fn is_over(&self) -> bool {
        self.state == State::Over
    }

    /// Whether it was cut.
    pub fn is_cut(&self) -> bool {
        self.state == State::Cut
    }

    fn cut(&mut self, why: Cut) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        self.state = State::Cut;
        Poll::Ready(Some(Err(why)))
    }
}

impl<B: Body<Data = Bytes, Error = SendError> + Unpin> Body for AnswerBody<B> {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        let own = &mut *self;
        while own.state == State::Passing {
            let (piece, is_last) = match ready!(Pin::new(&mut own.body).poll_frame(cx)) {
                // Trailers say nothing to us, and nothing to the caller.
                Some(Ok(frame)) => (frame.into_data().unwrap_or_default(), own.body.is_end_stream()),
                Some(Err(error)) => return own.cut(Cut::Broken(error)),
                None => (Bytes::new(), true),
            };
            if is_last {
                own.state = State::Over;
            }
            let piece = own.scrubber.push(piece, is_last);
            own.bytes = own.bytes.saturating_add(u64::try_from(piece.len()).unwrap_or(u64::MAX));
            // G-22: endless answers
            if own.bytes > MOST_BYTES {
                return own.cut(Cut::TooLarge);
            }
            if !piece.is_empty() {
                return Poll::Ready(Some(Ok(Frame::data(piece))));
            }
        }
        Poll::Ready(None)
    }

    fn is_end_stream(&self) -> bool {
        self.state == State::Over
    }

    /// Masking changes no length.
    fn size_hint(&self) -> SizeHint {
        let held = u64::try_from(self.scrubber.held()).unwrap_or(u64::MAX);
        self.body.size_hint().exact().map(|left| SizeHint::with_exact(left.saturating_add(held))).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::sync::Arc;

    use http_body_util::BodyExt as _;

    use super::super::Needles;
    use super::*;

    /// Pieces of a body, with or without a last one that is known to be so.
    struct Pieces(VecDeque<Result<&'static str, SendError>>, bool);

    impl Body for Pieces {
        type Data = Bytes;
        type Error = SendError;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _cx: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, SendError>>> {
            Poll::Ready(self.0.pop_front().map(|piece| piece.map(|piece| Frame::data(piece.into()))))
        }

        fn is_end_stream(&self) -> bool {
            self.1 && self.0.is_empty()
        }
    }

    fn of(pieces: &[Result<&'static str, SendError>], is_end_known: bool) -> AnswerBody<Pieces> {
        let needles = Arc::new(Needles::new(["topsecret"]));
        AnswerBody::new(Pieces(pieces.iter().copied().collect(), is_end_known), Scrubber::new(needles))
    }

    async fn all(body: &mut AnswerBody<Pieces>) -> Result<String, Cut> {
        let mut text = String::new();
        while let Some(frame) = body.frame().await {
            text.push_str(std::str::from_utf8(&frame?.into_data().expect("data")).expect("text"));
        }
        Ok(text)
    }

    #[tokio::test]
    async fn a_body_is_masked_to_its_end_and_told_to_be_over() {
        for is_end_known in [true, false] {
            let mut body = of(&[Ok("my topse"), Ok("cret, tops")], is_end_known);
            assert_eq!(all(&mut body).await.as_deref(), Ok("my *********, tops"));
            assert!(body.is_over() && !body.is_cut() && body.is_end_stream());
            assert_eq!((body.bytes(), body.scrubbed()), (18, 1));
        }
        assert!(of(&[], true).is_end_stream(), "an empty one");
        let mut broken = of(&[Ok("x"), Err(SendError::Broken)], true);
        assert_eq!(all(&mut broken).await, Err(Cut::Broken(SendError::Broken)));
        assert!(broken.is_cut() && !broken.is_over());
    }

    /// G-22: an answer without end is cut, and nothing of it is kept.
    #[tokio::test]
    async fn an_endless_body_is_cut() {
        let piece: &str = Box::leak("x".repeat(1024 * 1024).into_boxed_str());
        let mut body = of(&[Ok(piece); 17], true);
        assert_eq!(all(&mut body).await, Err(Cut::TooLarge));
        assert!(body.is_cut());
    }
}

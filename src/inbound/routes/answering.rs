//! What a handler makes of a request.

use std::pin::Pin;

use warp::reply::Response;

/// An answer, or the work that ends in one.
pub(crate) enum Answering<'r> {
    /// Nothing had to be waited for, so the answer is no part of a future, which hyper moves about.
    Now(Response),
    /// Something is waited for: a body, a key or a mint.
    Later(Pin<Box<dyn Future<Output = Response> + Send + 'r>>),
}

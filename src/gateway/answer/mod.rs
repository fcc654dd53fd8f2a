//! What becomes of a provider's answer on its way to the caller.

mod body;
mod headers;
mod needles;
mod policy;
mod scrub;

pub use body::{AnswerBody, Cut};
pub use headers::AnswerHeaders;
pub use needles::Needles;
pub use policy::{Verdict, judge};
pub use scrub::Scrubber;

//! What becomes of a provider's answer on its way to the caller.

mod headers;
mod needles;
mod scrub;

pub use headers::AnswerHeaders;
pub use needles::Needles;
pub use scrub::Scrubber;

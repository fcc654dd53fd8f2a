//! The gateway: server-side calls of the application, made with credentials that the application does not hold.
//!
//! Nothing is forwarded. A call is matched with one named operation that its caller may use, and what the provider gets is
//! built anew from what was matched, with the provider's credential put in last. [`answer`] hands back what the provider
//! says: only headers of a list, and nothing that repeats the credential.
//!
//! [`gate`] decides, without input or output: the form of a request, its path, method, query, headers and body, against the
//! [`operation`] that a definition describes. [`refusal`] names what is refused.

pub mod answer;
mod body;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
pub mod gate;
pub mod operation;
pub mod refusal;

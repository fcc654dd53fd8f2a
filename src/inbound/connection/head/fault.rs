//! What is wrong with a head.

use strum::{IntoStaticStr, VariantArray};

/// Why a head is refused. Each is the end of the connection: it is unknown where the next head begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub enum HeadFault {
    /// More bytes than a head may have.
    TooLarge,
    /// More header lines than a head may have.
    TooManyLines,
    /// The request line alone is longer than a head may be, or the target than an address may be.
    TargetTooLong,
    /// A target that is in none of the four forms (RFC 9112, 3.2), or that has blanks or controls in it.
    Target,
    /// No version of HTTP that is spoken here.
    Version,
    /// A line that ends without CR, or that goes on in the next (RFC 9112, 2.2 and 5.2).
    Line,
    /// Two lengths, a length beside an encoding, or one that is no number (RFC 9112, 6.3).
    Length,
    /// HTTP/1.1 without `Host`.
    HostMissing,
    /// `Host` twice.
    HostTwice,
    /// `Host`, or the authority of the target, is no host and port.
    HostInvalid,
    /// The target names one host and `Host` another, and both are served.
    HostDiffers,
    /// The memory for unfinished heads is used up.
    NoRoom,
    /// What hyper's parser refuses by itself: methods, names and values that HTTP does not allow.
    Malformed,
}

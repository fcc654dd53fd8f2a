//! What a header is worth, for whoever examines what reaches the service.

/// What the word of a header is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Worth {
    /// It tells identity, or proves the proxy, by being there: only the proxy may send it.
    Said,
    /// It is signed, or a secret: a forgery is refused.
    Proven,
}

//! What a source says of a user: decoded and owned, or header lines as they were sent.

use std::borrow::Cow;

/// What a source says of a user, decoded and owned.
#[derive(Default)]
pub(in crate::identity) struct Profile {
    /// Who vouches for the subject.
    pub(in crate::identity) issuer: Option<String>,
    /// The subject; checked by [`super::text::subject`].
    pub(in crate::identity) subject: String,
    /// Cleaned by [`super::text::display_name`].
    pub(in crate::identity) name: Option<String>,
    /// Checked by [`super::text::email`]; verified where the source says so.
    pub(in crate::identity) email: Option<String>,
    /// Checked by [`super::text::avatar`].
    pub(in crate::identity) avatar: Option<String>,
    /// At most 256.
    pub(in crate::identity) groups: Vec<String>,
}

impl std::fmt::Debug for Profile {
    /// Personal data stays out of panics and logs.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Profile").finish_non_exhaustive()
    }
}

/// What plain header lines say of a user, borrowed from the request.
#[derive(Clone, Default)]
pub(in crate::identity) struct HeaderLines<'h> {
    pub(in crate::identity) subject: &'h str,
    pub(in crate::identity) name: Option<Cow<'h, str>>,
    /// As sent; read when it is asked for.
    pub(in crate::identity) email: Option<&'h [u8]>,
    /// As sent; read when it is asked for.
    pub(in crate::identity) avatar: Option<&'h str>,
    /// As sent, and the separator; taken apart when they are asked for.
    pub(in crate::identity) groups: Option<(&'h [u8], char)>,
}

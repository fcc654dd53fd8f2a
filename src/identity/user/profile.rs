//! A user as sources tell it.

/// A user as a source told it, decoded and owned.
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

//! A user as sources tell it.

/// A user as a source told it, decoded and owned.
#[derive(Default)]
pub(super) struct Profile {
    /// Who vouches for the subject.
    pub(super) issuer: Option<String>,
    /// The subject; checked by [`super::text::subject`].
    pub(super) subject: String,
    /// Cleaned by [`super::text::display_name`].
    pub(super) name: Option<String>,
    /// Checked by [`super::text::email`]; verified where the source says so.
    pub(super) email: Option<String>,
    /// Checked by [`super::text::avatar`].
    pub(super) avatar: Option<String>,
    /// At most 256.
    pub(super) groups: Vec<String>,
}

impl std::fmt::Debug for Profile {
    /// Personal data stays out of panics and logs.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Profile").finish_non_exhaustive()
    }
}

//! Users: who they are, what is said of them, and which are served.

mod identity;
pub(super) mod namespace;
pub(super) mod profile;
mod roles;
pub(super) mod text;
pub(super) mod users;

pub use identity::Identity;
pub(super) use identity::Reading;
pub use roles::Roles;

//! What clients send and get: inputs of a request, those of them that the operator allows, and the form in which a
//! provider's own client library takes a session.

pub(super) mod allow_list;
pub(super) mod dialect;
pub(super) mod inputs;

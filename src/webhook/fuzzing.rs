//! What must hold for any request of a provider, and for any bytes that stand in the file of the queue.

use super::store::Head;

pub(crate) use super::scheme::fuzzing::{
    webhook_field, webhook_form, webhook_gzip, webhook_request, webhook_signature,
};

/// Names and headers of an event: whatever is read is written as the same bytes.
pub(crate) fn queue_row(bytes: &[u8]) {
    if let Some(head) = Head::decode(bytes) {
        assert!(head.encode() == bytes, "it is written as it was read");
    }
}

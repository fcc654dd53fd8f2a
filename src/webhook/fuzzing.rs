//! What must hold for any bytes that stand in the file of the queue.

use super::store::sqlite::Head;

/// Names and headers of an event: whatever is read is written as the same bytes.
pub(crate) fn queue_row(bytes: &[u8]) {
    if let Some(head) = Head::decode(bytes) {
        assert!(head.encode() == bytes, "it is written as it was read");
    }
}

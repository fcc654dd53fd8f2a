//! The head reader: it stands before hyper and hands it nothing but whole heads, one at a time, and what belongs to their
//! bodies. What is not complete stays here, in memory that is counted.

use tokio::io::ReadBuf;

use super::framing::Framing;
use super::{Head, HeadFault, HeadLimits, Scan, Scanned};
use crate::inbound::connection::{Held, Share};

/// The bytes of one connection, between its socket and hyper. Knows neither of them.
#[derive(Debug)]
pub(in crate::inbound) struct Reader {
    limits: HeadLimits,
    scan: Scan,
    framing: Framing,
    /// What came and was not handed over. Empty while every head comes in one piece.
    kept: Vec<u8>,
    /// How much of it was handed over, and how much may be.
    given: usize,
    cleared: usize,
    room: Held,
    /// A head was cleared, and this was not reported yet.
    has_begun: bool,
    fault: Option<HeadFault>,
}

/// What may go to hyper of bytes that were looked at.
enum Cleared {
    /// So many of them, as they are.
    Bytes(usize),
    /// So many of them, but the head that they begin with is written otherwise.
    Rewritten(usize, Head),
}

impl Reader {
    pub(in crate::inbound) fn new(limits: HeadLimits, share: &Share) -> Self {
        Self {
            limits,
            scan: Scan::default(),
            framing: Framing::Head,
            kept: Vec::new(),
            given: 0,
            cleared: 0,
            room: share.nothing(),
            has_begun: false,
            fault: None,
        }
    }

    /// What is wrong with the head that came.
    pub(in crate::inbound) fn fault(&self) -> Option<HeadFault> {
        self.fault
    }

    /// The head that came is refused, whatever it says.
    pub(in crate::inbound) fn refuse(&mut self, fault: HeadFault) {
        self.fault.get_or_insert(fault);
        self.forget();
    }

    /// Whether the head that is refused was for an answer without a body.
    pub(in crate::inbound) fn is_of_head(&self) -> bool {
        self.scan.is_of_head()
    }

    /// Whether a head was cleared since this was asked last.
    pub(in crate::inbound) fn begins(&mut self) -> bool {
        std::mem::take(&mut self.has_begun)
    }

    /// Whether the end of the body in hand will not be known.
    pub(in crate::inbound) fn is_lost(&self) -> bool {
        self.framing == Framing::Lost
    }

    /// Whether the end of the body in hand has come.
    pub(in crate::inbound) fn is_between(&self) -> bool {
        self.framing.is_head()
    }

    /// Whether nothing goes on before a head may begin.
    pub(in crate::inbound) fn is_stuck(&self) -> bool {
        self.fault.is_some() || (self.framing.is_head() && self.is_waiting())
    }

    /// Whether bytes are here that must wait: those of a head that is not complete, or whose turn has not come.
    pub(in crate::inbound) fn is_waiting(&self) -> bool {
        self.cleared < self.kept.len()
    }

    /// What must wait, for the code that looks at how a connection begins.
    pub(in crate::inbound) fn waiting(&self) -> &[u8] {
        self.kept.get(self.cleared..).unwrap_or_default()
    }

    /// Everything that is here may go, whatever it is: another protocol begins.
    pub(in crate::inbound) fn let_all_pass(&mut self) {
        self.cleared = self.kept.len();
    }

    /// Looks at bytes that were just read into hyper's own room, and says how many may stay there. The rest is kept.
    /// Without `may_begin` no head is handed over.
    pub(in crate::inbound) fn take(&mut self, bytes: &[u8], may_begin: bool) -> usize {
        if !self.kept.is_empty() {
            self.keep(bytes);
            return 0;
        }
        match self.clear(bytes, may_begin) {
            Cleared::Bytes(passed) => {
                if passed < bytes.len() {
                    self.keep(bytes.get(passed..).unwrap_or_default());
                }
                passed
            }
            Cleared::Rewritten(passed, head) => {
                self.rewrite(bytes, passed, head);
                0
            }
        }
    }

    /// The same for bytes that were read before there is a hyper: what may stay is held ready for it.
    pub(in crate::inbound) fn admit(&mut self, bytes: &[u8]) {
        let passed = self.take(bytes, true);
        if let Some(ready) = bytes.get(..passed).filter(|ready| !ready.is_empty()) {
            let _nothing = self.kept.splice(..0, ready.iter().copied());
            self.cleared = passed;
        }
    }

    /// Whether something may go to hyper.
    pub(in crate::inbound) fn is_ready(&self) -> bool {
        self.given < self.cleared
    }

    /// Keeps bytes for later, if there is room for them.
    pub(in crate::inbound) fn keep(&mut self, bytes: &[u8]) {
        if self.fault.is_some() {
            return;
        }
        let needed = self.kept.len() + bytes.len();
        if needed > self.kept.capacity() {
            // Twice as much each time, but not much more than a head may have.
            let room = needed.max((2 * self.kept.capacity()).min(self.limits.bytes));
            if !self.room.set(room) {
                self.refuse(HeadFault::NoRoom);
                return;
            }
            self.kept.reserve_exact(room - self.kept.len());
        }
        self.kept.extend_from_slice(bytes);
    }

    /// Looks at what is kept; whether more of it may go to hyper now.
    pub(in crate::inbound) fn advance(&mut self, may_begin: bool) -> bool {
        self.is_waiting() && self.fault.is_none() && self.advance_kept(may_begin)
    }

    fn advance_kept(&mut self, may_begin: bool) -> bool {
        let kept = std::mem::take(&mut self.kept);
        let cleared = self.clear(kept.get(self.cleared..).unwrap_or_default(), may_begin);
        self.kept = kept;
        if self.fault.is_some() {
            self.forget();
            return false;
        }
        match cleared {
            Cleared::Bytes(0) => false,
            Cleared::Bytes(passed) => {
                self.cleared += passed;
                true
            }
            Cleared::Rewritten(passed, head) => {
                let waiting = self.kept.split_off(self.cleared);
                self.rewrite(&waiting, passed, head);
                self.fault.is_none()
            }
        }
    }

    /// Hands over what may go, as far as there is room for it.
    pub(in crate::inbound) fn give(&mut self, buffer: &mut ReadBuf<'_>) {
        let ready = self.kept.get(self.given..self.cleared).unwrap_or_default();
        let now = ready.get(..buffer.remaining()).unwrap_or(ready);
        buffer.put_slice(now);
        self.given += now.len();
        if self.given == self.kept.len() {
            self.forget();
        } else if self.given == self.cleared {
            let _given = self.kept.drain(..self.given);
            (self.given, self.cleared) = (0, 0);
        }
    }

    /// Gives the memory back.
    fn forget(&mut self) {
        self.kept = Vec::new();
        (self.given, self.cleared) = (0, 0);
        let _smaller = self.room.set(0);
    }

    fn clear(&mut self, bytes: &[u8], may_begin: bool) -> Cleared {
        if !self.framing.is_head() {
            return Cleared::Bytes(self.framing.advance(bytes));
        }
        if !may_begin {
            return Cleared::Bytes(0);
        }
        match self.scan.run(bytes, self.limits) {
            Scanned::Partial => Cleared::Bytes(0),
            Scanned::Fault(fault) => {
                self.fault = Some(fault);
                Cleared::Bytes(0)
            }
            Scanned::Whole(head) => {
                self.scan = Scan::default();
                self.has_begun = true;
                self.framing = head.framing;
                let passed = head.len + self.framing.advance(bytes.get(head.len..).unwrap_or_default());
                if head.rewritten.is_some() { Cleared::Rewritten(passed, head) } else { Cleared::Bytes(passed) }
            }
        }
    }

    /// Keeps bytes of which `passed` may go, with another target in the head that they begin with.
    fn rewrite(&mut self, bytes: &[u8], passed: usize, head: Head) {
        let Some(other) = head.rewritten else { return };
        let before = self.kept.len();
        for part in [bytes.get(..other.from), Some(&other.target), bytes.get(other.to..)] {
            self.keep(part.unwrap_or_default());
        }
        if self.fault.is_none() {
            self.cleared = before + passed + other.target.len() - (other.to - other.from);
        }
    }
}

//! Classes of bytes in a value, found in one pass, so that checks for what is not there are left out.

/// Classes of the bytes that came. Nearly every value is printable and has none of the rest.
#[derive(Clone, Copy)]
pub(super) struct Look(u8);

impl Look {
    /// Not printable ASCII.
    pub(super) const UNPRINTABLE: u8 = 1;
    /// A comma.
    pub(super) const COMMA: u8 = 2;
    /// What placeholders begin with.
    pub(super) const MARK: u8 = 4;
    /// A blank.
    pub(super) const SPACE: u8 = 8;

    /// Class of every byte: a table, because this runs for each request.
    #[expect(clippy::indexing_slicing, reason = "evaluated by the compiler, which finds a wrong index")]
    const CLASSES: [u8; 256] = {
        let mut classes = [Self::UNPRINTABLE; 256];
        let mut b = 0x20;
        while b < 0x7f {
            classes[b] = match b {
                0x20 => Self::SPACE,
                0x2c => Self::COMMA,
                // $ % < {
                0x24 | 0x25 | 0x3c | 0x7b => Self::MARK,
                _ => 0,
            };
            b += 1;
        }
        classes
    };

    /// Looks at all of them.
    pub(super) fn at(bytes: &[u8]) -> Self {
        let class = |b: &u8| Self::CLASSES.get(usize::from(*b)).copied().unwrap_or(Self::UNPRINTABLE);
        Self(bytes.iter().fold(0, |seen, b| seen | class(b)))
    }

    /// Whether one of this class is there.
    pub(super) const fn has(self, class: u8) -> bool {
        self.0 & class != 0
    }
}

//! Where a body ends, so that the next head is known for one. Stricter than hyper: what is read here in one way only, it
//! reads in the same (T-48).

/// What the next byte of a connection belongs to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Framing {
    /// A head.
    #[default]
    Head,
    /// A body that has so many bytes more.
    Length(u64),
    /// A body in chunks (RFC 9112, 7.1).
    Chunked(Chunk),
    /// A body in what are no chunks. Where it ends cannot be known.
    Lost,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Chunk {
    /// In the size, with so many digits behind.
    Size(u64, u8),
    /// In what is said about a chunk of this size, and ignored.
    Extension(u64),
    /// Before the LF that ends the line of the size.
    SizeEnd(u64),
    /// In the data, with so many bytes to come.
    Data(u64),
    /// Before the CR and the LF that end the data.
    DataEnd,
    DataLf,
    /// At the start of a trailer line, or of the empty line that ends it all.
    Trailer,
    InTrailer,
    TrailerLf,
    LastLf,
}

/// 15 digits are a petabyte, and fit.
const MOST_DIGITS: u8 = 15;

impl Framing {
    /// The start of a body in chunks.
    pub(super) const CHUNKED: Self = Self::Chunked(Chunk::Size(0, 0));

    pub(super) const fn length(bytes: u64) -> Self {
        if bytes == 0 { Self::Head } else { Self::Length(bytes) }
    }

    pub(super) fn is_head(self) -> bool {
        self == Self::Head
    }

    /// Takes what belongs to the body in hand, and says how many bytes that are.
    pub(super) fn advance(&mut self, bytes: &[u8]) -> usize {
        match *self {
            Self::Head | Self::Lost => 0,
            Self::Length(left) => {
                let here = u64::try_from(bytes.len()).unwrap_or(u64::MAX).min(left);
                *self = Self::length(left - here);
                usize::try_from(here).unwrap_or(bytes.len())
            }
            Self::Chunked(chunk) => self.advance_chunks(chunk, bytes),
        }
    }

    fn advance_chunks(&mut self, mut chunk: Chunk, bytes: &[u8]) -> usize {
        let mut at = 0;
        while let Some(byte) = bytes.get(at) {
            if let Chunk::Data(left) = chunk {
                let here = u64::try_from(bytes.len() - at).unwrap_or(u64::MAX).min(left);
                at += usize::try_from(here).unwrap_or(0);
                chunk = if here == left { Chunk::DataEnd } else { Chunk::Data(left - here) };
                continue;
            }
            if chunk == Chunk::LastLf && *byte == b'\n' {
                *self = Self::Head;
                return at + 1;
            }
            let Some(next) = chunk.next(*byte) else {
                *self = Self::Lost; // T-48: lost framing
                return at;
            };
            chunk = next;
            at += 1;
        }
        *self = Self::Chunked(chunk);
        at
    }
}

impl Chunk {
    /// The state after this byte, which is no data; `None` where it may not stand.
    fn next(self, byte: u8) -> Option<Self> {
        match (self, byte) {
            (Self::Size(size, digits), _) if byte.is_ascii_hexdigit() && digits < MOST_DIGITS => {
                let digit = char::from(byte).to_digit(16)?;
                Some(Self::Size(size * 16 + u64::from(digit), digits + 1))
            }
            (Self::Size(size, 1..), b';') => Some(Self::Extension(size)),
            (Self::Size(size, 1..) | Self::Extension(size), b'\r') => Some(Self::SizeEnd(size)),
            (Self::Extension(size), _) if byte != b'\n' => Some(Self::Extension(size)), // T-48: chunk extension
            (Self::SizeEnd(0) | Self::TrailerLf, b'\n') => Some(Self::Trailer),
            (Self::SizeEnd(size), b'\n') => Some(Self::Data(size)),
            (Self::DataEnd, b'\r') => Some(Self::DataLf),
            (Self::DataLf, b'\n') => Some(Self::Size(0, 0)),
            (Self::Trailer, b'\r') => Some(Self::LastLf),
            (Self::InTrailer, b'\r') => Some(Self::TrailerLf),
            (Self::Trailer | Self::InTrailer, _) if byte != b'\n' => Some(Self::InTrailer),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is next after these bytes, and how many of them belong to the body: in one piece, and byte by byte.
    fn after(mut framing: Framing, bytes: &[u8]) -> (Framing, usize) {
        let mut slow = framing;
        let used = framing.advance(bytes);
        let dribbled = bytes.iter().map(|byte| slow.advance(std::slice::from_ref(byte))).sum::<usize>();
        assert_eq!((slow, dribbled), (framing, used), "{:?}", String::from_utf8_lossy(bytes));
        (framing, used)
    }

    /// T-48.
    #[test]
    fn a_body_ends_where_it_says() {
        assert_eq!(after(Framing::length(5), b"12345GET"), (Framing::Head, 5));
        assert_eq!(after(Framing::length(5), b"1234"), (Framing::Length(1), 4));
        for (body, used) in [
            (&b"0\r\n\r\nGET"[..], 5),
            (b"5\r\nhello\r\n0\r\n\r\nGET", 15),
            (b"00a\r\n0123456789\r\n0\r\n\r\n", 22),
            (b"1;a=\"b\"\r\nx\r\n0;z\r\nA: b\r\nC: d\r\n\r\nGET", 31),
        ] {
            assert_eq!(after(Framing::CHUNKED, body), (Framing::Head, used), "{:?}", String::from_utf8_lossy(body));
        }
        assert_eq!(after(Framing::CHUNKED, b"5\r\nhello\r\n0\r\n").0, Framing::Chunked(Chunk::Trailer));
        for malformed in [
            &b"\r\n"[..],
            b";\r\n",
            b"x\r\n",
            b"-1\r\n",
            b"+1\r\n",
            b"0x1\r\n",
            b" 1\r\n",
            b"1 \r\n",
            b"1\nx\r\n",
            b"1;a\nx\r\n",
            b"1\r\nxy\r\n",
            b"1\r\nx\n0\r\n\r\n",
            b"0\r\n\n",
            b"0\r\nA: b\n\r\n",
            b"1000000000000000\r\n",
        ] {
            assert_eq!(after(Framing::CHUNKED, malformed).0, Framing::Lost, "{:?}", String::from_utf8_lossy(malformed));
        }
    }
}

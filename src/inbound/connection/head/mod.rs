//! The head of a request as it comes in: its end, its limits, and what two hops of a chain could read differently.
//!
//! What hyper's parser refuses in any case (methods, names, values) is left to it. The rest is decided here, line by line
//! in the order of the bytes, so that it makes no difference how a head is cut into packets.

mod fault;
mod framing;
mod host;
mod reader;
mod target;

use memchr::memchr_iter;

use framing::Framing;

pub(in crate::inbound) use fault::HeadFault;
pub(in crate::inbound) use host::{fault_of_http2, is_same};
pub(super) use reader::Reader;

/// What a head may have.
#[derive(Clone, Copy, Debug)]
pub(in crate::inbound) struct HeadLimits {
    /// Bytes, with the empty line.
    pub(in crate::inbound) bytes: usize,
    /// Header lines.
    pub(in crate::inbound) lines: usize,
}

/// What is known of the bytes so far.
#[derive(Debug)]
enum Scanned {
    /// The head goes on.
    Partial,
    Whole(Head),
    Fault(HeadFault),
}

/// A whole head.
#[derive(Debug)]
struct Head {
    /// Its bytes, with the empty line.
    len: usize,
    /// What comes after it.
    framing: Framing,
    /// Its target as hyper must see it, where that differs, with its place.
    rewritten: Option<Box<Rewritten>>,
}

#[derive(Debug)]
struct Rewritten {
    from: usize,
    to: usize,
    target: Vec<u8>,
}

/// How far a head was looked at. Bytes that were seen once are not looked at again: a head that trickles in costs no more
/// than one that comes whole.
#[derive(Debug, Default)]
struct Scan {
    /// Where the line begins that is not complete.
    line: usize,
    /// How far the end of that line was looked for.
    searched: usize,
    /// Header lines so far.
    lines: usize,
    /// HTTP/1.x, once the request line was read.
    minor: Option<u8>,
    is_of_head: bool,
    has_host: bool,
    length: Option<u64>,
    is_chunked: bool,
    rewritten: Option<Box<Rewritten>>,
}

impl Scan {
    /// Looks at a head, of which more may have come since the last look.
    fn run(&mut self, bytes: &[u8], limits: HeadLimits) -> Scanned {
        match self.try_run(bytes, limits) {
            Ok(None) => Scanned::Partial,
            Ok(Some(len)) => Scanned::Whole(Head {
                len,
                framing: if self.is_chunked { Framing::CHUNKED } else { Framing::length(self.length.unwrap_or(0)) },
                rewritten: self.rewritten.take(),
            }),
            Err(fault) => Scanned::Fault(fault),
        }
    }

    /// Whether the method is HEAD, whose answer has no body.
    fn is_of_head(&self) -> bool {
        self.is_of_head
    }

    fn try_run(&mut self, bytes: &[u8], limits: HeadLimits) -> Result<Option<usize>, HeadFault> {
        // What lies beyond the limit is not looked at, or it would count how much of it is here.
        let seen = bytes.get(..limits.bytes).unwrap_or(bytes); // T-68: longest head
        let mut start = self.line;
        if self.minor.is_none() {
            may_begin(seen, start)?;
        }
        for found in memchr_iter(b'\n', seen.get(self.searched..).unwrap_or_default()) {
            let end = self.searched + found;
            let line = seen.get(start..end).and_then(|line| line.strip_suffix(b"\r")).ok_or(HeadFault::Line)?;
            let next = end + 1;
            match (self.minor, line.is_empty()) {
                (Some(_), false) => self.header(line, limits)?,
                (Some(_), true) => return self.finish().map(|()| Some(next)),
                (None, false) => self.request_line(start, line)?,
                // Some clients send an empty line after a body (RFC 9112, 2.2).
                (None, true) => may_begin(seen, next)?,
            }
            start = next;
        }
        (self.line, self.searched) = (start, seen.len());
        match self.minor {
            _ if seen.len() < limits.bytes => Ok(None),
            Some(_) => Err(HeadFault::TooLarge),
            None => Err(HeadFault::TargetTooLong),
        }
    }

    fn request_line(&mut self, start: usize, line: &[u8]) -> Result<(), HeadFault> {
        let (before, version) = line.split_last_chunk::<9>().ok_or(HeadFault::Version)?;
        self.minor = match *version {
            version if version == *b" HTTP/1.1" => Some(1),
            version if version == *b" HTTP/1.0" => Some(0),
            _ => return Err(HeadFault::Version),
        };
        let space = before.iter().position(|byte| *byte == b' ').ok_or(HeadFault::Target)?;
        let (method, target) = before.split_at_checked(space).ok_or(HeadFault::Target)?;
        let target = target.get(1..).unwrap_or_default();
        self.is_of_head = method == b"HEAD";
        if let Some(written) = target::check(method, target)? {
            let from = start + space + 1;
            self.rewritten = Some(Box::new(Rewritten { from, to: from + target.len(), target: written }));
        }
        Ok(())
    }

    fn header(&mut self, line: &[u8], limits: HeadLimits) -> Result<(), HeadFault> {
        self.lines += 1;
        if self.lines > limits.lines {
            return Err(HeadFault::TooManyLines);
        }
        // Most lines are none of these, and their first letter says so.
        match line.first().map(u8::to_ascii_lowercase) {
            Some(b' ' | b'\t') => Err(HeadFault::Line),
            Some(b'h') => value_of(line, b"host").map_or(Ok(()), |value| self.host(value)),
            Some(b'c') => value_of(line, b"content-length").map_or(Ok(()), |value| self.length(value)),
            Some(b't') => value_of(line, b"transfer-encoding").map_or(Ok(()), |value| self.encoding(value)),
            _ => Ok(()),
        }
    }

    fn host(&mut self, value: &[u8]) -> Result<(), HeadFault> {
        if self.has_host {
            return Err(HeadFault::HostTwice);
        }
        self.has_host = true;
        if host::is_host(value) { Ok(()) } else { Err(HeadFault::HostInvalid) }
    }

    #[cold]
    fn length(&mut self, value: &[u8]) -> Result<(), HeadFault> {
        self.length = Some(decimal(value).filter(|_| self.length.is_none()).ok_or(HeadFault::Length)?);
        Ok(())
    }

    #[cold]
    fn encoding(&mut self, value: &[u8]) -> Result<(), HeadFault> {
        if self.is_chunked || !value.eq_ignore_ascii_case(b"chunked") {
            return Err(HeadFault::Length);
        }
        self.is_chunked = true;
        Ok(())
    }

    /// All lines were read.
    fn finish(&self) -> Result<(), HeadFault> {
        // HTTP/1.0 knows neither chunks nor, for certain, hosts.
        // T-48: two lengths
        if self.is_chunked && (self.length.is_some() || self.minor == Some(0)) {
            return Err(HeadFault::Length);
        }
        // T-69: missing host
        if !self.has_host && self.minor != Some(0) {
            return Err(HeadFault::HostMissing);
        }
        Ok(())
    }
}

/// Refuses what cannot become a method, which is no HTTP: the rest of a TLS hello is not waited for.
fn may_begin(seen: &[u8], start: usize) -> Result<(), HeadFault> {
    match seen.get(start) {
        Some(first) if !first.is_ascii_graphic() && !matches!(first, b'\r' | b'\n') => Err(HeadFault::Malformed),
        _ => Ok(()),
    }
}

/// The value of this line, if that is its name. Names end at the colon: hyper refuses blanks before it.
fn value_of<'l>(line: &'l [u8], name: &[u8]) -> Option<&'l [u8]> {
    if line.get(name.len()) != Some(&b':') {
        return None;
    }
    let (own, value) = line.split_at_checked(name.len())?;
    let value = value.get(1..)?;
    own.eq_ignore_ascii_case(name).then(|| trimmed(value))
}

/// Without the blanks that may stand around a value.
fn trimmed(mut value: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = value {
        value = rest;
    }
    value
}

fn decimal(text: &[u8]) -> Option<u64> {
    // hyper takes three of the highest numbers for something else.
    const MOST: u64 = u64::MAX - 3;
    if text.is_empty() {
        return None;
    }
    let mut number: u64 = 0;
    for byte in text {
        let digit = byte.is_ascii_digit().then(|| u64::from(byte - b'0'))?;
        number = number.checked_mul(10)?.checked_add(digit)?;
    }
    Some(number).filter(|number| *number <= MOST)
}

//! What an application gets of an event, as a store holds it: names and headers in one piece, the body in another.

use http::{HeaderName, HeaderValue};

use crate::webhook::event::Event;

/// Stands for a name that is not there, where the length of one would be.
const ABSENT: u32 = u32::MAX;

/// What is known of an event beside its body.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Head {
    /// What the provider calls this kind of event.
    pub(crate) event: Option<String>,
    /// What the provider calls this event.
    pub(crate) id: Option<String>,
    /// Headers that the application gets as they came.
    pub(crate) headers: Vec<(HeaderName, HeaderValue)>,
}

/// What an application gets beside the body.
pub(super) fn head_of(event: &Event) -> Head {
    Head { event: event.event.clone(), id: event.id.clone(), headers: event.headers.clone() }
}

/// The same event with headers of its own: as they come, they are slices of what the connection read last, and an event
/// that waits would keep all of that in memory.
pub(super) fn owned(mut event: Event) -> Event {
    for (_, value) in &mut event.headers {
        if let Ok(own) = HeaderValue::from_bytes(value.as_bytes()) {
            *value = own;
        }
    }
    event
}

impl Head {
    /// The bytes: both names, and then the headers, each part behind its length.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for name in [&self.event, &self.id] {
            match name {
                Some(name) => push(&mut bytes, name.as_bytes()),
                None => bytes.extend_from_slice(&ABSENT.to_be_bytes()),
            }
        }
        for (name, value) in &self.headers {
            push(&mut bytes, name.as_str().as_bytes());
            push(&mut bytes, value.as_bytes());
        }
        bytes
    }

    /// From its bytes; `None` for any that [`Head::encode`] does not make.
    pub(crate) fn decode(mut bytes: &[u8]) -> Option<Self> {
        let (event, id) = (name(&mut bytes)?, name(&mut bytes)?);
        let mut headers = Vec::new();
        while !bytes.is_empty() {
            let name = pull(&mut bytes)??;
            let value = pull(&mut bytes)??;
            headers.push((HeaderName::from_lowercase(name).ok()?, HeaderValue::from_bytes(value).ok()?));
        }
        Some(Self { event, id, headers })
    }
}

fn push(bytes: &mut Vec<u8>, part: &[u8]) {
    // Heads of requests are far below 4 GiB.
    bytes.extend_from_slice(&u32::try_from(part.len()).unwrap_or_default().to_be_bytes());
    bytes.extend_from_slice(part);
}

/// The next part, or that it is absent.
fn pull<'b>(bytes: &mut &'b [u8]) -> Option<Option<&'b [u8]>> {
    let (length, rest) = bytes.split_first_chunk()?;
    let length = u32::from_be_bytes(*length);
    if length == ABSENT {
        *bytes = rest;
        return Some(None);
    }
    let (part, rest) = rest.split_at_checked(usize::try_from(length).ok()?)?;
    *bytes = rest;
    Some(Some(part))
}

fn name(bytes: &mut &[u8]) -> Option<Option<String>> {
    match pull(bytes)? {
        Some(name) => Some(Some(String::from_utf8(name.to_vec()).ok()?)),
        None => Some(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head() -> Head {
        let header = |name, value| (HeaderName::from_static(name), HeaderValue::from_bytes(value).unwrap());
        Head {
            event: Some("message.created".to_owned()),
            id: None,
            headers: vec![header("content-type", b"application/json"), header("x-note", b"\xff\x80 caf\xc3\xa9")],
        }
    }

    #[test]
    fn what_is_written_is_read() {
        for head in [Head::default(), head(), Head { id: Some(String::new()), ..head() }] {
            assert_eq!(Head::decode(&head.encode()), Some(head));
        }
    }

    #[test]
    fn a_piece_that_is_cut_is_none() {
        let bytes = head().encode();
        let readable: Vec<usize> = (0..bytes.len()).filter(|end| Head::decode(&bytes[..*end]).is_some()).collect();
        // Between two headers a shorter list ends; the row as a whole is guarded by the file.
        assert_eq!(readable.len(), 2);
        assert_eq!(Head::decode(b""), None);
        assert_eq!(Head::decode(&[0xff; 7]), None);
    }
}

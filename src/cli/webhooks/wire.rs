//! A request in a file, as on the wire.

use std::fmt;
use std::io::Read as _;
use std::path::Path;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri, header};

use crate::webhook::scheme::Head;

/// Header lines of one request at most.
const MOST_HEADERS: usize = 256;

/// Bytes of a file at most: far above what any definition takes.
const MOST_BYTES: u64 = 64 * 1024 * 1024;

/// A request.
pub(super) struct Request {
    pub(super) method: Method,
    pub(super) target: Uri,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

/// Bodies hold messages of users, and headers the proofs.
impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request").field("method", &self.method).field("bytes", &self.body.len()).finish_non_exhaustive()
    }
}

impl Request {
    /// What comes before the body.
    pub(super) fn head(&self) -> Head<'_> {
        Head { method: &self.method, query: self.target.query(), headers: &self.headers }
    }

    /// Reads an HTTP/1.1 request. Lines may end with LF alone, as editors write them. Without `Content-Length` the body is the
    /// rest of the file. What the file and `Content-Length` disagree about is told, and the bytes that are there count.
    pub(super) fn parse(bytes: &[u8]) -> Result<(Self, Option<String>), String> {
        let mut lines = vec![httparse::EMPTY_HEADER; MOST_HEADERS];
        let mut head = httparse::Request::new(&mut lines);
        let end = match head.parse(bytes) {
            Ok(httparse::Status::Complete(end)) => end,
            Ok(httparse::Status::Partial) => return Err("no empty line ends the head of the request".to_owned()),
            Err(error) => return Err(format!("this is no HTTP/1.1 request: {error}")),
        };
        let method = head.method.unwrap_or_default().parse().map_err(|_| "the method is none".to_owned())?;
        let target = head.path.unwrap_or_default().parse().map_err(|_| "the target is none".to_owned())?;
        let mut headers = HeaderMap::new();
        for line in head.headers.iter() {
            let name = HeaderName::from_bytes(line.name.as_bytes());
            let value = HeaderValue::from_bytes(line.value);
            if let (Ok(name), Ok(value)) = (name, value) {
                headers.append(name, value);
            }
        }
        let (body, note) = body(&headers, bytes.get(end..).unwrap_or_default())?;
        Ok((Self { method, target, headers, body }, note))
    }

    /// As on the wire.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let target = self.target.path_and_query().map_or("/", |target| target.as_str());
        let mut wire = format!("{} {target} HTTP/1.1\r\n", self.method).into_bytes();
        for (name, value) in &self.headers {
            wire.extend_from_slice(name.as_str().as_bytes());
            wire.extend_from_slice(b": ");
            wire.extend_from_slice(value.as_bytes());
            wire.extend_from_slice(b"\r\n");
        }
        wire.extend_from_slice(format!("content-length: {}\r\n\r\n", self.body.len()).as_bytes());
        wire.extend_from_slice(&self.body);
        wire
    }
}

/// The body in what follows the head, and a note where a length says something else.
fn body(headers: &HeaderMap, rest: &[u8]) -> Result<(Bytes, Option<String>), String> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    if text(header::TRANSFER_ENCODING).is_some_and(|coding| coding.eq_ignore_ascii_case("chunked")) {
        return Ok((chunks(rest)?, None));
    }
    let Some(length) = text(header::CONTENT_LENGTH) else { return Ok((Bytes::copy_from_slice(rest), None)) };
    let said: usize = length.parse().map_err(|_| format!("Content-Length is no number: {length}"))?;
    let note = (said != rest.len())
        .then(|| format!("note: Content-Length says {said} bytes, and {} follow the head\n", rest.len()));
    Ok((Bytes::copy_from_slice(rest.get(..said).unwrap_or(rest)), note))
}

/// A body in chunks.
fn chunks(mut rest: &[u8]) -> Result<Bytes, String> {
    const BROKEN: &str = "the chunks of the body are broken or cut";
    let mut body = Vec::new();
    loop {
        let Ok(httparse::Status::Complete((begin, size))) = httparse::parse_chunk_size(rest) else {
            return Err(BROKEN.to_owned());
        };
        let size = usize::try_from(size).map_err(|_| BROKEN)?;
        if size == 0 {
            return Ok(body.into());
        }
        let end = begin.checked_add(size).ok_or(BROKEN)?;
        body.extend_from_slice(rest.get(begin..end).ok_or(BROKEN)?);
        let behind = rest.get(end..).unwrap_or_default();
        rest = behind.strip_prefix(b"\r\n").or_else(|| behind.strip_prefix(b"\n")).ok_or(BROKEN)?;
    }
}

/// The bytes of a file, or of standard input where it is called `-`.
pub(super) fn read(file: &Path) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let read = if file.as_os_str() == "-" {
        std::io::stdin().lock().take(MOST_BYTES).read_to_end(&mut bytes)
    } else {
        std::fs::File::open(file).and_then(|file| file.take(MOST_BYTES).read_to_end(&mut bytes))
    };
    read.map(|_| bytes).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> (Request, Option<String>) {
        Request::parse(text.as_bytes()).unwrap_or_else(|error| panic!("{text:?}: {error}"))
    }

    #[test]
    fn lines_end_with_lf_or_crlf_and_a_length_is_not_needed() {
        for end in ["\n", "\r\n"] {
            let text = [
                "POST /webhooks/chat?a=1&b=2 HTTP/1.1",
                "Host: x",
                "X-Signature: one",
                "x-signature: two",
                "",
                "{\"a\":\n1}\n",
            ];
            let (request, note) = parsed(&text.join(end));
            assert_eq!((request.method, request.target.query()), (Method::POST, Some("a=1&b=2")));
            assert_eq!(request.headers.get_all("x-signature").iter().count(), 2);
            assert_eq!((&*request.body, note), (&b"{\"a\":\n1}\n"[..], None));
        }
    }

    #[test]
    fn a_length_says_where_the_body_ends() {
        let (request, note) = parsed("POST / HTTP/1.1\nContent-Length: 2\n\n{}\n");
        assert_eq!(&*request.body, b"{}");
        assert_eq!(note.as_deref(), Some("note: Content-Length says 2 bytes, and 3 follow the head\n"));
        let (request, note) = parsed("POST / HTTP/1.1\nContent-Length: 4\n\n{}");
        assert_eq!(&*request.body, b"{}");
        assert_eq!(note.as_deref(), Some("note: Content-Length says 4 bytes, and 2 follow the head\n"));
    }

    #[test]
    fn chunks_are_put_together() {
        let head = "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n";
        assert_eq!(&*parsed(&format!("{head}3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n")).0.body, b"abcde");
        for broken in ["", "3\r\nab", "3\r\nabcd\r\n0\r\n\r\n", "x\r\n", "ffffffffffffffff\r\na"] {
            let error = Request::parse(format!("{head}{broken}").as_bytes()).expect_err(broken);
            assert_eq!(error, "the chunks of the body are broken or cut", "{broken}");
        }
    }

    #[test]
    fn what_is_no_request_is_told() {
        for (text, told) in [
            ("{}", "this is no HTTP/1.1 request: invalid token"),
            ("POST / HTTP/1.1\nHost: x\n", "no empty line ends the head of the request"),
            ("POST / HTTP/1.1\nContent-Length: x\n\n", "Content-Length is no number: x"),
        ] {
            assert_eq!(Request::parse(text.as_bytes()).expect_err(text), told);
        }
    }

    #[test]
    fn what_is_written_is_read_again() {
        let text = "POST /webhooks/chat?a=1 HTTP/1.1\r\nx-signature: one\r\ncontent-length: 2\r\n\r\n{}";
        let (mut request, _) = parsed(text);
        request.headers.remove(header::CONTENT_LENGTH);
        assert_eq!(request.to_bytes(), text.as_bytes());
    }
}

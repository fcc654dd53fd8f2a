//! A client that sends exactly the bytes it is told: HTTP clients refuse most of what attackers do.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// No test waits longer than this for bytes; it decides nothing, it only ends a test that hangs.
const PATIENCE: Duration = Duration::from_secs(20);

/// An answer, taken apart.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    /// In the order sent, names in lower case.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Answer {
    /// The one value of a header; panics when it came more than once.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut found = self.headers.iter().filter(|(own, _)| own == name);
        let value = found.next().map(|(_, value)| value.as_str());
        assert!(found.next().is_none(), "{name} came twice: {self:?}");
        value
    }

    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// Member `code` of an error.
    pub fn code(&self) -> String {
        self.json()["code"].as_str().unwrap_or_default().to_owned()
    }
}

/// One connection.
pub struct Connection<S = TcpStream> {
    stream: S,
    buffer: Vec<u8>,
}

impl Connection {
    pub async fn open(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.expect("connects");
        stream.set_nodelay(true).expect("a socket");
        Self::over(stream)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    pub fn over(stream: S) -> Self {
        Self { stream, buffer: Vec::new() }
    }

    /// Sends bytes as they are.
    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).await.expect("sent");
    }

    /// Sends bytes; a peer that has closed is fine.
    pub async fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        self.stream.write_all(bytes.as_ref()).await.is_ok()
    }

    /// Says that nothing more comes, and waits until the peer closes, whatever it still sends.
    pub async fn leave(mut self) {
        // The peer may have closed already.
        let _gone = self.stream.shutdown().await;
        self.wait_for_the_end().await;
    }

    /// A request with these header lines, and the answer to it.
    pub async fn ask(&mut self, method: &str, path: &str, headers: &[(&str, &str)]) -> Answer {
        self.send(request(method, path, headers, b"")).await;
        self.answer_to(method).await.expect("an answer")
    }

    /// The next answer; `None` when the peer closed instead.
    pub async fn answer(&mut self) -> Option<Answer> {
        self.answer_to("GET").await
    }

    /// The same to a request with this method.
    pub async fn answer_to(&mut self, method: &str) -> Option<Answer> {
        tokio::time::timeout(PATIENCE, self.read_answer(method)).await.expect("an answer in time")
    }

    async fn read_answer(&mut self, method: &str) -> Option<Answer> {
        let end = loop {
            if let Some(at) = self.buffer.windows(4).position(|window| window == b"\r\n\r\n") {
                break at;
            }
            if !self.fill().await {
                return None;
            }
        };
        let head = String::from_utf8(self.buffer[..end].to_vec()).expect("an ASCII head");
        self.buffer.drain(..end + 4);
        let mut lines = head.split("\r\n");
        let status = lines.next()?.split(' ').nth(1)?.parse().expect("a status");
        let headers: Vec<(String, String)> = lines
            .map(|line| line.split_once(':').expect("a header"))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
            .collect();
        let mut answer = Answer { status, headers, body: Vec::new() };
        if answer.header("transfer-encoding") == Some("chunked") {
            while let Some(chunk) = self.chunk().await? {
                answer.body.extend(chunk);
            }
            return Some(answer);
        }
        let length: usize = answer.header("content-length").map_or(0, |text| text.parse().expect("a length"));
        let length = if method == "HEAD" || status == 204 { 0 } else { length };
        while self.buffer.len() < length {
            assert!(self.fill().await, "closed within a body");
        }
        answer.body = self.buffer.drain(..length).collect();
        Some(answer)
    }

    /// The next chunk of a body in chunks; nothing behind the last one. `None` when the peer closed instead.
    pub async fn chunk(&mut self) -> Option<Option<Vec<u8>>> {
        let end = loop {
            if let Some(at) = self.buffer.windows(2).position(|window| window == b"\r\n") {
                break at;
            }
            if !self.fill().await {
                return None;
            }
        };
        let digits = std::str::from_utf8(&self.buffer[..end]).expect("digits");
        let length = usize::from_str_radix(digits, 16).expect("a length");
        while self.buffer.len() < end + 2 + length + 2 {
            if !self.fill().await {
                return None;
            }
        }
        let chunk = self.buffer.drain(..end + 2 + length + 2).skip(end + 2).take(length).collect();
        Some((length > 0).then_some(chunk))
    }

    /// Whether the peer closes without another byte.
    pub async fn is_closed(&mut self) -> bool {
        let more = tokio::time::timeout(PATIENCE, self.fill()).await.expect("closed or answered in time");
        !more && self.buffer.is_empty()
    }

    /// Waits until the peer closes, whatever it still sends.
    pub async fn wait_for_the_end(&mut self) {
        let end = async { while self.fill().await {} };
        tokio::time::timeout(PATIENCE, end).await.expect("closed in time");
    }

    async fn fill(&mut self) -> bool {
        let mut chunk = [0; 4096];
        match self.stream.read(&mut chunk).await {
            Ok(0) | Err(_) => false,
            Ok(n) => {
                self.buffer.extend_from_slice(&chunk[..n]);
                true
            }
        }
    }
}

/// The bytes of a request. A `Host` is added where none is given; a length where there is a body.
pub fn request(method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let mut text = format!("{method} {path} HTTP/1.1\r\n");
    if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
        text.push_str("Host: sidemint.test\r\n");
    }
    for (name, value) in headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    if !body.is_empty() {
        text.push_str(&format!("Content-Length: {}\r\n", body.len()));
    }
    text.push_str("\r\n");
    [text.as_bytes(), body].concat()
}

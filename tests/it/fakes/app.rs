//! The application behind a proxy: says hello, and remembers every request as it came, to the byte.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::http::listen;

/// A running application; cheap to clone.
#[derive(Clone)]
pub struct App {
    pub address: SocketAddr,
    seen: Arc<Mutex<Vec<Request>>>,
}

impl App {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let app = Self { address: listener.local_addr().unwrap(), seen: Arc::default() };
        let server = app.clone();
        tokio::spawn(listen(listener, move |stream| server.clone().serve(stream)));
        app
    }

    /// Answers one request after the other; who speaks HTTP/1.0 gets one.
    async fn serve(self, mut stream: TcpStream) -> std::io::Result<()> {
        let mut buffer = Vec::new();
        while let Some(request) = read(&mut stream, &mut buffer).await? {
            let (head, old) = (request.method() == "HEAD", request.0.lines().next().unwrap().ends_with("/1.0"));
            self.seen.lock().unwrap().push(request);
            let body = if head { "" } else { "hello" };
            stream.write_all(format!("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n{body}").as_bytes()).await?;
            if old {
                break;
            }
        }
        Ok(())
    }

    /// The last request; panics when there was none since the last call.
    pub fn last(&self) -> Request {
        self.all().pop().expect("a request came")
    }

    /// All requests since the last call.
    pub fn all(&self) -> Vec<Request> {
        std::mem::take(&mut *self.seen.lock().unwrap())
    }

    /// Whether no request came since the last call of either.
    pub fn is_untouched(&self) -> bool {
        self.seen.lock().unwrap().is_empty()
    }
}

/// The next request, read whole; `None` at the end of the connection.
async fn read(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> std::io::Result<Option<Request>> {
    let mut chunk = [0; 4096];
    loop {
        if let Some(length) = whole(buffer) {
            let bytes: Vec<u8> = buffer.drain(..length).collect();
            return Ok(Some(Request(String::from_utf8_lossy(&bytes).into_owned())));
        }
        match stream.read(&mut chunk).await? {
            0 => return Ok(None),
            n => buffer.extend_from_slice(&chunk[..n]),
        }
    }
}

/// How long the request is that `bytes` begin with, once all of it is there.
fn whole(bytes: &[u8]) -> Option<usize> {
    let head = bytes.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
    let text = String::from_utf8_lossy(&bytes[..head]).to_lowercase();
    assert!(!text.contains("transfer-encoding:"), "no test here sends a body in chunks: {text}");
    let body = text.lines().find_map(|line| line.strip_prefix("content-length:"));
    let length = head + body.map_or(0, |length| length.trim().parse().unwrap());
    (bytes.len() >= length).then_some(length)
}

/// A request as it came: head and body.
#[derive(Clone, Debug)]
pub struct Request(pub String);

impl Request {
    pub fn method(&self) -> &str {
        self.0.split(' ').next().unwrap()
    }

    /// Path and query.
    pub fn target(&self) -> &str {
        self.0.split(' ').nth(1).unwrap()
    }

    pub fn body(&self) -> &str {
        self.0.split_once("\r\n\r\n").unwrap().1
    }

    /// The one value of a header; panics when it came more than once.
    pub fn header(&self, name: &str) -> Option<&str> {
        let lines = self.0.lines().skip(1).take_while(|line| !line.is_empty());
        let mut found = lines.filter_map(|line| line.split_once(':')).filter(|(own, _)| own.eq_ignore_ascii_case(name));
        let value = found.next().map(|(_, value)| value.trim());
        assert!(found.next().is_none(), "{name} came twice:\n{}", self.0);
        value
    }

    /// The same, and nothing where it is there and empty: some proxies leave such a header out, some do not.
    pub fn said(&self, name: &str) -> Option<&str> {
        self.header(name).filter(|value| !value.is_empty())
    }

    /// Whether this text is anywhere in it, whatever the case.
    pub fn holds(&self, text: &str) -> bool {
        self.0.to_lowercase().contains(&text.to_lowercase())
    }
}

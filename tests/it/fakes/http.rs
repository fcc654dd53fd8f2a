//! What every fake provider is made of: calls as they came, answers good and bad.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

/// What a call comes over.
pub trait Wire: AsyncRead + AsyncWrite + Unpin + Send {}

impl<W: AsyncRead + AsyncWrite + Unpin + Send> Wire for W {}

/// A call as it came.
#[derive(Clone, Debug)]
pub struct Call {
    pub method: String,
    pub path: String,
    /// What stands behind the question mark, as it was sent.
    pub query: String,
    /// Names in lower case.
    pub headers: BTreeMap<String, String>,
    pub body: Vec<u8>,
    /// The body, where it is JSON.
    pub json: Value,
}

impl Call {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map(String::as_str).unwrap_or_default()
    }

    /// Fields of a form body, in order.
    pub fn form(&self) -> Vec<(String, String)> {
        url::form_urlencoded::parse(&self.body).into_owned().collect()
    }

    /// Query parameters, in order.
    pub fn parameters(&self) -> Vec<(String, String)> {
        url::form_urlencoded::parse(self.query.as_bytes()).into_owned().collect()
    }

    /// Names of the members of a JSON body.
    pub fn members(&self) -> Vec<&str> {
        self.json.as_object().map(|members| members.keys().map(String::as_str).collect()).unwrap_or_default()
    }
}

/// What to do with a call.
#[derive(Clone, Debug)]
pub enum Script {
    /// Answer with this.
    Answer { status: u16, headers: Vec<(String, String)>, body: Vec<u8> },
    /// Send these bytes and close.
    Raw(Vec<u8>),
    /// Send these bytes, then neither send more nor close.
    Stall(Vec<u8>),
    /// Send the first, then the second again and again until the peer has had enough.
    Endless(Vec<u8>, Vec<u8>),
    /// Wait for a permit, then do this.
    After(Arc<Semaphore>, Box<Script>),
    /// Never answer.
    Silence,
    /// Close without an answer.
    Reset,
}

impl Script {
    pub fn json(status: u16, body: &Value) -> Self {
        let headers = vec![("Content-Type".to_owned(), "application/json".to_owned())];
        Self::Answer { status, headers, body: body.to_string().into_bytes() }
    }

    pub fn text(status: u16, kind: &str, body: impl Into<Vec<u8>>) -> Self {
        Self::Answer { status, headers: vec![("Content-Type".to_owned(), kind.to_owned())], body: body.into() }
    }

    /// Does it; says whether the connection lives on.
    pub async fn play(self, stream: &mut impl Wire) -> std::io::Result<Then> {
        match self {
            Self::Answer { status, headers, body } => {
                let mut head = format!("HTTP/1.1 {status} X\r\nContent-Length: {}\r\n", body.len());
                for (name, value) in headers {
                    head.push_str(&format!("{name}: {value}\r\n"));
                }
                head.push_str("\r\n");
                stream.write_all(&[head.as_bytes(), &body].concat()).await?;
                Ok(Then::Next)
            }
            Self::Raw(bytes) => {
                stream.write_all(&bytes).await?;
                Ok(Then::Close)
            }
            Self::Stall(bytes) => {
                stream.write_all(&bytes).await?;
                std::future::pending().await
            }
            Self::Endless(head, more) => {
                stream.write_all(&head).await?;
                loop {
                    stream.write_all(&more).await?;
                }
            }
            Self::After(permits, then) => {
                permits.acquire().await.expect("never closed").forget();
                Box::pin(then.play(stream)).await
            }
            Self::Silence => std::future::pending().await,
            Self::Reset => Ok(Then::Close),
        }
    }
}

/// Whether a connection lives on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    Next,
    Close,
}

pub async fn read_call(stream: &mut impl Wire, buffer: &mut Vec<u8>) -> std::io::Result<Option<Call>> {
    let mut chunk = [0; 8192];
    let end = loop {
        if let Some(at) = buffer.windows(4).position(|window| window == b"\r\n\r\n") {
            break at;
        }
        match stream.read(&mut chunk).await? {
            0 => return Ok(None),
            n => buffer.extend_from_slice(&chunk[..n]),
        }
    };
    let head = String::from_utf8_lossy(&buffer[..end]).into_owned();
    buffer.drain(..end + 4);
    let mut lines = head.split("\r\n");
    let mut first = lines.next().unwrap_or_default().split(' ');
    let (method, target) = (first.next().unwrap_or_default().to_owned(), first.next().unwrap_or_default());
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let (path, query) = (path.to_owned(), query.to_owned());
    let headers: BTreeMap<String, String> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let length: usize = headers.get("content-length").map_or(0, |text| text.parse().unwrap_or(0));
    while buffer.len() < length {
        match stream.read(&mut chunk).await? {
            0 => return Ok(None),
            n => buffer.extend_from_slice(&chunk[..n]),
        }
    }
    let body: Vec<u8> = buffer.drain(..length).collect();
    let json = serde_json::from_slice(&body).unwrap_or(Value::Null);
    Ok(Some(Call { method, path, query, headers, body, json }))
}

/// Serves each connection with `serve`, for as long as the test runs.
pub async fn listen<F>(listener: TcpListener, serve: impl Fn(TcpStream) -> F + Send + 'static)
where
    F: Future<Output = std::io::Result<()>> + Send + 'static,
{
    while let Ok((stream, _)) = listener.accept().await {
        let connection = serve(stream);
        tokio::spawn(async move {
            let _closed = connection.await;
        });
    }
}

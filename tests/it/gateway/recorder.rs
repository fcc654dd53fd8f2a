//! A provider that records each request as it came, and fails the test when one holds what must never arrive.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::fakes::http::{Script, Then, listen};

/// Headers that the gateway hands on or writes for every definition, whatever it lists.
const ALWAYS: [&str; 10] = [
    "accept",
    "accept-encoding",
    "accept-language",
    "content-length",
    "content-type",
    "host",
    "traceparent",
    "tracestate",
    "transfer-encoding",
    "user-agent",
];

/// The same for requests that are compared: what another client would say in its own words.
const OF_THE_CLIENT: [&str; 10] = [
    "accept-encoding",
    "connection",
    "content-length",
    "host",
    "keep-alive",
    "sec-fetch-mode",
    "te",
    "traceparent",
    "tracestate",
    "transfer-encoding",
];

/// A request as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    pub method: String,
    /// Path and query, to the byte.
    pub target: String,
    /// Lines in the order sent, names as sent.
    pub headers: Vec<(String, String)>,
    /// Without the marks of chunks.
    pub body: Vec<u8>,
}

impl Request {
    pub fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or_default()
    }

    /// Pairs of the query, decoded, in order.
    pub fn query(&self) -> Vec<(String, String)> {
        let query = self.target.split_once('?').map_or("", |(_, query)| query);
        url::form_urlencoded::parse(query.as_bytes()).into_owned().collect()
    }

    /// The one value of a query name; panics when it came more than once.
    pub fn parameter(&self, name: &str) -> Option<String> {
        let mut found = self.query().into_iter().filter(|(own, _)| own == name).map(|(_, value)| value);
        let value = found.next();
        assert!(found.next().is_none(), "{name} came twice: {self:?}");
        value
    }

    /// The one value of a header; panics when it came more than once.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut found = self.headers.iter().filter(|(own, _)| own.eq_ignore_ascii_case(name));
        let value = found.next().map(|(_, value)| value.as_str());
        assert!(found.next().is_none(), "{name} came twice: {self:?}");
        value
    }

    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// Fields of a form body, in order.
    pub fn form(&self) -> Vec<(String, String)> {
        url::form_urlencoded::parse(&self.body).into_owned().collect()
    }

    /// Header lines that two clients must agree on: names in lower case, sorted, without `proofs` and without what is about
    /// one connection.
    pub fn said(&self, proofs: &[&str]) -> Vec<(String, String)> {
        let lines = self.headers.iter().map(|(name, value)| (name.to_ascii_lowercase(), value.clone()));
        let mut lines: Vec<_> =
            lines.filter(|(name, _)| !OF_THE_CLIENT.contains(&&**name) && !proofs.contains(&&**name)).collect();
        lines.sort();
        lines
    }
}

/// What must hold of each request.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    /// Texts that are nowhere in a request: virtual keys, and what is made with them.
    pub absent: Vec<String>,
    /// Headers beside those that every definition has, in lower case. `None`: any header, for an SDK that comes straight.
    pub headers: Option<Vec<&'static str>>,
}

impl Rules {
    /// A call of the gateway: these headers beside the usual, and never one of these keys.
    pub fn strict(keys: &[&str], headers: &[&'static str]) -> Self {
        Self { absent: keys.iter().flat_map(|key| spellings(key)).collect(), headers: Some(headers.to_vec()) }
    }

    /// What is wrong with a request.
    fn complaint(&self, request: &Request) -> Option<String> {
        let names: Vec<String> = request.headers.iter().map(|(name, _)| name.to_ascii_lowercase()).collect();
        let count = |wanted: &str| names.iter().filter(|name| *name == wanted).count();
        if count("host") != 1 {
            return Some(format!("{} lines of Host", count("host")));
        }
        if count("content-length") + count("transfer-encoding") > 1 {
            return Some("two lengths of one body".to_owned());
        }
        let head: Vec<String> = request.headers.iter().map(|(name, value)| format!("{name}: {value}")).collect();
        let places = [
            ("target", request.target.clone()),
            ("headers", head.join("\n")),
            ("body", String::from_utf8_lossy(&request.body).into()),
        ];
        for (place, text) in &places {
            if self.absent.iter().any(|absent| text.contains(absent)) {
                return Some(format!("a virtual key in its {place}"));
            }
        }
        let listed = self.headers.as_ref()?;
        if request.target.starts_with("/gateway/") || !request.target.starts_with('/') {
            return Some("the target of another server".to_owned());
        }
        let allowed =
            |name: &&String| ALWAYS.contains(&&***name) || listed.contains(&&***name) || name.starts_with("if-");
        if let Some(name) = names.iter().find(|name| !allowed(name) || (count(name) > 1)) {
            return Some(format!("header {name}, which is not listed or came twice"));
        }
        if request.header("accept-encoding").is_some_and(|value| value != "identity") {
            return Some("an encoding is accepted".to_owned());
        }
        None
    }
}

/// Spellings of a text that servers decode.
fn spellings(text: &str) -> Vec<String> {
    let percent: String = url::form_urlencoded::byte_serialize(text.as_bytes()).collect();
    let mut all = vec![text.to_owned(), percent, json!(text).to_string().trim_matches('"').to_owned()];
    // Base64 of a text within another one depends on where it begins; the last characters also on what follows.
    for before in 0..3 {
        let padded = format!("{}{text}", "x".repeat(before));
        for engine in [&STANDARD_NO_PAD, &URL_SAFE_NO_PAD] {
            let encoded = engine.encode(&padded);
            let whole = padded.len() / 3 * 4;
            all.push(encoded[[0, 2, 3][before]..whole].to_owned());
        }
    }
    all.push(STANDARD.encode(text));
    all.sort();
    all.dedup();
    all
}

/// What the provider does with a request that holds to the rules.
type Answers = dyn Fn(&Request) -> Script + Send + Sync;

#[derive(Default)]
struct Seen {
    requests: Vec<Request>,
    complaints: Vec<String>,
    /// By path: what the next requests get.
    scripts: HashMap<String, VecDeque<Script>>,
}

/// The provider. Fails the test when it ends and something was wrong with a request.
pub struct Recorder {
    pub address: SocketAddr,
    seen: Arc<Mutex<Seen>>,
}

impl Recorder {
    /// One that answers each request as `answers` says, and an error to one that breaks a rule.
    pub async fn start(rules: Rules, answers: impl Fn(&Request) -> Script + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen: Arc<Mutex<Seen>> = Arc::default();
        let answers: Arc<Answers> = Arc::new(answers);
        let own = (Arc::clone(&seen), Arc::new(rules), answers);
        tokio::spawn(listen(listener, move |stream| serve(stream, own.clone())));
        Self { address, seen }
    }

    /// The same with an empty object for every request.
    pub async fn empty(rules: Rules) -> Self {
        Self::start(rules, |_| Script::json(200, &json!({}))).await
    }

    pub fn base_url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What the next request of `path` gets.
    pub fn next(&self, path: &str, script: Script) {
        self.seen.lock().unwrap().scripts.entry(path.to_owned()).or_default().push_back(script);
    }

    /// All requests so far.
    pub fn requests(&self) -> Vec<Request> {
        let seen = self.seen.lock().unwrap();
        let (requests, complaints) = (seen.requests.clone(), seen.complaints.clone());
        drop(seen);
        assert_eq!(complaints, Vec::<String>::new(), "{requests:#?}");
        requests
    }

    /// The last request.
    pub fn last(&self) -> Request {
        self.requests().pop().expect("a request came")
    }

    /// Method and target of each request so far.
    pub fn asked(&self) -> Vec<String> {
        self.requests().iter().map(|request| format!("{} {}", request.method, request.target)).collect()
    }

    /// What was wrong so far, for tests of the recorder and of what must be wrong; they do not fail the test then.
    pub fn take_complaints(&self) -> Vec<String> {
        std::mem::take(&mut self.seen.lock().unwrap().complaints)
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            let _checked = self.requests();
        }
    }
}

/// Serves one connection.
async fn serve(
    mut stream: TcpStream,
    (seen, rules, answers): (Arc<Mutex<Seen>>, Arc<Rules>, Arc<Answers>),
) -> std::io::Result<()> {
    let mut buffer = Vec::new();
    loop {
        let request = match read(&mut stream, &mut buffer).await? {
            Ok(Some(request)) => request,
            Ok(None) => return Ok(()),
            Err(complaint) => {
                seen.lock().unwrap().complaints.push(complaint);
                return Ok(());
            }
        };
        let script = {
            let mut seen = seen.lock().unwrap();
            let complaint = rules.complaint(&request);
            let scripted = seen.scripts.get_mut(request.path()).and_then(VecDeque::pop_front);
            seen.requests.push(request.clone());
            seen.complaints.extend(complaint.clone());
            complaint.map(|complaint| Script::text(500, "text/plain", complaint)).or(scripted)
        };
        let script = script.unwrap_or_else(|| answers(&request));
        // The answer to HEAD ends with its head.
        let script = match script {
            Script::Answer { status, headers, .. } if request.method == "HEAD" => {
                Script::Answer { status, headers, body: Vec::new() }
            }
            script => script,
        };
        if script.play(&mut stream).await? == Then::Close {
            return Ok(());
        }
    }
}

/// The next request; a complaint where it is none that two servers would read alike.
async fn read(
    stream: &mut (impl AsyncRead + Unpin),
    buffer: &mut Vec<u8>,
) -> std::io::Result<Result<Option<Request>, String>> {
    let head = loop {
        if let Some(at) = buffer.windows(4).position(|window| window == b"\r\n\r\n") {
            let head: Vec<u8> = buffer.drain(..at + 4).take(at).collect();
            break head;
        }
        if !fill(stream, buffer).await? {
            return Ok(Ok(None));
        }
    };
    let Ok(head) = String::from_utf8(head) else { return Ok(Err("a head that is not UTF-8".to_owned())) };
    let mut lines = head.split("\r\n");
    let first: Vec<&str> = lines.next().unwrap_or_default().split(' ').collect();
    let [method, target, "HTTP/1.1"] = first[..] else { return Ok(Err(format!("request line {first:?}"))) };
    let mut headers = Vec::new();
    for line in lines {
        match line.split_once(':') {
            Some((name, value)) if !name.is_empty() && !name.contains([' ', '\t']) => {
                headers.push((name.to_owned(), value.trim().to_owned()));
            }
            _ => return Ok(Err(format!("header line {line:?}"))),
        }
    }
    let mut request = Request { method: method.to_owned(), target: target.to_owned(), headers, body: Vec::new() };
    let is_chunked = request.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("transfer-encoding"));
    if is_chunked {
        match chunks(stream, buffer).await? {
            Ok(body) => request.body = body,
            Err(complaint) => return Ok(Err(complaint)),
        }
        return Ok(Ok(Some(request)));
    }
    let length = request.headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    let length: usize = length.map_or(0, |(_, value)| value.parse().unwrap_or(0));
    while buffer.len() < length {
        if !fill(stream, buffer).await? {
            // The caller gave up: nothing was asked.
            return Ok(Ok(None));
        }
    }
    request.body = buffer.drain(..length).collect();
    Ok(Ok(Some(request)))
}

/// A body in chunks, without trailers: none of ours has any.
async fn chunks(
    stream: &mut (impl AsyncRead + Unpin),
    buffer: &mut Vec<u8>,
) -> std::io::Result<Result<Vec<u8>, String>> {
    let mut body = Vec::new();
    loop {
        let line = loop {
            if let Some(at) = buffer.windows(2).position(|window| window == b"\r\n") {
                let line: Vec<u8> = buffer.drain(..at + 2).take(at).collect();
                break String::from_utf8_lossy(&line).into_owned();
            }
            if !fill(stream, buffer).await? {
                return Ok(Err("a body that does not end".to_owned()));
            }
        };
        let Ok(length) = usize::from_str_radix(&line, 16) else { return Ok(Err(format!("chunk {line:?}"))) };
        while buffer.len() < length + 2 {
            if !fill(stream, buffer).await? {
                return Ok(Err("a body that does not end".to_owned()));
            }
        }
        body.extend(buffer.drain(..length));
        let end: Vec<u8> = buffer.drain(..2).collect();
        if end != b"\r\n" {
            return Ok(Err("a chunk of another length, or trailers".to_owned()));
        }
        if length == 0 {
            return Ok(Ok(body));
        }
    }
}

async fn fill(stream: &mut (impl AsyncRead + Unpin), buffer: &mut Vec<u8>) -> std::io::Result<bool> {
    let mut chunk = [0; 8192];
    let read = stream.read(&mut chunk).await?;
    buffer.extend_from_slice(&chunk[..read]);
    Ok(read > 0)
}

#[tokio::test]
async fn it_complains_of_what_must_never_arrive() {
    use crate::client::{Connection, request};
    type Case<'c> = (&'c str, &'c [(&'c str, &'c str)], &'c str, Option<&'c str>);
    const KEY: &str = "gw_0123456789abcdef0123456789abcdef";
    let basic = format!("Basic {}", STANDARD.encode(format!("shop:{KEY}")));
    let bearer = format!("Bearer {KEY}");
    let query = format!("/rooms?key={KEY}");
    let body = format!("{{\"key\":\"{KEY}\"}}");
    let cases: [Case<'_>; 9] = [
        ("/rooms?a=1", &[("X-Api-Key", "real"), ("Accept", "*/*"), ("If-Match", "x")], "{}", None),
        ("/rooms", &[("X-Api-Key", &bearer)], "", Some("a virtual key in its headers")),
        ("/rooms", &[("X-Api-Key", &basic)], "", Some("a virtual key in its headers")),
        (&query, &[], "", Some("a virtual key in its target")),
        ("/rooms", &[], &body, Some("a virtual key in its body")),
        ("/gateway/live/rooms", &[], "", Some("the target of another server")),
        ("/rooms", &[("Host", "a"), ("Host", "b")], "", Some("2 lines of Host")),
        ("/rooms", &[("Cookie", "a=b")], "", Some("header cookie, which is not listed or came twice")),
        ("/rooms", &[("Accept", "a"), ("Accept", "b")], "", Some("header accept, which is not listed or came twice")),
    ];
    let recorder = Recorder::empty(Rules::strict(&[KEY], &["x-api-key"])).await;
    for (target, headers, body, complaint) in cases {
        let mut connection = Connection::open(recorder.address).await;
        connection.send(request("POST", target, headers, body.as_bytes())).await;
        let answer = connection.answer().await.unwrap();
        assert_eq!(answer.status, if complaint.is_some() { 500 } else { 200 }, "{target} {headers:?}");
        assert_eq!(recorder.take_complaints(), complaint.as_slice(), "{target} {headers:?}");
    }
    let mut connection = Connection::open(recorder.address).await;
    connection.send("POST /rooms HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n").await;
    assert_eq!(connection.answer().await.unwrap().status, 200);
    assert_eq!((recorder.last().body, recorder.last().path()), (b"{}".to_vec(), "/rooms"));
}

#[tokio::test]
async fn it_tells_what_came() {
    use crate::client::{Connection, request};
    let recorder = Recorder::empty(Rules::default()).await;
    recorder.next("/a", Script::json(429, &json!({})));
    assert_eq!(recorder.base_url(), format!("http://{}", recorder.address));
    let mut connection = Connection::open(recorder.address).await;
    let headers = [("X-Two", "2"), ("Authorization", "Bearer x"), ("Accept-Encoding", "gzip"), ("A", "1")];
    for (body, status) in [("{\"b\":1}", 429), ("b=1&b=%2F", 200)] {
        connection.send(request("POST", "/a?c=%20&d", &headers, body.as_bytes())).await;
        assert_eq!(connection.answer().await.unwrap().status, status);
    }
    assert_eq!(connection.ask("HEAD", "/a", &[]).await.status, 200);
    assert_eq!(recorder.asked(), ["POST /a?c=%20&d", "POST /a?c=%20&d", "HEAD /a"]);
    let [first, second, _] = &recorder.requests()[..] else { panic!() };
    let own = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    assert_eq!((first.parameter("c"), first.parameter("e")), (Some(" ".to_owned()), None));
    assert_eq!(first.query(), [own("c", " "), own("d", "")]);
    assert_eq!((first.json(), second.form()), (json!({"b": 1}), vec![own("b", "1"), own("b", "/")]));
    assert_eq!(first.said(&["authorization"]), [own("a", "1"), own("x-two", "2")]);
}

/// A test that never looks at the requests fails too.
#[tokio::test]
#[should_panic(expected = "the target of another server")]
async fn a_complaint_fails_the_test_that_does_not_look() {
    let recorder = Recorder::empty(Rules::strict(&[], &[])).await;
    crate::client::Connection::open(recorder.address).await.ask("GET", "/gateway/live/", &[]).await;
}

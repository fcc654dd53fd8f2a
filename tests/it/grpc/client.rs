//! An Envoy, as far as sidemint sees one: checks over a connection of its own.

use std::collections::HashMap;
use std::pin::Pin;
use std::task::{Context, Poll};

use envoy_types::pb::envoy::config::core::v3::{HeaderMap, HeaderValue, Metadata};
use envoy_types::pb::envoy::service::auth::v3::attribute_context::{HttpRequest, Peer, Request};
use envoy_types::pb::envoy::service::auth::v3::authorization_client::AuthorizationClient;
use envoy_types::pb::envoy::service::auth::v3::check_response::HttpResponse;
use envoy_types::pb::envoy::service::auth::v3::{AttributeContext, CheckRequest, CheckResponse};
use envoy_types::pb::google::protobuf::value::Kind;
use envoy_types::pb::google::protobuf::{ListValue, Struct, Value};
use hyper::body::Incoming;
use hyper::client::conn::http2::{Builder, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use sidemint::config::Listen;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tonic::body::Body;
use tonic::codec::{Codec, EncodeBuf, Encoder};
use tonic::metadata::{AsciiMetadataKey, AsciiMetadataValue};
use tonic::{Code, Status};
use tonic_prost::ProstDecoder;

use crate::harness::Service;

/// One connection.
#[derive(Clone)]
pub struct Wire(SendRequest<Body>);

impl Wire {
    pub async fn over(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) -> Self {
        Self::shaken(&mut Builder::new(TokioExecutor::new()), stream).await
    }

    /// With settings of one's own.
    pub async fn shaken(
        client: &mut Builder<TokioExecutor>,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    ) -> Self {
        let (sender, connection) = client.handshake(TokioIo::new(stream)).await.expect("HTTP/2");
        tokio::spawn(connection);
        Self(sender)
    }

    pub async fn to(service: &Service) -> Self {
        match service.grpc.as_ref().expect("a gRPC listener") {
            Listen::Tcp(address) => Self::over(TcpStream::connect(address).await.unwrap()).await,
            Listen::Unix(path) => Self::over(UnixStream::connect(path).await.unwrap()).await,
        }
    }
}

impl tonic::codegen::Service<http::Request<Body>> for Wire {
    type Response = http::Response<Incoming>;
    type Error = hyper::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), hyper::Error>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        Box::pin(self.0.send_request(request))
    }
}

pub fn origin() -> http::Uri {
    http::Uri::from_static("http://sidemint.test")
}

/// Sends bytes as they are where a message belongs.
struct Raw;

impl Codec for Raw {
    type Encode = Vec<u8>;
    type Decode = CheckResponse;
    type Encoder = Self;
    type Decoder = ProstDecoder<CheckResponse>;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self::Decoder {
        ProstDecoder::default()
    }
}

impl Encoder for Raw {
    type Item = Vec<u8>;
    type Error = Status;

    fn encode(&mut self, bytes: Vec<u8>, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        bytes::BufMut::put_slice(buffer, &bytes);
        Ok(())
    }
}

/// Asks with bytes that need not be a check.
pub async fn ask_with(bytes: Vec<u8>, service: &Service) -> Result<Verdict, Status> {
    let mut client = tonic::client::Grpc::with_origin(Wire::to(service).await, origin());
    let path = http::uri::PathAndQuery::from_static("/envoy.service.auth.v3.Authorization/Check");
    let answer = client.unary(tonic::Request::new(bytes), path, Raw).await;
    answer.map(|answer| Verdict::of(answer.into_inner()))
}

/// A check in the making.
#[derive(Clone, Default)]
pub struct Check {
    pub http: HttpRequest,
    pub lines: Vec<HeaderValue>,
    joined: bool,
    own: Vec<(String, String)>,
    attributes: AttributeContext,
}

impl Check {
    /// One of `GET /app` with these headers, apart (`encode_raw_headers`).
    pub fn of(headers: &[(&str, &str)]) -> Self {
        let http = HttpRequest {
            method: "GET".to_owned(),
            path: "/app?x=1".to_owned(),
            host: "app.test".to_owned(),
            ..HttpRequest::default()
        };
        let pseudo = [(":method", "GET"), (":path", "/app?x=1"), (":authority", "app.test"), (":scheme", "https")];
        let mut check = Self { http, ..Self::default() };
        for (name, value) in pseudo.iter().chain(headers) {
            check = check.raw(name, value.as_bytes());
        }
        check
    }

    /// One more header, whatever its bytes.
    pub fn raw(mut self, name: &str, value: &[u8]) -> Self {
        let line = HeaderValue { key: name.to_ascii_lowercase(), raw_value: value.to_vec(), ..HeaderValue::default() };
        self.lines.push(line);
        self
    }

    /// As Envoy sends them without `encode_raw_headers`.
    pub fn joined(mut self) -> Self {
        self.joined = true;
        self
    }

    /// Metadata of the call itself (`initial_metadata`).
    pub fn own(mut self, name: &str, value: &str) -> Self {
        self.own.push((name.to_ascii_lowercase(), value.to_owned()));
        self
    }

    pub fn route(mut self, path: &str) -> Self {
        self.attributes.context_extensions.insert("sidemint.route".to_owned(), path.to_owned());
        self
    }

    pub fn principal(mut self, name: &str) -> Self {
        self.attributes.source = Some(Peer { principal: name.to_owned(), ..Peer::default() });
        self
    }

    /// Dynamic metadata of a filter.
    pub fn metadata(mut self, namespace: &str, key: &str, told: &serde_json::Value) -> Self {
        let fields = [(key.to_owned(), value(told))].into();
        let metadata = self.attributes.metadata_context.get_or_insert_with(Metadata::default);
        metadata.filter_metadata.insert(namespace.to_owned(), Struct { fields });
        self
    }

    pub fn request(mut self) -> tonic::Request<CheckRequest> {
        if self.joined {
            for line in self.lines {
                let text = String::from_utf8_lossy(&line.raw_value).replace(char::REPLACEMENT_CHARACTER, "!");
                let own: &mut String = self.http.headers.entry(line.key).or_default();
                *own = if own.is_empty() { text } else { format!("{own},{text}") };
            }
        } else if !self.lines.is_empty() {
            self.http.header_map = Some(HeaderMap { headers: self.lines });
        }
        self.attributes.request = Some(Request { http: Some(self.http), ..Request::default() });
        let mut request = tonic::Request::new(CheckRequest { attributes: Some(self.attributes) });
        for (name, value) in self.own {
            let name: AsciiMetadataKey = name.parse().unwrap();
            request.metadata_mut().append(name, value.parse::<AsciiMetadataValue>().unwrap());
        }
        request
    }

    /// Asks over a connection of its own.
    pub async fn ask(self, service: &Service) -> Result<Verdict, Status> {
        self.ask_over(&Wire::to(service).await).await
    }

    pub async fn ask_over(self, wire: &Wire) -> Result<Verdict, Status> {
        let mut client = AuthorizationClient::with_origin(wire.clone(), origin());
        client.check(self.request()).await.map(|answer| Verdict::of(answer.into_inner()))
    }
}

/// What Envoy makes of an answer.
#[derive(Debug, PartialEq)]
pub struct Verdict {
    pub code: Code,
    /// What the client sees.
    pub status: u16,
    /// What is set for the application, or for the client of a denial.
    pub set: HashMap<String, String>,
    /// What is taken from the client's request.
    pub removed: Vec<String>,
}

impl Verdict {
    fn of(answer: CheckResponse) -> Self {
        assert!(answer.dynamic_metadata.is_none());
        let code = Code::from(answer.status.expect("a status").code);
        let (status, headers, removed) = match answer.http_response.expect("an answer") {
            HttpResponse::OkResponse(passed) => {
                assert!(passed.response_headers_to_add.is_empty(), "nothing of it is for the client");
                (200, passed.headers, passed.headers_to_remove)
            }
            HttpResponse::DeniedResponse(denied) => {
                assert_eq!(denied.body, "");
                (denied.status.expect("a status").code, denied.headers, Vec::new())
            }
            HttpResponse::ErrorResponse(_) => panic!("failures are of the call"),
        };
        let mut set = HashMap::new();
        for option in headers {
            // 2 is OVERWRITE_IF_EXISTS_OR_ADD.
            assert_eq!((option.append_action, option.keep_empty_value), (2, false));
            let line = option.header.unwrap();
            assert!(!line.value.is_empty() && line.value.bytes().all(|b| (0x20..0x7f).contains(&b)), "{line:?}");
            assert!(set.insert(line.key, line.value).is_none(), "once");
        }
        Self { code, status: u16::try_from(status).unwrap(), set, removed }
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.set.get(name).map(String::as_str)
    }
}

/// JSON as Envoy keeps it.
fn value(told: &serde_json::Value) -> Value {
    let kind = match told {
        serde_json::Value::Null => Kind::NullValue(0),
        serde_json::Value::Bool(yes) => Kind::BoolValue(*yes),
        serde_json::Value::Number(number) => Kind::NumberValue(number.as_f64().unwrap()),
        serde_json::Value::String(text) => Kind::StringValue(text.clone()),
        serde_json::Value::Array(list) => Kind::ListValue(ListValue { values: list.iter().map(value).collect() }),
        serde_json::Value::Object(members) => {
            let fields = members.iter().map(|(name, told)| (name.clone(), value(told))).collect();
            Kind::StructValue(Struct { fields })
        }
    };
    Value { kind: Some(kind) }
}

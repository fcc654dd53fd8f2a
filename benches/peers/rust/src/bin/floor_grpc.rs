//! Bare tonic: a check that always says yes, with as many headers as a session has. The floor of a warm gRPC check.

use envoy_types::pb::envoy::config::core::v3::{HeaderValue, HeaderValueOption};
use envoy_types::pb::envoy::service::auth::v3::{
    CheckRequest, CheckResponse, OkHttpResponse,
    authorization_server::{Authorization, AuthorizationServer},
    check_response::HttpResponse,
};
use sidemint_peers::{ANSWER, Outcome, listener, run};
use tonic::{
    Request, Response, Status,
    codegen::async_trait,
    transport::{Server, server::TcpIncoming},
};

struct Yes(CheckResponse);

#[async_trait]
impl Authorization for Yes {
    async fn check(&self, _: Request<CheckRequest>) -> Result<Response<CheckResponse>, Status> {
        Ok(Response::new(self.0.clone()))
    }
}

fn header(key: &str, value: &str) -> HeaderValueOption {
    let header = HeaderValue { key: key.to_owned(), value: value.to_owned(), ..HeaderValue::default() };
    HeaderValueOption { header: Some(header), ..HeaderValueOption::default() }
}

/// The members of the answer that everything here gives, each in a header.
fn yes() -> Outcome<CheckResponse> {
    let session: serde_json::Map<String, serde_json::Value> = serde_json::from_slice(ANSWER)?;
    let headers = session.iter().map(|(name, value)| header(&format!("x-chat-{name}").to_lowercase(), value.as_str().unwrap_or_default()));
    let ok = OkHttpResponse { headers: headers.collect(), ..OkHttpResponse::default() };
    Ok(CheckResponse { http_response: Some(HttpResponse::OkResponse(ok)), ..CheckResponse::default() })
}

fn main() -> Outcome {
    run(async {
        let incoming = TcpIncoming::from(listener()?).with_nodelay(Some(true));
        Server::builder().add_service(AuthorizationServer::new(Yes(yes()?))).serve_with_incoming(incoming).await?;
        Ok(())
    })
}

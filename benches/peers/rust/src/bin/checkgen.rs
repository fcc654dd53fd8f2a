//! An Envoy that asks: `CHECKS` gRPC checks for `USERS` users in turn, `AT_ONCE` at a time over one connection.

use envoy_types::pb::envoy::service::auth::v3::{
    AttributeContext, CheckRequest,
    attribute_context::{HttpRequest, Request},
    authorization_client::AuthorizationClient,
    check_response::HttpResponse,
};
use sidemint_peers::{Outcome, run, setting};
use tonic::transport::{Channel, Endpoint};

fn check(user: u64) -> CheckRequest {
    let lines = [
        ("x-forwarded-user", format!("user_{user:06}")),
        ("x-forwarded-name", format!("User Number {user}")),
        ("x-forwarded-email", format!("user{user}@acme.example")),
    ];
    let http = HttpRequest {
        method: "GET".to_owned(),
        path: "/".to_owned(),
        host: "127.0.0.1".to_owned(),
        scheme: "http".to_owned(),
        protocol: "HTTP/1.1".to_owned(),
        headers: lines.into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
        ..HttpRequest::default()
    };
    let request = Some(Request { http: Some(http), ..Request::default() });
    CheckRequest { attributes: Some(AttributeContext { request, ..AttributeContext::default() }) }
}

async fn ask(channel: Channel, first: u64, step: usize, checks: u64, users: u64) -> Outcome {
    let mut client = AuthorizationClient::new(channel);
    for number in (first..checks).step_by(step) {
        let answer = client.check(check(number % users)).await?.into_inner();
        let Some(HttpResponse::OkResponse(_)) = answer.http_response else {
            return Err(format!("refused: {answer:?}").into());
        };
    }
    Ok(())
}

fn main() -> Outcome {
    run(async {
        let (at_once, checks, users) = (setting("AT_ONCE", 32), setting("CHECKS", 1000), setting("USERS", 1000));
        let channel = Endpoint::from_shared(format!("http://127.0.0.1:{}", setting::<u16>("PORT", 9000)))?.connect().await?;
        let workers: Vec<_> =
            (0..at_once).map(|first| tokio::spawn(ask(channel.clone(), first as u64, at_once, checks, users))).collect();
        for worker in workers {
            worker.await??;
        }
        Ok(())
    })
}

//! Requests without a name: no user is renamed to their id at the provider.

use crate::client::Answer;
use crate::fakes::http::Script;
use crate::fakes::sendsar::Sendsar;
use crate::harness::{SESSION, Service};

async fn ask(service: &Service, path: &str, name: Option<&str>) -> Answer {
    let mut headers = vec![("X-Forwarded-User", "zoe")];
    headers.extend(name.map(|name| ("X-Forwarded-Name", name)));
    service.ask("GET", path, &headers).await
}

/// The names that the provider was told, in order.
fn told(fake: &Sendsar) -> Vec<String> {
    let upserts = fake.calls().into_iter().filter(|call| call.path == "/v1/users");
    upserts.map(|call| call.json["username"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_without_a_name_does_not_rename_a_known_user() {
    let (service, fake) = Service::sendsar().await;
    assert_eq!(ask(&service, SESSION, Some("Zoë")).await.json()["displayName"], "Zoë");
    for path in [SESSION, "/auth"] {
        assert_eq!(ask(&service, path, None).await.status, 200);
    }
    assert_eq!(
        ask(&service, SESSION, None).await.json()["displayName"],
        "zoe",
        "nothing else is known of this request"
    );
    assert_eq!(told(&fake), ["Zoë"], "known, and not told again");
    assert_eq!(service.ask("DELETE", SESSION, &[("X-Forwarded-User", "zoe")]).await.status, 204);
    assert_eq!(ask(&service, SESSION, None).await.status, 200);
    assert_eq!(told(&fake), ["Zoë"], "nor after a sign-out");
    // What is too old to be relied on is told again, by the name that is known.
    service.advance(25 * 3600);
    assert_eq!(ask(&service, SESSION, None).await.status, 200);
    assert_eq!(told(&fake), ["Zoë", "Zoë"]);
    assert_eq!(ask(&service, SESSION, Some("Zoë Z.")).await.status, 200);
    assert_eq!(told(&fake), ["Zoë", "Zoë", "Zoë Z."], "a new name is told");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_whom_the_provider_has_forgotten_gets_the_known_name_back() {
    let (service, fake) = Service::sendsar().await;
    assert_eq!(ask(&service, SESSION, Some("Zoë")).await.status, 200);
    fake.next("/v1/auth/token", Script::text(404, "application/json", "{\"error\":\"User not found\"}"));
    assert_eq!(ask(&service, SESSION, None).await.status, 200);
    assert_eq!(told(&fake), ["Zoë", "Zoë"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_of_whom_no_name_is_known_is_told_by_the_id() {
    let (service, fake) = Service::sendsar().await;
    assert_eq!(ask(&service, SESSION, None).await.status, 200);
    assert_eq!(told(&fake), ["zoe"], "the provider wants a name");
    assert_eq!(ask(&service, SESSION, Some("Zoë")).await.status, 200);
    assert_eq!(ask(&service, "/auth", None).await.status, 200);
    assert_eq!(told(&fake), ["zoe", "Zoë"]);
}

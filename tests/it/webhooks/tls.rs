//! TLS of the listener for providers: a table of its own, with certificates that are read again.

use sidemint::config::Environment;

use super::fixture::{Application, Fixture, PATH, Setup, signature};
use crate::client::{Connection, request};
use crate::harness::{clock, draw};
use crate::pki::{Authority, Mount, Pair, TlsClient};

const EVENT: &str = r#"{"event":"message.created","room":"r1","text":"hello"}"#;
const HEADERS: (&str, &str) = ("Content-Type", "application/json");

/// A webhook behind the certificates of `mount`; the front listener speaks no TLS.
fn setup(mount: &Mount) -> Setup {
    let file = |key, name| (key, mount.toml(name));
    let overrides =
        vec![file("webhook_server.tls.cert_file", "tls.crt"), file("webhook_server.tls.key_file", "tls.key")];
    Setup { overrides, ..Setup::default() }
}

async fn post(fixture: &Fixture, authority: &Authority, body: &str) -> Option<u16> {
    let stream = TlsClient::new(&authority.pem, None).connect(fixture.address()).await.ok()?;
    let mut connection = Connection::over(stream);
    let headers = [HEADERS, ("X-Signature", &*signature(body.as_bytes()))];
    connection.send(request("POST", PATH, &headers, body.as_bytes())).await;
    connection.answer().await.map(|answer| answer.status)
}

#[tokio::test(flavor = "multi_thread")]
async fn providers_post_over_tls_and_certificates_are_read_again() {
    let (ca, next) = (Authority::new(), Authority::new());
    let mount = Mount::of_pair(&ca.server(), "");
    let fixture = setup(&mount).start().await;
    assert_eq!(post(&fixture, &ca, EVENT).await, Some(200));
    assert_eq!(fixture.application.has(1).await[0].text(), EVENT);
    // Without TLS nothing is answered here, and the front listener is as it was.
    let mut plain = fixture.connect().await;
    plain.send(request("POST", PATH, &[HEADERS], EVENT.as_bytes())).await;
    plain.wait_for_the_end().await;
    let failures = "sidemint_tls_handshake_failures_total{listener=\"webhook_server\",reason=\"not_tls\"}";
    fixture.service.metric_reaches(failures, 1.0).await;
    assert_eq!(fixture.service.ask("GET", "/", &[]).await.status, 404);

    mount.swap_pair(&next.server(), "");
    fixture.service.metric_reaches("sidemint_tls_generation{listener=\"webhook_server\"}", 2.0).await;
    assert_eq!(post(&fixture, &next, "{}").await, Some(200));
    assert_eq!(post(&fixture, &ca, "{}").await, None);
    mount.swap_pair(&Pair { certificate: "x".to_owned(), key: "x".to_owned() }, "");
    fixture.service.metric_reaches("sidemint_tls_rejected_total{listener=\"webhook_server\"}", 1.0).await;
    assert_eq!(post(&fixture, &next, "{}").await, Some(200), "the last good ones stay");
    // 2040-01-01.
    let expiry = "sidemint_tls_expiry_timestamp_seconds{file=\"certificate\",listener=\"webhook_server\"}";
    assert_eq!(fixture.number(expiry).await, 2_208_988_800);
}

#[tokio::test]
async fn mistakes_are_told_at_the_table_of_this_listener() {
    let application = Application::start(clock()).await;
    let (pair, other, folder) = (Authority::new().server(), Authority::new().server(), tempfile::tempdir().unwrap());
    let mount = Mount::of_pair(&Pair { certificate: pair.certificate, key: other.key }, "");
    let optional = ("webhook_server.tls.client_certificates", "\"optional\"".to_owned());
    for (more, expected) in [
        (None, "webhook_server.tls.key_file: is not the key of the certificate in webhook_server.tls.cert_file"),
        (Some(optional), "webhook_server.tls.client_certificates: needs webhook_server.tls.client_ca_file"),
    ] {
        let mut setup = setup(&mount);
        setup.overrides.extend(more);
        let text = setup.text(folder.path(), &application.fake.base_url()).replace("plain-hooks", "sendsar");
        let errors = draw(&text, &Environment::default(), clock()).expect_err(expected).to_string();
        assert!(errors.contains(expected), "{errors}");
    }
}

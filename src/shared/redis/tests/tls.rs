//! Servers with certificates: one that is not the right one gets no connection, and is told no password, whoever named it.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, SanType};
use redis::Value;

use super::live::Fleet;
use super::server::{Program, Server, free_port};
use crate::config::{RedisServer, Shared, SharedMode};
use crate::shared::redis::dial::Dialer;
use crate::shared::redis::look::Use;
use crate::shared::redis::scripts::Scripts;

const HERE: &str = "127.0.0.1";

struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

impl Authority {
    fn new() -> Self {
        let mut parameters = CertificateParams::default();
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        parameters.distinguished_name.push(DnType::CommonName, "an authority");
        let key = KeyPair::generate().unwrap();
        let pem = parameters.self_signed(&key).unwrap().pem();
        Self { issuer: Issuer::new(parameters, key), pem }
    }

    /// Writes a certificate for an address until the beginning of `year`, with its key and this authority, and says where.
    fn issue(&self, folder: &Path, name: &str, address: &str, year: i32) -> [PathBuf; 3] {
        let mut parameters = CertificateParams::default();
        parameters.subject_alt_names = vec![SanType::IpAddress(address.parse().unwrap())];
        parameters.distinguished_name.push(DnType::CommonName, name);
        parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        (parameters.not_before, parameters.not_after) =
            (rcgen::date_time_ymd(2020, 1, 1), rcgen::date_time_ymd(year, 1, 1));
        let key = KeyPair::generate().unwrap();
        let certificate = parameters.signed_by(&key, &self.issuer).unwrap().pem();
        [("crt", certificate), ("key", key.serialize_pem()), ("ca", self.pem.clone())].map(|(kind, text)| {
            let path = folder.join(format!("{name}.{kind}"));
            std::fs::write(&path, text).unwrap();
            path
        })
    }
}

/// The settings of a server with a certificate.
fn settings(port: u16, [certificate, key, authority]: &[PathBuf; 3], asks: &str) -> Vec<String> {
    let path = |path: &PathBuf| path.display().to_string();
    let (port, certificate, key, authority) = (port.to_string(), path(certificate), path(key), path(authority));
    [
        ("tls-port", port.as_str()),
        ("tls-cert-file", &certificate),
        ("tls-key-file", &key),
        ("tls-ca-cert-file", &authority),
        ("tls-auth-clients", asks),
    ]
    .into_iter()
    .flat_map(|(name, value)| [format!("--{name}"), value.to_owned()])
    .collect()
}

/// A server that also speaks plainly, with the test; clients need a certificate of the authority that it trusts.
async fn secure(port: u16, files: &[PathBuf; 3]) -> Server {
    let server = Server::start_with(Program::Redis, settings(port, files, "yes")).await;
    server.run(&["ACL", "SETUSER", "sidemint", "on", ">a password", "~*", "&*", "+@all"]).await;
    server
}

/// Whether a client signed in, or tried to.
async fn heard_a_password(server: &Server) -> bool {
    let Value::BulkString(told) = server.run(&["INFO", "commandstats"]).await else { panic!("no text") };
    String::from_utf8(told).unwrap().contains("cmdstat_auth:")
}

/// How a replica reaches its tier.
fn section(fleet: &Fleet, port: u16, authority: &Path, client: Option<&[PathBuf; 3]>) -> Shared {
    let plain = fleet.section(Some("sidemint"));
    let server = RedisServer {
        urls: vec![format!("rediss://{HERE}:{port}").parse().unwrap()],
        ca_file: Some(authority.to_owned()),
        client_cert: client.map(|[certificate, key, _]| (certificate.clone(), key.clone())),
        ..plain.server
    };
    Shared { server, ..plain }
}

/// Whether a connection stands, ready for use.
async fn connects(section: Shared) -> bool {
    let scripts = Scripts::new().all().map(|script| Arc::from(&*script.text)).to_vec();
    Dialer::new(section.server, scripts, Use::Tier).dial().await.is_ok()
}

/// F-13: a man in the middle has a certificate of another name or authority, or one that has ended.
#[tokio::test]
async fn a_server_without_the_right_certificate_is_told_nothing() {
    let (ours, another, fleet) = (Authority::new(), Authority::new(), Fleet::new(0));
    let folder = fleet.secrets.path();
    let client = ours.issue(folder, "client", HERE, 2040);
    for (case, authority, address, year, good) in [
        ("the right one", &ours, HERE, 2040, true),
        ("another name", &ours, "192.0.2.1", 2040, false),
        ("expired", &ours, HERE, 2021, false),
        ("an unknown authority", &another, HERE, 2040, false),
    ] {
        let [certificate, key, _] = authority.issue(folder, "server", address, year);
        let port = free_port();
        // It takes our clients in any case.
        let server = secure(port, &[certificate, key, client[2].clone()]).await;
        assert_eq!(connects(section(&fleet, port, &client[2], Some(&client))).await, good, "{case}");
        assert_eq!(heard_a_password(&server).await, good, "{case}");
        assert!(!connects(section(&fleet, port, &client[2], None)).await, "{case}: without a certificate of ours");
    }
}

/// A sentinel that names a server at a port; it ends with the test.
struct Sentinel(Child);

impl Drop for Sentinel {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

impl Sentinel {
    async fn start(folder: &Path, port: u16, files: &[PathBuf; 3], named: u16) -> Self {
        // It writes into its own file.
        let file = folder.join(format!("sentinel-{port}.conf"));
        std::fs::write(&file, format!("sentinel monitor tier {HERE} {named} 1\n")).unwrap();
        let child = Command::new("redis-server")
            .arg(file)
            .args(["--sentinel", "--port", "0", "--bind", HERE, "--protected-mode", "no"])
            .args(settings(port, files, "yes"))
            .current_dir(folder)
            .stdout(Stdio::null())
            .spawn()
            .expect("make parts installs it");
        let own = Self(child);
        while tokio::net::TcpStream::connect((HERE, port)).await.is_err() {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        own
    }
}

/// F-14: a sentinel leads to an attacker, whose certificate is of another name, or who asks for none at all.
#[tokio::test]
async fn a_server_that_a_sentinel_names_is_checked_as_well() {
    let (ours, fleet) = (Authority::new(), Fleet::new(0));
    let folder = fleet.secrets.path();
    let client = ours.issue(folder, "client", HERE, 2040);
    let right = ours.issue(folder, "sentinel", HERE, 2040);
    for (case, address, plain, good) in [
        ("the right one", HERE, false, true),
        ("another name", "192.0.2.1", false, false),
        ("plain", HERE, true, false),
    ] {
        let (asked, port) = (free_port(), free_port());
        let server = secure(port, &ours.issue(folder, "server", address, 2040)).await;
        let named = if plain { server.port } else { port };
        let _sentinel = Sentinel::start(folder, asked, &right, named).await;
        let mode = SharedMode::Sentinel { service: "tier".to_owned() };
        let mut section = section(&fleet, asked, &client[2], Some(&client));
        section.server.mode = mode;
        assert_eq!(connects(section).await, good, "{case}");
        assert_eq!(heard_a_password(&server).await, good, "{case}");
    }
}

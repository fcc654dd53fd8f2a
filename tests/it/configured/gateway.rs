//! Mistakes in `[gateway]`, its mounts, callers and grants.

use sidemint::config::{Config, Environment, Sources};

use crate::config::mistakes;
use crate::harness::{LOCAL, config};

/// A gateway that is written as it should be; its files are nowhere.
const GOOD: &str = "
[gateway]
listen = \"127.0.0.1:8070\"
[[gateway.mounts]]
provider = \"live\"
listen = \"127.0.0.1:8071\"
[gateway.callers.shop]
key_files = [\"/run/secrets/shop\"]
[[gateway.callers.shop.grants]]
provider = \"live\"
allow = [\"default\"]
[providers.live]
preset = \"livekit\"
";

/// What is said of the gateway where one key has another value.
fn said(key: &str, value: &str) -> String {
    let text = config(&format!("{LOCAL}{GOOD}"), &[(key, value)]);
    of_gateway(&text)
}

fn of_gateway(text: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("config.toml");
    std::fs::write(&file, text).unwrap();
    let sources = Sources { files: vec![file], ..Sources::default() };
    let found = Config::load(&sources, &Environment::default()).err().map(|errors| errors.to_string());
    found.unwrap_or_default().replace(&format!("{}/config.toml: ", folder.path().display()), "")
}

#[test]
fn each_key_of_the_gateway_says_what_to_write() {
    for (key, value, told) in [
        ("gateway.listen", "\"127.0.0.1:8070\"", ""),
        (
            "gateway.listn",
            "1",
            "gateway.listn: unknown key; known here: listen, tls, hosts, wait, max_in_flight, max_in_flight_per_caller, mounts, callers; did you mean listen?",
        ),
        (
            "gateway.listen",
            "\"8070\"",
            "gateway.listen: \"8070\" is not an address; write IP and port such as \"127.0.0.1:8080\", or \"unix:/path\"",
        ),
        (
            "gateway.hosts",
            "[\"a.svc:80\"]",
            "gateway.hosts: \"a.svc:80\" has a port, which is not looked at; write the host alone",
        ),
        (
            "gateway.hosts",
            "[\"*\"]",
            "gateway.hosts: \"*\" is no name of a host; write it whole, such as \"sidemint.shop.svc\"",
        ),
        (
            "gateway.max_in_flight",
            "63",
            "gateway.max_in_flight_per_caller: is more than gateway.max_in_flight, so one caller could take all places; write less",
        ),
        (
            "gateway.tls",
            "{ cert_file = \"/c\", key_file = \"/k\", client_certificates = \"required\" }",
            "gateway.tls.client_certificates: needs gateway.tls.client_ca_file: whose certificates are good",
        ),
        (
            "gateway.mounts",
            "[]",
            "gateway.mounts: is missing, so nothing is served; write [[gateway.mounts]] and provider = \"NAME\"\ngateway.callers.shop.grants[0].provider: no mount \"live\"; mounted: none",
        ),
        (
            "gateway.mounts",
            "[{ provider = \"life\" }, { provider = \"live\" }]",
            "gateway.mounts[0].provider: no provider \"life\"; configured: chat, live; did you mean live?",
        ),
        (
            "gateway.mounts",
            "[{ provider = \"live\" }, { provider = \"live\" }]",
            "gateway.mounts[1].provider: is what gateway.mounts[0] serves already; remove one",
        ),
        (
            "gateway.mounts",
            "[{ provider = \"live\", listen = \"127.0.0.1:8070\" }]",
            "gateway.mounts[0].listen: is 127.0.0.1:8070, and so is gateway.listen; write another address",
        ),
        (
            "gateway.mounts",
            "[{ provider = \"live\", listen = \"127.0.0.1:8072\" }, { provider = \"chat\", listen = \"127.0.0.1:8072\" }]",
            "gateway.mounts[1].listen: is 127.0.0.1:8072, and so is gateway.mounts[0].listen; write another address",
        ),
        (
            "gateway.mounts",
            "[{ provider = \"live\", path = \"/x\" }]",
            "gateway.mounts[0].path: unknown key; known here: provider, listen",
        ),
    ] {
        assert_eq!(said(key, value), told, "{key} = {value}");
    }
}

#[test]
fn each_key_of_a_caller_says_what_to_write() {
    const GRANT: &str = "gateway.callers.shop.grants";
    let unix = "{ unix_uids = [7] }";
    for (key, value, told) in [
        (
            "gateway.callers",
            "{}",
            "gateway.callers: is missing, so every call is refused; write [gateway.callers.NAME] with key_files, and what it may do in [[gateway.callers.NAME.grants]]",
        ),
        (
            "gateway.callers.crm",
            unix,
            "gateway.callers.crm: has 0 grants; write 1 to 64: [[gateway.callers.crm.grants]] with provider and allow",
        ),
        (
            "gateway.callers.shop.key_files",
            "[]",
            "gateway.callers.shop: has nothing that proves it, so every caller would be it; write key_files = [\"/path\"] (\"sidemint gateway key\" makes one), unix_uids or certificates",
        ),
        (
            "gateway.callers.shop.key_files",
            "[\"/1\", \"/2\", \"/3\", \"/4\", \"/5\"]",
            "gateway.callers.shop.key_files: holds 5 files; two are enough during a change, and more than 4 are refused",
        ),
        (
            "gateway.callers.shop.networks",
            "[\"0.0.0.0/0\"]",
            "gateway.callers.shop.networks: \"0.0.0.0/0\" is wider than any network of one's own, and all in it could be this caller; list the caller's own, or remove it and write key_files",
        ),
        ("gateway.callers.shop.networks", "[\"10.0.0.0/8\"]", ""),
        (
            "gateway.callers.shop.certificates",
            "[\"dns:shop.corp\"]",
            "gateway.callers.shop.certificates: needs gateway.tls.client_ca_file: without it clients are asked for no certificate",
        ),
        (
            "gateway.callers.shop.token",
            "{}",
            "gateway.callers.shop.token: unknown key; known here: key_files, networks, unix_uids, certificates, xfcc, linkerd, hmac_key_files, secret_files, secret_header, as_user, grants",
        ),
        (
            "gateway.callers.shop.as_user",
            "\"all\"",
            "gateway.callers.shop.as_user: \"all\" is not one of none, any, proven",
        ),
        (
            GRANT,
            "[{ provider = \"liv\", allow = [\"default\"] }]",
            "gateway.callers.shop.grants[0].provider: no mount \"liv\"; mounted: live; did you mean live?",
        ),
        (
            GRANT,
            "[{ provider = \"chat\", allow = [\"default\"] }]",
            "gateway.callers.shop.grants[0].provider: no mount \"chat\"; mounted: live",
        ),
        (
            GRANT,
            "[{ provider = \"live\", allow = [] }]",
            "gateway.callers.shop.grants[0].allow: is empty, so nothing is allowed; write \"default\", or names of operations",
        ),
        (GRANT, "[{ provider = \"live\" }]", "gateway.callers.shop.grants[0].allow: is missing"),
        (
            GRANT,
            "[{ provider = \"live\", allow = [\"default\"], only = { room = [\"*\"], user = [] } }]",
            "gateway.callers.shop.grants[0].only.room: \"*\" is no value; write it whole, or a beginning and a star: \"shop-*\"\ngateway.callers.shop.grants[0].only.user: holds 0 values; write 1 to 256",
        ),
        (
            GRANT,
            "[{ provider = \"live\", allow = [\"default\"], rate = \"50\" }]",
            "gateway.callers.shop.grants[0].rate: is \"50\"; write calls and a time: \"90/min\", \"10/s\", \"1000/h\", \"100/10s\"",
        ),
    ] {
        assert_eq!(said(key, value), told, "{key} = {value}");
    }
}

#[test]
fn a_caller_has_a_name_that_sdks_can_send() {
    let name = "is not a usable name: SDKs send it as the id of the key; use at most 64 letters, digits, - and _";
    let long = "a".repeat(65);
    for name_of in ["a:b", "\u{e9}", long.as_str()] {
        let text = config(&format!("{LOCAL}{GOOD}").replace("callers.shop", &format!("callers.\"{name_of}\"")), &[]);
        assert_eq!(of_gateway(&text), format!("gateway.callers.{name_of}: {name}"));
    }
}

#[test]
fn a_gateway_without_an_address_is_told() {
    let without = config(&format!("{LOCAL}{GOOD}").replace("listen = \"127.0.0.1:8070\"\n", ""), &[]);
    assert!(of_gateway(&without).starts_with("gateway.listen: is missing, so nothing is served; write an address"));
    // What is said of limits alone opens nothing.
    assert_eq!(of_gateway(&config(LOCAL, &[("gateway.wait", "\"1s\"")])), "");
}

/// G-14: beyond this machine an address is no proof.
#[test]
fn networks_alone_are_believed_on_loopback_only() {
    let alone = |networks: &str| {
        let text =
            format!("{LOCAL}{GOOD}").replace("key_files = [\"/run/secrets/shop\"]", &format!("networks = {networks}"));
        of_gateway(&config(&text, &[]))
    };
    assert_eq!(alone("[\"127.0.0.1/32\", \"::1/128\"]"), "");
    for networks in ["[\"10.0.0.0/8\"]", "[\"127.0.0.1/32\", \"192.0.2.7/32\"]"] {
        assert_eq!(
            alone(networks),
            "gateway.callers.shop.networks: is all that proves this caller, and an address is no proof beyond this machine; \
             write key_files beside it"
        );
    }
}

/// Each team has a file of its own: lists are put together, as those of routes are.
#[test]
fn mounts_and_grants_of_several_files_are_put_together() {
    let folder = tempfile::tempdir().unwrap();
    let grant = |allow: &str| format!("[[gateway.callers.shop.grants]]\nprovider = \"live\"\nallow = [\"{allow}\"]\n");
    let files = [
        ("1.toml", config(&format!("{LOCAL}{GOOD}"), &[])),
        ("2.toml", format!("[[gateway.mounts]]\nprovider = \"chat\"\n{}", grant("room.delete"))),
        ("3.toml", grant("-room.create")),
    ];
    let files = files.map(|(name, text)| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    });
    let config =
        Config::load(&Sources { files: files.to_vec(), ..Sources::default() }, &Environment::default()).unwrap();
    let gateway = config.gateway.unwrap();
    let mounts: Vec<&str> = gateway.mounts.iter().map(|mount| mount.provider.as_str()).collect();
    assert_eq!(mounts, ["live", "chat"]);
    let allowed: Vec<&str> =
        gateway.callers["shop"].grants.iter().flat_map(|grant| &grant.allow).map(String::as_str).collect();
    assert_eq!(allowed, ["default", "room.delete", "-room.create"]);
    assert!(gateway.mounts[1].origin.ends_with("2.toml"), "{}", gateway.mounts[1].origin);
}

/// An event that is delivered to the gateway would come from nowhere.
#[test]
fn webhooks_and_the_gateway_know_each_others_listeners() {
    let hooks = "[webhook_server]\nlisten = \"127.0.0.1:8071\"\n[webhooks.chat]\nprovider = \"live\"\n\
                 to = \"http://127.0.0.1:8070/\"\nsign_key_file = \"/k\"\n";
    let found = mistakes(&config(&format!("{LOCAL}{GOOD}{hooks}"), &[]), &Environment::default());
    for told in [
        "webhook_server.listen: is 127.0.0.1:8071, and so is gateway.mounts[0].listen; write another address",
        "webhooks.chat.to: leads to gateway.listen (127.0.0.1:8070), which is sidemint itself",
    ] {
        assert!(found.contains(told), "{told}\n{found}");
    }
}

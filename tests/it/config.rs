//! Bad input of the operator: every mistake is one sentence that names the file or variable, the key, and what to write.
//! Files that are good, and the layers they form, come after that.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use sidemint::app::Blueprint;
use sidemint::config::{Config, ConfigErrors, Environment, Listen, Sources};
use sidemint::identity;
use sidemint::provider::{Alg, PRESETS, generate};

use crate::fakes::sendsar::API_KEY;
use crate::harness::{LOCAL, clock, config, sendsar_key};

/// A session route on preset `sendsar`.
const SENDSAR: &str = "
[[routes]]
path = \"/api/chat/session\"
answer = \"session\"
provider = \"chat\"
[providers.chat]
preset = \"sendsar\"
";

/// Loads and compiles, as `sidemint check` does.
fn load(sources: &Sources, environment: &Environment) -> Result<Blueprint, ConfigErrors> {
    Blueprint::load(sources, environment, clock())
}

/// The mistakes in `text`, one a line; empty when there are none. `DIR` stands for the folder of the file.
pub fn mistakes(text: &str, environment: &Environment) -> String {
    mistakes_beside(tempfile::tempdir().unwrap().path(), text, environment)
}

pub fn mistakes_beside(folder: &Path, text: &str, environment: &Environment) -> String {
    let here = folder.display().to_string();
    let file = write(folder, "config.toml", &text.replace("DIR", &here));
    let sources = Sources { files: vec![file], ..Sources::default() };
    let errors = load(&sources, environment).err().map(|errors| errors.to_string()).unwrap_or_default();
    errors.replace(&format!("{here}/"), "")
}

fn write(folder: &Path, name: &str, text: &str) -> PathBuf {
    let path = folder.join(name);
    fs::write(&path, text).unwrap();
    path
}

/// Holds the mistakes of a test in `tests/vectors/mistakes.toml`, each alone in a good configuration.
fn hold(test: &str) {
    let all: BTreeMap<String, Vec<[String; 3]>> = toml::from_str(include_str!("../vectors/mistakes.toml")).unwrap();
    let mut wrong = String::new();
    let presets: Vec<&str> = PRESETS.iter().map(|(name, _)| *name).collect();
    let sources: Vec<&str> = identity::PRESETS.iter().map(|(name, _)| *name).collect();
    for [key, value, expected] in &all[test] {
        let expected = expected.replace("PRESETS", &presets.join(", ")).replace("SOURCES", &sources.join(", "));
        let found = mistakes(&config(LOCAL, &[(key, value)]), &Environment::default());
        if found != expected {
            wrong.push_str(&format!("{key} = {value}\n  expected {expected}\n  found    {found}\n"));
        }
    }
    assert!(wrong.is_empty(), "\n{wrong}");
}

#[test]
fn an_unknown_key_is_refused_with_file_and_key_and_the_known_ones() {
    hold("an_unknown_key_is_refused_with_file_and_key_and_the_known_ones");
}

#[test]
fn a_value_of_another_type_is_refused_with_what_to_write() {
    hold("a_value_of_another_type_is_refused_with_what_to_write");
}

#[test]
fn providers_that_are_no_tables_are_refused() {
    let text = config(LOCAL, &[("routes", "[]"), ("providers", "5")]);
    let found = mistakes(&text, &Environment::default());
    assert_eq!(found, "config.toml: providers: is 5, write tables: [providers.NAME]");
}

#[test]
fn a_value_out_of_range_is_refused_with_what_to_write() {
    hold("a_value_out_of_range_is_refused_with_what_to_write");
}

#[test]
fn a_source_or_setting_that_cannot_be_is_refused_with_what_to_write() {
    hold("a_source_or_setting_that_cannot_be_is_refused_with_what_to_write");
}

/// A misspelt level would otherwise name a module, and nothing would be logged at all.
#[test]
fn a_level_that_is_none_is_refused() {
    for (level, good) in [
        ("debug", true),
        ("OFF", true),
        ("info,sidemint::session=debug", true),
        ("loud", false),
        ("warning", false),
        ("info,sidemint", false),
    ] {
        let text = config(LOCAL, &[("log.level", &format!("\"{level}\""))]);
        let found = mistakes(&text, &Environment::default());
        assert_eq!(found.is_empty(), good, "{found}");
        assert!(good || found.starts_with(&format!("config.toml: log.level: \"{level}\" is not a level")), "{found}");
    }
}

/// T-02, T-10: what has fooled a trust check somewhere is refused, and so is believing every peer by accident.
#[test]
fn networks_that_hold_every_address_or_are_not_canonical_are_refused() {
    hold("networks_that_hold_every_address_or_are_not_canonical_are_refused");
    let every_peer =
        [("identity.peers.networks", "[\"0.0.0.0/0\"]"), ("identity.peers.insecure_trust_every_peer", "true")];
    assert_eq!(mistakes(&config(LOCAL, &every_peer), &Environment::default()), "", "who says so gets it");
}

#[test]
fn origins_are_refused_unless_browsers_send_them_so() {
    for bad in [
        "https://app.example/",
        "https://App.example",
        "app.example",
        "*",
        "https://*.example",
        "null",
        "https://app.example:0443",
        "file:///",
    ] {
        let value = format!("[\"{bad}\"]");
        let found = mistakes(&config(LOCAL, &[("browser.allow_origins", &value)]), &Environment::default());
        let expected =
            format!("config.toml: browser.allow_origins: \"{bad}\" is not an origin as browsers send it; write");
        assert!(found.starts_with(&expected), "{bad}: {found}");
    }
    let good = [("browser.allow_origins", "[\"https://app.example\", \"http://localhost:3000\"]")];
    assert_eq!(mistakes(&config(LOCAL, &good), &Environment::default()), "");
}

#[test]
fn a_route_that_cannot_be_served_is_refused() {
    hold("a_route_that_cannot_be_served_is_refused");
    let apart = "[{ path = \"/a\", answer = \"session\", provider = \"chat\", host = \"one.example\" }, \
                 { path = \"/a\", answer = \"session\", provider = \"chat\", host = \"two.example\" }]";
    assert_eq!(mistakes(&config(LOCAL, &[("routes", apart)]), &Environment::default()), "", "hosts keep routes apart");
}

#[test]
fn a_lifetime_that_provider_or_clients_cannot_live_with_is_refused() {
    let route = |ttl: &str| {
        let routes = format!("[{{ path = \"/a\", answer = \"session\", provider = \"chat\", ttl = \"{ttl}\" }}]");
        mistakes(&config(SENDSAR, &[("routes", &routes)]), &sendsar_key())
    };
    for (ttl, complaint) in [
        ("24h 1s", "config.toml: routes[0].ttl: is 1day 1s; the provider's maximum is 1day"),
        (
            "305s",
            "config.toml: routes[0].ttl: is 5m 5s, and clients refresh 5m 5s before the end, so they would refresh at once and for ever; write more",
        ),
        (
            "10s",
            "config.toml: routes[0].ttl: is 10s, and clients refresh 5m 5s before the end, so they would refresh at once and for ever; write more",
        ),
        ("3600500ms", "config.toml: routes[0].ttl: is 1h 500ms; tokens count whole seconds"),
        ("306s", ""),
        ("24h", ""),
    ] {
        assert_eq!(route(ttl), complaint, "{ttl}");
    }
    // A margin of the operator's own counts, and so does the lifetime that no route asked for.
    let margin = [("providers.chat.client_margin", "\"1h\"")];
    assert_eq!(
        mistakes(&config(SENDSAR, &margin), &sendsar_key()),
        "config.toml: routes[0].ttl: is 1h, and clients refresh 1h before the end, so they would refresh at once and for ever; write more"
    );
}

#[test]
fn a_secret_that_is_missing_unreadable_or_of_the_wrong_shape_is_refused() {
    let with =
        |key: &str, value: &str, environment: &Environment| mistakes(&config(SENDSAR, &[(key, value)]), environment);
    let none = Environment::default();
    assert_eq!(
        mistakes(&config(SENDSAR, &[]), &none),
        "config.toml: providers.chat.api_key_file: is missing; write api_key_file = \"/path\", or set SENDSAR_API_KEY or SENDSAR_API_KEY_FILE"
    );
    assert_eq!(
        with("providers.chat.api_key_file", "\"DIR/missing\"", &none),
        "config.toml: providers.chat.api_key: missing cannot be read: No such file or directory (os error 2)"
    );
    assert_eq!(
        with("providers.chat.api_key_file", "\"/\"", &none),
        "config.toml: providers.chat.api_key: / is not a regular file"
    );
    assert_eq!(
        with("providers.chat.api_key_file", "[\"a\"]", &none),
        "config.toml: providers.chat.api_key_file: is not text; write the path of a file"
    );
    let twice = Environment::of([("SENDSAR_API_KEY", API_KEY), ("SENDSAR_API_KEY_FILE", "/run/key")]);
    assert_eq!(
        mistakes(&config(SENDSAR, &[]), &twice),
        "SENDSAR_API_KEY: providers.chat.api_key_file: SENDSAR_API_KEY and SENDSAR_API_KEY_FILE are both set; unset one"
    );
    let empty = Environment::of([("SENDSAR_API_KEY", "")]);
    assert_eq!(mistakes(&config(SENDSAR, &[]), &empty), mistakes(&config(SENDSAR, &[]), &none), "empty is not set");
}

#[test]
fn a_secret_file_without_content_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let text = config(SENDSAR, &[("providers.chat.api_key_file", "\"DIR/key\"")]);
    write(folder.path(), "key", "\n");
    assert_eq!(
        mistakes_beside(folder.path(), &text, &Environment::default()),
        "config.toml: providers.chat.api_key: key is empty"
    );
    write(folder.path(), "key", &format!("{API_KEY}\n"));
    assert_eq!(mistakes_beside(folder.path(), &text, &Environment::default()), "");
}

/// T-36: wherever the operator puts a secret by mistake, no complaint repeats it.
#[test]
fn no_complaint_repeats_a_secret() {
    const CANARY: &str = "sk_live_canary";
    let none = Environment::default();
    let file =
        |text: &str| mistakes(&config(SENDSAR, &[("providers.chat.api_key_file", &format!("\"{text}\""))]), &none);
    let written = mistakes(&config(SENDSAR, &[("providers.chat.api_key", &format!("\"{CANARY}\""))]), &none);
    assert!(
        written.contains("providers.chat.api_key: is a secret") && written.contains("write api_key_file"),
        "{written}"
    );
    let unquoted = format!("{SENDSAR}api_key = {CANARY}\n");
    let half = format!("{SENDSAR}api_key = \"{CANARY}\n");
    let shape = Environment::of([("SENDSAR_API_KEY", "pk_canary")]);
    let header = Environment::of([("SENDSAR_API_KEY", "sk_live_canary\u{7}")]);
    let overrides = [("providers.chat.public_api_url", "\"https://user:canary@chat.example:port/\"")];
    for complaint in [
        written,
        file(CANARY),
        mistakes(&unquoted, &none),
        mistakes(&half, &none),
        mistakes(&config(SENDSAR, &[]), &shape),
        mistakes(&config(SENDSAR, &[]), &header),
        mistakes(&config(LOCAL, &overrides), &none),
        mistakes(&config(LOCAL, &[("providers.chat.public_api_url", "\"https://user:canary@chat.example/\"")]), &none),
    ] {
        assert!(!complaint.is_empty());
        assert!(!complaint.contains("canary"), "{complaint}");
    }
}

/// T-17: a key signs with the algorithm it was made for, or not at all.
#[test]
fn a_key_that_does_not_fit_the_algorithm_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let all = [("EdDSA", Alg::EdDsa), ("ES256", Alg::Es256), ("RS256", Alg::Rs256), ("HS256", Alg::Hs256)];
    for (name, alg) in all {
        fs::write(folder.path().join(name), generate(alg).unwrap().expose()).unwrap();
    }
    for (key, _) in all {
        for (alg, _) in all {
            let (file, value) = (format!("\"DIR/{key}\""), format!("\"{alg}\""));
            let text = config(LOCAL, &[("providers.chat.key_file", &file), ("providers.chat.alg", &value)]);
            let found = mistakes_beside(folder.path(), &text, &Environment::default());
            let expected = match (key, alg) {
                (key, alg) if key == alg => String::new(),
                (_, "HS256") => {
                    "config.toml: providers.chat.key: is a PEM key, but HS256 needs a shared secret".to_owned()
                }
                ("HS256", _) => format!("config.toml: providers.chat.key: is not a PEM private key, which {alg} needs"),
                _ => format!("config.toml: providers.chat.key: is not a usable {alg} key: "),
            };
            assert!(found.starts_with(&expected) && found.is_empty() == expected.is_empty(), "{key} as {alg}: {found}");
        }
    }
    fs::write(folder.path().join("short"), "0123456789abcdef0123456789abcde").unwrap();
    let short = [("providers.chat.key_file", "\"DIR/short\""), ("providers.chat.alg", "\"HS256\"")];
    assert_eq!(
        mistakes_beside(folder.path(), &config(LOCAL, &short), &Environment::default()),
        "config.toml: providers.chat.key: has 31 bytes; HS256 needs at least 32"
    );
    assert_eq!(
        mistakes(&config(LOCAL, &[("providers.chat.alg", "\"HS256\"")]), &Environment::default()),
        "config.toml: providers.chat.key: is missing; HS256 needs key_file = \"/path\""
    );
}

/// A9: what no proxy would take is found at start, and not by every user in turn.
#[test]
fn a_token_that_does_not_fit_into_headers_is_refused() {
    let of = |bytes: usize, answer: &str| {
        let claims = format!("{{ k = \"{}\" }}", "x".repeat(bytes));
        mistakes(
            &config(LOCAL, &[("providers.chat.claims", &claims)]).replace("\"subrequest\"", answer),
            &Environment::default(),
        )
    };
    assert_eq!(of(1500, "\"subrequest\""), "", "two thirds of the room");
    let found = of(2400, "\"subrequest\"");
    let (before, after) = found.split_once(" bytes of headers").expect("one mistake");
    let bytes = before.strip_prefix("config.toml: routes[1].provider: makes sessions that take ").expect("the key");
    assert!((3585..4600).contains(&bytes.parse::<u32>().expect("a number")), "{found}");
    assert_eq!(
        after,
        " for an ordinary user; at most 3584 are sent, because nginx reads an answer's headers into one page of 4096 bytes, \
         and applications behind a proxy often take 8190 bytes a header; write fewer or shorter claims, or answer = \"session\""
    );
    assert_eq!(of(2400, "\"session\""), "", "JSON has room for it");
}

/// T-36: claims are templates over what is safe to tell; what says who and how long is not the operator's to change.
#[test]
fn claims_that_cannot_work_or_are_not_safe_are_refused() {
    hold("claims_that_cannot_work_or_are_not_safe_are_refused");
    for reserved in ["iat", "nbf", "iss", "aud"] {
        let value = format!("{{ {reserved} = 1 }}");
        let found = mistakes(&config(LOCAL, &[("providers.chat.claims", &value)]), &Environment::default());
        let expected = format!("config.toml: providers.chat.claims.{reserved}: is set by the definition; ");
        assert!(found.starts_with(&expected), "{found}");
    }
}

#[test]
fn a_file_that_is_missing_or_not_toml_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let missing = Sources { files: vec![folder.path().join("nowhere.toml")], ..Sources::default() };
    let found = load(&missing, &Environment::default()).unwrap_err().to_string();
    assert!(found.contains("nowhere.toml: cannot be read (No such file"), "{found}");
    let found = mistakes("[server\n", &Environment::default());
    assert!(found.starts_with("config.toml: is not TOML in line 1, column 8: "), "{found}");
    let no_folder = Sources { folder: Some(folder.path().join("conf.d")), ..Sources::default() };
    let found = load(&no_folder, &Environment::default()).unwrap_err().to_string();
    assert!(found.contains("conf.d: cannot be listed (No such file"), "{found}");
}

#[test]
fn a_bad_variable_or_flag_is_named() {
    let with = |name, value| mistakes(&config(LOCAL, &[]), &Environment::of([(name, value)]));
    assert_eq!(
        with("SIDEMINT_SERVER__IDLE_TIMEOUT", "soon"),
        "SIDEMINT_SERVER__IDLE_TIMEOUT: server.idle_timeout: is \"soon\", write a span of time as text, from \"0s\" to \"1day\""
    );
    assert_eq!(
        with("SIDEMINT_SERVER__IDLE_TIMOUT", "5s"),
        "SIDEMINT_SERVER__IDLE_TIMOUT: server.idle_timout: unknown key; known here: listen, unix_mode, max_connections, header_timeout, idle_timeout, max_headers, max_head_bytes, max_body_bytes, max_unfinished_bytes, http2, drain_delay, drain_timeout, workers, tls; did you mean idle_timeout?"
    );
    assert_eq!(
        with("SIDEMINT_SERVER__LISTEN", "nowhere"),
        "SIDEMINT_SERVER__LISTEN: server.listen: \"nowhere\" is not an address; write IP and port such as \"127.0.0.1:8080\", or \"unix:/path\""
    );
    assert_eq!(
        with("SIDEMINT_COLOUR__RED", "1"),
        "SIDEMINT_COLOUR__RED: colour: unknown section; the sections are server, grpc, ops, log, identity, browser, outbound, limits, cache, routes, providers, webhook_server, webhooks, queue, gateway, teams, teams_dir"
    );
    assert_eq!(
        with("SIDEMINT_PROVIDERS__CHAT__TIMEOUT", "never"),
        "SIDEMINT_PROVIDERS__CHAT__TIMEOUT: providers.chat.timeout: is \"never\", write a span of time as text, from \"1ms\" to \"10m\""
    );
    assert_eq!(
        with("SIDEMINT_ROUTES__0__TTL", "5m"),
        "SIDEMINT_ROUTES__0__TTL: routes: is a list, which only files can give"
    );
    let folder = tempfile::tempdir().unwrap();
    let files = vec![write(folder.path(), "config.toml", &config(LOCAL, &[]))];
    let overrides = vec![("server.listen".to_owned(), "nowhere".to_owned())];
    let found = load(&Sources { files, overrides, ..Sources::default() }, &Environment::default()).unwrap_err();
    assert_eq!(
        found.to_string(),
        "flags: server.listen: \"nowhere\" is not an address; write IP and port such as \"127.0.0.1:8080\", or \"unix:/path\""
    );
}

/// Kubernetes puts these into every pod beside a service of our name.
#[test]
fn service_variables_of_kubernetes_are_no_configuration() {
    let environment = Environment::of([
        ("SIDEMINT_PORT", "tcp://10.96.0.1:80"),
        ("SIDEMINT_SERVICE_HOST", "10.96.0.1"),
        ("SIDEMINT_SERVICE_PORT", "80"),
        ("SIDEMINT_PORT_80_TCP_ADDR", "10.96.0.1"),
        ("SIDEMINT_CONFIG", "config.toml"),
    ]);
    assert_eq!(mistakes(&config(LOCAL, &[]), &environment), "");
}

#[test]
fn mistakes_of_all_sections_are_reported_in_one_pass() {
    let text = config(
        LOCAL,
        &[
            ("colour.a", "1"),
            ("server.idle_timeout", "5"),
            ("log.requests", "\"some\""),
            ("identity.peers.networks", "[\"0.0.0.0/0\", \"10.0.0.1/8\"]"),
            ("browser.allow_origins", "[\"*\"]"),
            ("cache.max_bytes", "true"),
            ("routes", "[{ path = \"a\", answer = \"session\", provider = \"nobody\" }]"),
        ],
    );
    let found = mistakes(&text, &Environment::default());
    let keys: Vec<&str> = found.lines().filter_map(|line| line.split(": ").nth(1)).collect();
    let expected = [
        "colour",
        "server.idle_timeout",
        "log.requests",
        "identity.peers.networks",
        "identity.peers.networks",
        "browser.allow_origins",
        "cache.max_bytes",
        "routes[0].path",
        "routes[0].provider",
    ];
    assert_eq!(keys, expected, "{found}");
}

#[test]
fn mistakes_of_one_section_are_reported_in_one_pass() {
    let text = config(LOCAL, &[("server.listn", "1"), ("server.idle_timeout", "5"), ("server.http2", "\"on\"")]);
    let found = mistakes(&text, &Environment::default());
    let mut keys: Vec<&str> = found.lines().filter_map(|line| line.split(": ").nth(1)).collect();
    keys.sort_unstable();
    assert_eq!(keys, ["server.http2", "server.idle_timeout", "server.listn"], "{found}");
}

#[test]
fn mistakes_of_all_providers_are_reported_in_one_pass() {
    let text = config(
        LOCAL,
        &[
            ("identity.source", "\"plane\""),
            ("providers.chat.public_api_url", "\"chat.example\""),
            ("providers.chat.colour", "1"),
            ("providers.other", "{ preset = \"sendsar\" }"),
            ("providers.third", "{ preset = \"rocket\" }"),
        ],
    );
    let found = mistakes(&text, &Environment::default());
    let mut keys: Vec<&str> = found.lines().filter_map(|line| line.split(": ").nth(1)).collect();
    keys.sort_unstable();
    let expected = [
        "identity.source",
        "providers.chat.colour",
        "providers.chat.public_api_url",
        "providers.other.api_key_file",
        "providers.third.preset",
    ];
    assert_eq!(keys, expected, "{found}");
}

#[test]
fn a_broken_provider_is_not_taken_for_a_missing_one() {
    let found = mistakes(&config(LOCAL, &[("providers.chat.timeout", "5")]), &Environment::default());
    assert_eq!(found.lines().count(), 1, "{found}");
}

#[test]
fn every_complaint_is_one_line_that_ends_without_a_full_stop() {
    let text =
        config(LOCAL, &[("log.level", "\"a=b=c\""), ("identity.source", "\"x\""), ("providers.chat.alg", "\"x\"")]);
    let folder = tempfile::tempdir().unwrap();
    let file = write(folder.path(), "config.toml", &text);
    let errors =
        load(&Sources { files: vec![file.clone()], ..Sources::default() }, &Environment::default()).unwrap_err();
    assert_eq!(errors.0.len(), 3);
    for error in errors.0 {
        assert_eq!(error.origin, file.display().to_string(), "{error}");
        assert!(
            !error.mistake.key.is_empty()
                && !error.mistake.problem.contains('\n')
                && !error.mistake.problem.ends_with('.'),
            "{error}"
        );
    }
}

/// What each layer sets, and which one wins.
#[test]
fn later_layers_win_over_earlier_ones() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    let drops = here.join("conf.d");
    fs::create_dir(&drops).unwrap();
    let timeouts = |text: &str| format!("[server]\nmax_headers = {text}\n");
    let first = write(
        here,
        "first.toml",
        &timeouts(
            "11\nmax_connections = 11\nidle_timeout = \"11s\"\nlisten = \"127.0.0.1:11\"\nworkers = 11\nhttp2 = true",
        ),
    );
    let second =
        write(here, "second.toml", &timeouts("22\nidle_timeout = \"22s\"\nlisten = \"127.0.0.1:22\"\nworkers = 22"));
    write(&drops, "20.toml", &timeouts("44\nlisten = \"127.0.0.1:44\"\nworkers = 44"));
    write(&drops, "10.toml", &timeouts("33\nidle_timeout = \"33s\""));
    write(&drops, "30.txt", "[not toml");
    let environment =
        Environment::of([("SIDEMINT_SERVER__LISTEN", "127.0.0.1:55"), ("SIDEMINT_SERVER__WORKERS", "55")]);
    let overrides = vec![("server.listen".to_owned(), "127.0.0.1:66".to_owned())];
    let sources = Sources { files: vec![first, second], folder: Some(drops), definitions: None, overrides };
    let server = Config::load(&sources, &environment).unwrap().server;
    assert_eq!(server.listen, Listen::Tcp("127.0.0.1:66".parse().unwrap()), "the flag");
    assert_eq!(server.workers, Some(55), "the environment");
    assert_eq!(server.max_headers, 44, "the last file of the folder");
    assert_eq!(server.idle_timeout.as_secs(), 33, "an earlier file of the folder over the files");
    assert_eq!(server.max_connections, 11, "the first file, where nothing else says it");
    assert!(server.http2);
    assert_eq!(server.drain_timeout.as_secs(), 20, "the default");
}

#[test]
fn routes_of_several_files_are_put_together() {
    let folder = tempfile::tempdir().unwrap();
    let route = |path: &str| format!("[[routes]]\npath = \"{path}\"\nanswer = \"session\"\nprovider = \"chat\"\n");
    let base = write(folder.path(), "base.toml", &config(LOCAL, &[]));
    let team = write(folder.path(), "team.toml", &format!("{}{}", route("/team"), route("/other")));
    let sources = Sources { files: vec![base.clone(), team], ..Sources::default() };
    let config = Config::load(&sources, &Environment::default()).unwrap();
    let paths: Vec<&str> = config.routes.iter().map(|route| route.path.as_str()).collect();
    assert_eq!(paths, ["/api/chat/session", "/auth", "/team", "/other"]);
    // A mistake in the second file is told with the second file's name.
    let clash = write(folder.path(), "clash.toml", &route("/auth/x"));
    let found = load(&Sources { files: vec![base, clash], ..Sources::default() }, &Environment::default()).unwrap_err();
    assert!(found.0[0].origin.ends_with("clash.toml"), "{found}");
    assert_eq!(found.0.len(), 1);
}

#[test]
fn text_of_the_environment_stays_the_text_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let file = write(folder.path(), "config.toml", &config(LOCAL, &[]));
    let environment = Environment::of([
        ("SIDEMINT_PROVIDERS__CHAT__AUDIENCE", "0012"),
        ("SIDEMINT_PROVIDERS__CHAT__KID", "4711"),
        ("SIDEMINT_SERVER__UNIX_MODE", "0600"),
        ("SIDEMINT_SERVER__HTTP2", "true"),
        ("SIDEMINT_IDENTITY__PEERS__NETWORKS", "[\"10.0.0.0/8\"]"),
    ]);
    let blueprint = load(&Sources { files: vec![file], ..Sources::default() }, &environment).unwrap();
    let config = blueprint.config();
    assert_eq!(config.providers["chat"].settings["audience"], "0012");
    assert_eq!(blueprint.plans()[0].provider.signs_with().unwrap().1.as_deref(), Some("4711"));
    assert_eq!((config.server.unix_mode, config.server.http2), (0o600, true));
    assert_eq!(config.identity.peers.networks, ["10.0.0.0/8".parse().unwrap()]);
}

/// `config.toml` documents the defaults: without its `[server]`, `[ops]`, `[log]`, `[browser]` and `[cache]`, nothing
/// changes.
#[test]
fn the_shipped_file_states_the_defaults() {
    let folder = tempfile::tempdir().unwrap();
    let shipped = fs::read_to_string(root("config.toml")).unwrap();
    let mut table: toml::Table = shipped.parse().unwrap();
    let with = write(folder.path(), "config.toml", &shipped);
    for section in ["server", "ops", "log", "browser", "limits", "cache"] {
        assert!(table.remove(section).is_some(), "{section}");
    }
    for key in ["timeout", "retries"] {
        assert!(table["providers"]["chat"].as_table_mut().unwrap().remove(key).is_some(), "{key}");
    }
    let routes = table["routes"].as_array_mut().unwrap();
    for (n, keys) in [&["ttl", "deadline"][..], &["ttl", "deadline", "mode"][..]].into_iter().enumerate() {
        for key in keys {
            assert!(routes[n].as_table_mut().unwrap().remove(*key).is_some(), "{n} {key}");
        }
    }
    // Same path for both, since origins are a part of what is compared.
    let shown = |path: &PathBuf| {
        let sources = Sources { files: vec![path.clone()], ..Sources::default() };
        let blueprint = load(&sources, &Environment::default()).unwrap();
        let ttls: Vec<_> = blueprint.plans().iter().map(|plan| plan.ttl).collect();
        let mut config = blueprint.config().clone();
        config.routes.iter_mut().for_each(|route| route.ttl = None);
        format!("{config:#?}\n{ttls:?}")
    };
    let stated = shown(&with);
    fs::write(&with, table.to_string()).unwrap();
    assert_eq!(stated, shown(&with));
}

/// Every key that exists is in `config.toml`, as a value or behind a `#`; and every key there exists.
#[test]
fn the_shipped_file_names_every_key_there_is() {
    let shipped = fs::read_to_string(root("config.toml")).unwrap();
    // Commented keys and tables are TOML behind "# "; prose is not.
    let key = regex_lite::Regex::new(r"^# ([a-z_]+ = .+|\[+[a-z_.]+\]+)$").unwrap();
    let lines = shipped.lines().map(|line| key.captures(line).map_or(line, |found| found.get(1).unwrap().as_str()));
    let uncommented = lines.collect::<Vec<_>>().join("\n");
    let table: toml::Table = uncommented.parse().expect("what is commented is TOML as well");
    let known = |section: &str| -> Vec<String> {
        let probe = match section {
            "routes" => "routes = [{ zzz = 1 }]".to_owned(),
            "gateway.mounts" | "gateway.callers.shop.grants" => format!("[[{section}]]\nzzz = 1"),
            _ => format!("[{section}]\nzzz = 1"),
        };
        let found = mistakes(&probe, &Environment::default());
        let list = found
            .lines()
            .find_map(|line| line.split_once("known here: "))
            .unwrap_or_else(|| panic!("{section}: {found}"));
        list.1.split(", ").map(str::to_owned).collect()
    };
    let sections = "server grpc ops log identity identity.peers identity.users limits browser cache cache.shared queue queue.redis gateway gateway.mounts \
                    gateway.callers.shop.grants teams.shop";
    for section in sections.split_whitespace() {
        let written = section.split('.').fold(&toml::Value::Table(table.clone()), |at, part| &at[part]).clone();
        let written = written.get(0).unwrap_or(&written);
        for key in known(section) {
            assert!(written.get(&key).is_some(), "config.toml does not name {section}.{key}");
        }
    }
    let shop = table["gateway"]["callers"]["shop"].as_table().unwrap();
    let of_peers = table["identity"]["peers"].as_table().unwrap();
    // What proves a peer is documented once.
    for key in
        known("gateway.callers.shop").iter().filter(|key| !of_peers.contains_key(*key) && *key != "secret_header")
    {
        assert!(shop.contains_key(key), "config.toml does not name {key} of the gateway's callers");
    }
    let routes = table["routes"].as_array().unwrap();
    for key in known("routes") {
        assert!(routes.iter().any(|route| route.get(&key).is_some()), "config.toml does not name {key} of routes");
    }
    for key in ["preset", "timeout", "retries", "client_margin", "upsert_memory"] {
        assert!(table["providers"]["chat"].get(key).is_some(), "config.toml does not name {key} of providers");
    }
    let folder = tempfile::tempdir().unwrap();
    let file = write(folder.path(), "config.toml", &uncommented);
    assert_eq!(
        // Its files are nowhere, so this is about keys and values alone. What is for sentinels alone stands beside what is not.
        Config::load(&Sources { files: vec![file], ..Sources::default() }, &Environment::default())
            .err()
            .map(|errors| errors.to_string())
            .unwrap_or_default()
            .lines()
            .filter(|line| ![
                "key",
                "deny_file",
                "secret_header",
                "for mode = \"sentinel\" alone",
                "stands beside [queue.redis]",
                "cannot stand beside ["
            ]
            .iter()
            .any(|own| line.contains(own)))
            .collect::<Vec<_>>(),
        Vec::<&str>::new()
    );
}

/// A file of the repository.
fn root(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

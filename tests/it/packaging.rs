//! Ways to install and run it: the unit of systemd, the crate, and the containers of `compose.yaml`.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use clap::Parser as _;
use serde_json::{Value, json};
use sidemint::cli::Cli;

use crate::cli::Process;
use crate::client::Connection;
use crate::docs::root;
use crate::harness::SESSION;
use crate::judge::judge;
use crate::parts::proxies::{NGINX, Proxy, Recipe, Upstreams};

const UNIT: &str = include_str!("../../packaging/sidemint.service");

/// The values of a key of the unit.
fn unit(key: &str) -> Vec<&'static str> {
    UNIT.lines().filter_map(|line| line.strip_prefix(key)?.strip_prefix('=')).collect()
}

#[test]
fn the_unit_of_systemd_allows_little() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("sidemint.service");
    // Where the program is, for systemd looks.
    let program = format!("ExecStart={}", env!("CARGO_BIN_EXE_sidemint"));
    fs::write(&file, UNIT.replace("ExecStart=/usr/local/bin/sidemint", &program)).unwrap();
    let analyze = |arguments: &[&str]| {
        let output = Command::new("systemd-analyze").args(arguments).arg(&file).output().expect("systemd-analyze");
        let text = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
        (output.status.success(), text)
    };
    // In tenths.
    let (holds, text) = analyze(&["security", "--offline=true", "--threshold=15", "--no-pager"]);
    assert!(holds, "{text}");
    let (holds, text) = analyze(&["verify"]);
    assert!(holds && !text.contains("sidemint.service:"), "{text}");
}

/// Runs a command that must succeed; gives what it says.
fn done(command: &mut Command) -> String {
    let output = command.output().expect("it starts");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{command:?}: {text}{}", String::from_utf8_lossy(&output.stderr));
    text
}

/// The package for Debian is the same to the byte each time, can be installed, holds a program that runs, and leaves what is the operator's.
/// Its scripts do nothing here: no systemd runs in that folder.
#[test]
fn the_package_for_debian_comes_and_goes() {
    let package = |out: &Path| {
        let mut command = Command::new(root().join("packaging/deb"));
        command
            .arg(env!("CARGO_BIN_EXE_sidemint"))
            .arg(out)
            .env("COMPRESS", "none")
            .env("SOURCE_DATE_EPOCH", "1700000000");
        done(&mut command).trim().to_owned()
    };
    let places = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let files = places.each_ref().map(|place| package(place.path()));
    let [one, other] = files.each_ref().map(|file| fs::read(file).unwrap());
    assert!(one == other, "two packages of one program differ");
    let field = |name: &str| done(Command::new("dpkg-deb").args(["--field", &files[0], name])).trim().to_owned();
    assert_eq!((field("Package"), field("Version")), ("sidemint".to_owned(), env!("CARGO_PKG_VERSION").to_owned()));
    assert!(field("Depends").starts_with("libc6 (>= 2."), "{}", field("Depends"));
    // A system of its own, in a folder.
    let system = tempfile::tempdir().unwrap();
    fs::create_dir_all(system.path().join("var/lib/dpkg/info")).unwrap();
    fs::create_dir_all(system.path().join("var/lib/dpkg/updates")).unwrap();
    fs::write(system.path().join("var/lib/dpkg/status"), "").unwrap();
    let dpkg = |arguments: &[&str]| {
        let mut command = Command::new("dpkg");
        command.arg(format!("--root={}", system.path().display()));
        // The C library of this system is not that folder's, and no script needs another root.
        command.args(["--force-not-root", "--force-script-chrootless", "--force-depends"]).args(arguments);
        done(&mut command)
    };
    dpkg(&["--install", &files[0]]);
    let at = |path: &str| system.path().join(path);
    let version = done(Command::new(at("usr/bin/sidemint")).arg("--version"));
    assert_eq!(version.trim(), concat!("sidemint ", env!("CARGO_PKG_VERSION")));
    let own = fs::read_to_string(at("usr/lib/systemd/system/sidemint.service")).unwrap();
    assert_eq!(own, UNIT.replace("/usr/local/bin/", "/usr/bin/"));
    for file in [
        "usr/share/man/man1/sidemint.1.gz",
        "usr/share/man/man5/sidemint.toml.5.gz",
        "usr/share/bash-completion/completions/sidemint",
        "usr/share/doc/sidemint/copyright",
        "usr/share/sidemint/alerts.yaml",
    ] {
        assert!(at(file).is_file(), "{file}");
    }
    let mode =
        std::os::unix::fs::PermissionsExt::mode(&fs::metadata(at("etc/sidemint/secrets")).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o700);
    let example = at("usr/share/doc/sidemint/examples/config.toml");
    done(Command::new(at("usr/bin/sidemint")).args(["check", "--config"]).arg(&example));
    fs::write(at("etc/sidemint/config.toml"), "# mine\n").unwrap();
    dpkg(&["--remove", "sidemint"]);
    assert!(!at("usr/bin/sidemint").exists() && !at("usr/lib/systemd/system/sidemint.service").exists());
    assert!(at("etc/sidemint/config.toml").is_file(), "the operator's own stays");
}

/// What the service tells systemd, as `sd_notify(3)` has it.
#[tokio::test(flavor = "multi_thread")]
async fn systemd_is_told_when_it_serves_and_when_it_stops() {
    assert_eq!(unit("Type"), ["notify"]);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notify");
    let socket = tokio::net::UnixDatagram::bind(&path).unwrap();
    let mut process = Process::serve(&[], &[("NOTIFY_SOCKET", path.to_str().unwrap())]);
    let mut told = Vec::new();
    while told.last().is_none_or(|text: &String| !text.starts_with("STOPPING=1")) {
        let mut buffer = [0; 512];
        let length = socket.recv(&mut buffer).await.unwrap();
        told.push(String::from_utf8(buffer[..length].to_vec()).unwrap());
        if told.last().unwrap() == "READY=1\nSTATUS=ready" {
            assert_eq!(
                Connection::open(process.front)
                    .await
                    .ask("GET", SESSION, &[("X-Forwarded-User", "alice")])
                    .await
                    .status,
                200
            );
            process.signal("TERM");
        }
    }
    assert!(told.iter().any(|text| text.starts_with("READY=1")), "{told:?}");
    assert_eq!(process.end().0, Some(0));
}

#[test]
fn the_unit_of_systemd_agrees_with_its_page_and_the_program() {
    let command = unit("ExecStart");
    let words: Vec<&str> = command[0].split(' ').collect();
    assert!(Cli::try_parse_from(&words).is_ok(), "{words:?}");
    let page = fs::read_to_string(root().join("docs/systemd.md")).unwrap();
    for credential in unit("LoadCredential") {
        let (name, file) = credential.split_once(':').unwrap();
        assert!(page.contains(&format!("/run/credentials/sidemint.service/{name}")), "{name}");
        assert!(page.contains(file), "{file}");
    }
    // A mistake in the configuration, which does not go away: docs/command-line.md, exit codes.
    assert_eq!(unit("RestartPreventExitStatus"), ["2"]);
}

/// What `cargo install` of the published crate has, and that nothing it compiles is left out.
#[test]
fn the_crate_holds_what_it_is_built_of() {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["package", "--list", "--allow-dirty", "--offline"])
        .current_dir(root())
        .output()
        .expect("cargo");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let list = String::from_utf8(output.stdout).unwrap();
    let tops: BTreeSet<&str> = list.lines().filter_map(|path| path.split('/').next()).collect();
    let expected = [
        ".cargo_vcs_info.json",
        "CHANGELOG.md",
        "Cargo.lock",
        "Cargo.toml",
        "Cargo.toml.orig",
        "LICENSE-APACHE",
        "LICENSE-MIT",
        "README.md",
        "benches",
        "config.toml",
        "src",
    ];
    // The first one is there in a checkout alone.
    let tops: Vec<&str> = tops.into_iter().filter(|top| *top != ".cargo_vcs_info.json").collect();
    assert_eq!(tops, expected[1..]);
    let is_code = |path: &&str| path.starts_with("src/") && Path::new(path).extension().is_some_and(|end| end == "rs");
    for path in list.lines().filter(is_code) {
        let text = fs::read_to_string(root().join(path)).unwrap();
        // Unit tests need the repository.
        let built = text.split("#[cfg(test)]").next().unwrap();
        let is_test = path.contains("/tests/") || path.ends_with("/tests.rs");
        for included in built.split("include_str!(\"").skip(1).filter(|_| !is_test) {
            let target = included.split('"').next().unwrap();
            let up = target.matches("../").count();
            assert!(up < path.matches('/').count(), "{path} includes {target}, which the crate does not hold");
        }
    }
}

/// What the containers mount is there, and sidemint is reached by nginx alone.
#[test]
fn the_containers_agree_with_what_they_mount() {
    let compose = judge("yaml_as_json.py", json!({"path": root().join("compose.yaml")}));
    let (sidemint, nginx) = (&compose["services"]["sidemint"], &compose["services"]["nginx"]);
    for mount in [sidemint, nginx].iter().flat_map(|service| service["volumes"].as_array().unwrap()) {
        let mount = mount.as_str().unwrap();
        let (here, rest) = mount.split_once(':').unwrap();
        assert!(root().join(here).exists() && rest.ends_with(":ro"), "{mount}");
    }
    assert_eq!((sidemint.get("ports"), &nginx["ports"]), (None, &json!(["127.0.0.1:8000:8000"])));
    assert_eq!((&sidemint["read_only"], &sidemint["cap_drop"]), (&json!(true), &json!(["ALL"])));
    let subnet = compose["networks"]["chat"]["ipam"]["config"][0]["subnet"].as_str().unwrap();
    let own = fs::read_to_string(root().join("examples/compose/sidemint.toml")).unwrap();
    assert!(own.contains(&format!("networks = [\"{subnet}\"]")), "{subnet}");
    // The health check that nginx waits for is the image's.
    assert!(fs::read_to_string(root().join("Dockerfile")).unwrap().contains("HEALTHCHECK"));
}

/// The files of the containers, run by the real programs: a name and a password are a session, and nothing else is.
#[tokio::test(flavor = "multi_thread")]
async fn the_page_of_the_containers_has_its_session() {
    let example = root().join("examples/compose");
    let configuration = example.join("sidemint.toml").display().to_string();
    // Here nginx is no neighbour but this machine.
    let here = [("SIDEMINT_IDENTITY__PEERS__NETWORKS", "[\"127.0.0.0/8\"]")];
    let process = Process::serve(&["--config", &configuration], &here);
    let text = fs::read_to_string(example.join("nginx.conf")).unwrap();
    let moved = [
        ("listen 8000;", "listen 127.0.0.1:8000;".to_owned()),
        ("server sidemint:8080;", "server 127.0.0.1:8080;".to_owned()),
        ("/etc/nginx/users", example.join("users").display().to_string()),
        ("/srv/public", example.join("public").display().to_string()),
        ("/srv/module", root().join("clients/js").display().to_string()),
    ];
    for (from, _) in &moved {
        assert!(text.contains(from), "{from}");
    }
    let text = moved.iter().fold(text, |text, (from, to)| text.replace(from, to));
    let upstreams = Upstreams { sidemint: process.front, login: process.ops, app: process.ops };
    let recipe = Recipe { documents: &[], ..NGINX };
    let proxy = Proxy::start_with(&recipe, &upstreams, vec![("chat.conf", text)]).await;

    let alice = ("Authorization", "Basic YWxpY2U6YWxpY2U=");
    let ask = async |method: &str, path: &str, headers: &[(&str, &str)]| {
        let host = proxy.address.to_string();
        let headers = [&[("Host", host.as_str())], headers].concat();
        Connection::open(proxy.address).await.ask(method, path, &headers).await
    };
    for headers in [&[alice][..], &[alice, ("X-Forwarded-User", "bob"), ("X-Forwarded-Name", "Bob")]] {
        let answer = ask("POST", SESSION, headers).await;
        let session: Value = answer.json();
        assert_eq!((answer.status, &session["chatUserId"]), (200, &json!("alice")), "{answer:?}");
        assert_eq!(session["apiUrl"], "https://chat.example");
    }
    for headers in [&[][..], &[("X-Forwarded-User", "alice")], &[("Authorization", "Basic YWxpY2U6Ym9i")]] {
        assert_eq!(ask("POST", SESSION, headers).await.status, 401, "{headers:?}");
    }
    for (path, mark) in
        [("/", "page.js"), ("/page.js", "ChatSession"), ("/chat-session.js", "export class ChatSession")]
    {
        let answer = ask("GET", path, &[alice]).await;
        assert!(answer.status == 200 && answer.text().contains(mark), "{path}: {answer:?}");
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "{path}");
    }
    assert_eq!(ask("DELETE", SESSION, &[alice]).await.status, 204);
}

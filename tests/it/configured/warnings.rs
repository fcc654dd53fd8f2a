//! What `check` warns of: configurations that are good and serve no user, and variables that set nothing.

use std::fs;

use sidemint::provider::{Alg, generate};

use crate::cli::run;
use crate::harness::{LOCAL, config};

fn check(rest: &str, overrides: &[(&str, &str)], environment: &[(&str, &str)]) -> String {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("s"), "sk_live_0123456789abcdef").unwrap();
    let text = config(rest, overrides).replace("DIR", &folder.path().display().to_string());
    let file = folder.path().join("config.toml");
    fs::write(&file, text).unwrap();
    let ran = run(&["check", "--config", file.to_str().unwrap()], environment);
    assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""));
    ran.out.replace(&folder.path().display().to_string(), "DIR")
}

fn warnings(overrides: &[(&str, &str)]) -> Vec<String> {
    let said = check(LOCAL, overrides, &[]);
    said.lines().filter_map(|line| line.strip_prefix("warning         ")).map(str::to_owned).collect()
}

#[test]
fn a_configuration_in_which_no_peer_is_trusted_is_told() {
    let unreachable = "no peer in identity.peers.networks (10.20.0.0/16) can connect to server.listen (127.0.0.1:0)";
    let far = [("identity.peers.networks", "[\"10.20.0.0/16\"]")];
    assert!(warnings(&far)[0].starts_with(unreachable), "{:?}", warnings(&far));
    let none = [("identity.peers.networks", "[]")];
    assert!(
        warnings(&none)[0].starts_with("no peer is trusted, so every identity route answers 403"),
        "{:?}",
        warnings(&none)
    );
    let open = [far[0], ("server.listen", "\"0.0.0.0:0\"")];
    assert!(!warnings(&open).iter().any(|line| line.contains("403")), "{:?}", warnings(&open));
    let both = [("identity.peers.networks", "[\"10.20.0.0/16\", \"127.0.0.1/32\"]")];
    assert!(!warnings(&both).iter().any(|line| line.contains("403")), "{:?}", warnings(&both));
    assert_eq!(warnings(&[]), Vec::<String>::new());
}

#[test]
fn variables_that_set_nothing_are_told() {
    let said = check(LOCAL, &[], &[("SIDEMINT_SERVER_LISTEN", "127.0.0.1:1"), ("SIDEMINT_PORT", "tcp://10.0.0.1:80")]);
    let told = "warning         the variable SIDEMINT_SERVER_LISTEN is set and not used; two underscores stand between a section and \
                its key: SIDEMINT_SERVER__LISTEN\n";
    assert!(said.contains(told) && !said.contains("SIDEMINT_PORT"), "{said}");
    let key = generate(Alg::EdDsa).unwrap();
    let said = check(LOCAL, &[], &[("SIDEMINT_SIGNING_KEY", key.expose_text().unwrap())]);
    assert!(
        said.contains("chat: key from the variable SIDEMINT_SIGNING_KEY\n") && !said.contains("not used"),
        "{said}"
    );
}

#[test]
fn each_secret_says_where_it_comes_from_and_which_is_not_used() {
    const SENDSAR: &str = "[[routes]]\npath = \"/a\"\nanswer = \"session\"\nprovider = \"chat\"\n[providers.chat]\npreset = \"sendsar\"\n";
    let key = [("SENDSAR_API_KEY", "sk_live_canary")];
    let said = check(SENDSAR, &[], &key);
    assert!(said.contains("secret          chat: api_key from the variable SENDSAR_API_KEY\n"), "{said}");
    let said = check(SENDSAR, &[("providers.chat.api_key_file", "\"DIR/s\"")], &key);
    assert!(said.contains("secret          chat: api_key from DIR/s\n"), "{said}");
    let unused = "warning         chat: SENDSAR_API_KEY is set and not used, because api_key_file is given; unset it\n";
    assert!(said.contains(unused) && !said.contains("canary"), "{said}");
}

//! `sidemint doctor`: through real proxies, good and bad, and what it does not do to others.

use std::fs;
use std::sync::{Arc, Mutex};

use serde_json::Value;
use tokio::net::TcpListener;

use crate::cli::{Ran, run};
use crate::fakes::http::{Call, Script, Then, listen, read_call};
use crate::harness::{LOCAL, Service, config};
use crate::parts::proxies::{self, Recipe};
use crate::proxies::Scene;

/// A value that must not be seen again.
const CANARY: &str = "session=canary-7f3a";

/// Runs the doctor on a configuration, without pauses; `sign_in` goes through a file.
fn doctor(text: &str, url: &str, sign_in: Option<(&str, &str)>, more: &[&str]) -> Ran {
    let folder = tempfile::tempdir().unwrap();
    let [file, headers] = ["config.toml", "headers"].map(|name| folder.path().join(name).display().to_string());
    fs::write(&file, text).unwrap();
    let mut arguments = vec!["doctor", "--config", &file, "--through", url, "--pause", "0ms"];
    if let Some((name, value)) = sign_in {
        fs::write(&headers, format!("{name}: {value}\n")).unwrap();
        arguments.extend(["--header-file", &headers]);
    }
    arguments.extend(more);
    tokio::task::block_in_place(|| run(&arguments, &[]))
}

/// The cases of a JSON report at a level, as `case header`.
fn cases(report: &Value, level: &str) -> Vec<String> {
    let all = report["cases"].as_array().expect("cases").iter().filter(|case| case["level"] == level);
    all.map(|case| format!("{} {}", case["case"].as_str().unwrap(), case["header"].as_str().unwrap_or("all"))).collect()
}

/// The documented configuration is fine; one without a login lets a forged user through; one with a header forgotten
/// lets that header through. Each comes with the remedy for this proxy.
async fn examines(recipe: &Recipe) {
    let name = recipe.name;
    let Scene { proxy, text, .. } = &Scene::local(recipe, &[]).await;
    let ran = doctor(text, &proxy.url(), Some(recipe.users.alice), &[]);
    assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""), "{name}: {}", ran.out);
    assert!(ran.out.ends_with("\nnothing got through\n"), "{name}: {}", ran.out);
    // Apache has no rule for names that it does not know, and joins two lines into one that it then finds too long.
    let is_known = |line: &str| name == "apache" && (line.contains(" alias ") || line.contains(" doubled "));
    assert!(ran.out.lines().all(|line| !line.contains(" note ") || is_known(line)), "{name}: {}", ran.out);
    assert_eq!(ran.out.contains("what to do"), name == "apache", "{name}: {}", ran.out);

    let Scene { proxy, text, .. } = &Scene::local(recipe, recipe.hole).await;
    let ran = doctor(text, &proxy.url(), None, &["--json", "--proxy", name]);
    let report: Value = serde_json::from_str(&ran.out).expect(&ran.out);
    let spoofed = format!("spoofed {}", recipe.user_header().to_lowercase());
    assert_eq!((ran.code, &report["fine"]), (Some(1), &Value::Bool(false)), "{name}: {}", ran.out);
    assert!(cases(&report, "through").contains(&spoofed), "{name}: {}", ran.out);
    let case = report["cases"].as_array().unwrap().iter().find(|case| case["level"] == "through").unwrap();
    assert!(case["remedy"].as_str().is_some_and(|remedy| remedy.contains(recipe.user_header())), "{case}");

    let Scene { proxy, text, .. } = &Scene::local(recipe, &[recipe.gap]).await;
    let ran = doctor(text, &proxy.url(), Some(recipe.users.alice), &["--json", "--proxy", name]);
    let report: Value = serde_json::from_str(&ran.out).expect(&ran.out);
    let through = cases(&report, "through");
    assert!(!through.contains(&spoofed), "{name}: the user is as safe as before: {through:?}");
    if name == "apache" {
        assert!(cases(&report, "note").contains(&"doubled x-forwarded-groups".to_owned()), "{}", ran.out);
    } else {
        assert_eq!(ran.code, Some(1), "{name}: {}", ran.out);
        assert!(through.iter().any(|case| case.ends_with("-groups")), "{name}: {through:?}");
    }
}

macro_rules! each_proxy {
    ($($test:ident: $recipe:ident,)*) => {$(
        /// T-59.
        #[tokio::test(flavor = "multi_thread")]
        async fn $test() {
            examines(&proxies::$recipe).await;
        }
    )*};
}

each_proxy! {
    it_tells_a_good_nginx_from_a_bad_one: NGINX,
    it_tells_a_good_caddy_from_a_bad_one: CADDY,
    it_tells_a_good_haproxy_from_a_bad_one: HAPROXY,
    it_tells_a_good_traefik_from_a_bad_one: TRAEFIK,
    it_tells_a_good_envoy_from_a_bad_one: ENVOY,
    it_tells_a_good_apache_from_a_bad_one: APACHE,
}

/// Without a proxy every header of a client is believed, and that is what it says.
#[tokio::test(flavor = "multi_thread")]
async fn it_finds_a_service_that_clients_reach_directly() {
    let service = Service::local().await;
    let url = format!("http://{}/api/chat/session", service.address());
    let ran = doctor(&config(LOCAL, &[]), &url, None, &[]);
    assert_eq!((ran.code, ran.err.as_str()), (Some(1), "sidemint: 2 cases got through\n"), "{}", ran.out);
    for expected in [
        "proxy: unknown (say which with --proxy, for its own remedies); 23 requests were sent",
        "visitor    honest      –                          ok       401     no session without signing in",
        "visitor    spoofed     X-Forwarded-User           THROUGH  200     a session, or nearly, for a user whom the \
         client made up",
        "visitor    alias _     X_Forwarded_User           ok       401     no effect",
        "  now:    have the proxy remove X-Forwarded-User from what clients send, before it sets its own",
        "Only a visitor was tried.",
    ] {
        assert!(ran.out.contains(expected), "{expected}\n{}", ran.out);
    }
    // One user was made up, however much got through.
    let hits = service.metric("sidemint_requests_total{outcome=\"ok\",route=\"/api/chat/session\"}").await;
    assert!((hits - 2.0).abs() < 0.1, "{hits}");
}

/// A server that answers every request alike, and remembers them.
async fn always(script: Script) -> (String, Arc<Mutex<Vec<Call>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/api/chat/session", listener.local_addr().unwrap());
    let seen: Arc<Mutex<Vec<Call>>> = Arc::default();
    let memory = Arc::clone(&seen);
    tokio::spawn(listen(listener, move |mut stream| {
        let (script, memory) = (script.clone(), Arc::clone(&memory));
        async move {
            let mut buffer = Vec::new();
            while let Some(call) = read_call(&mut stream, &mut buffer).await? {
                memory.lock().unwrap().push(call);
                if script.clone().play(&mut stream).await? == Then::Close {
                    break;
                }
            }
            Ok(())
        }
    }));
    (url, seen)
}

fn session(user: &str) -> Script {
    let body = serde_json::json!({"token": "t", "expiresAt": null, "chatUserId": user, "displayName": user});
    Script::json(200, &body)
}

/// T-59: only the given address is asked, and as often as it says.
#[tokio::test(flavor = "multi_thread")]
async fn it_follows_no_redirect_and_counts_right() {
    let (elsewhere, others) = always(session("alice")).await;
    let redirect = Script::Answer {
        status: 302,
        headers: vec![("Location".to_owned(), elsewhere), ("Server".to_owned(), "Caddy".to_owned())],
        body: Vec::new(),
    };
    let (url, seen) = always(redirect).await;
    let ran = doctor(&config(LOCAL, &[]), &url, None, &["--json"]);
    assert_eq!(ran.code, Some(0), "{} {}", ran.out, ran.err);
    let report: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(report["requests"], seen.lock().unwrap().len());
    assert_eq!((&report["proxy"], others.lock().unwrap().len()), (&Value::from("Caddy"), 0));
    assert!(seen.lock().unwrap().iter().all(|call| call.method == "GET" && call.body.is_empty()));
}

/// A secret by which the operator signs in is in no report and no complaint.
#[tokio::test(flavor = "multi_thread")]
async fn it_keeps_what_signs_in_to_itself() {
    let (url, seen) = always(session("alice")).await;
    let text = config(LOCAL, &[]);
    let good = doctor(&text, &format!("{url}?secret={CANARY}"), Some(("Cookie", CANARY)), &[]);
    let json = doctor(&text, &url, Some(("Cookie", CANARY)), &["--json"]);
    assert_eq!(seen.lock().unwrap().iter().filter(|call| call.header("cookie") == CANARY).count(), 70);
    let no_name = doctor(&text, &url, None, &["--header", CANARY]);
    let no_value = doctor(&text, &url, None, &["--header", &format!("Cookie: {CANARY}\u{1}")]);
    let host = doctor(&text, &url, None, &["--header", &format!("Host: {CANARY}")]);
    let file = doctor(&text, &url, Some((CANARY, "")), &[]);
    let address = doctor(&text, &format!("http://{CANARY}@127.0.0.1/"), None, &[]);
    for (ran, code) in [(&good, 1), (&json, 1), (&no_name, 2), (&no_value, 2), (&host, 2), (&file, 2), (&address, 2)] {
        assert_eq!(ran.code, Some(code), "{}{}", ran.out, ran.err);
        assert!(!ran.out.contains("canary") && !ran.err.contains("canary"), "{}{}", ran.out, ran.err);
        assert!(!ran.out.contains("alice"), "{}", ran.out);
    }
    // A page that gives every visitor a session is an open door, not a good one.
    assert!(
        good.out.contains("visitor    honest") && good.out.contains("a session for a visitor who is not signed in")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn it_says_what_it_needs() {
    let text = config(LOCAL, &[]);
    let (url, _) = always(session("alice")).await;
    assert_eq!(doctor(&text, &url, None, &["--signed-in"]).code, Some(0), "the network signs every client in");
    let (html, _) = always(Script::text(200, "text/html", "<html>")).await;
    let (gone, _) = always(Script::Reset).await;
    let (broken, _) = always(Script::text(500, "text/plain", "")).await;
    for (ran, code, complaint) in [
        (doctor(&text, &html, Some(("Cookie", "a=b")), &[]), 1, "answers 200, not with a session"),
        (doctor(&text, &html, None, &[]), 1, "answers 200 to a visitor, neither a refusal nor a login"),
        (doctor(&text, &broken, None, &[]), 1, "answers 500 to a visitor, neither a refusal nor a login"),
        (doctor(&text, &gone, None, &[]), 1, "the address does not answer: connection broke"),
        (doctor(&text, "app.example.com", None, &[]), 2, "--through: write an address, https://"),
        (doctor(&text, "file:///etc/passwd", None, &[]), 2, "--through: write an http or https address"),
        (doctor(&text, "https://a.example/#x", None, &[]), 2, "--through: leave the part behind #"),
        (doctor(&text, &url, None, &["--route", "/auth"]), 2, "configured: /api/chat/session"),
        (doctor(&text, &url, None, &["--header-file", "/nowhere"]), 2, "--header-file: /nowhere: "),
    ] {
        assert!(ran.err.contains(complaint), "{complaint}: {}", ran.err);
        assert_eq!((ran.code, ran.out.as_str()), (Some(code), ""), "{complaint}");
    }
}

//! Attacks on headers, against every preset (threats, section 2).

use std::collections::HashSet;

use super::{Client, Line, UPSTREAMS, Upstream, line, service, service_for, wait};
use crate::canary::Traces;
use crate::harness::SESSION;

/// T-14: subjects that look like others, hide something, or are no text.
const CONFUSING: [&[u8]; 64] = [
    // Compatibility characters: something else after NFKC.
    "ｒoot".as_bytes(),
    "ａｄｍｉｎ".as_bytes(),
    "alice＠example.com".as_bytes(),
    "ﬁona".as_bytes(),
    "①".as_bytes(),
    "ªlice".as_bytes(),
    "x²".as_bytes(),
    "\u{212a}".as_bytes(),
    "ℝoot".as_bytes(),
    "𝐫oot".as_bytes(),
    "𝒶lice".as_bytes(),
    "№5".as_bytes(),
    "a․b".as_bytes(),
    "a…".as_bytes(),
    "Ǆ".as_bytes(),
    "ﷺ".as_bytes(),
    "ｱ".as_bytes(),
    // The same text in another form: combining marks.
    "e\u{301}ve".as_bytes(),
    "A\u{30a}ngström".as_bytes(),
    "\u{212b}ngström".as_bytes(),
    "\u{1112}\u{1161}\u{11ab}".as_bytes(),
    // Zero width, soft hyphens, joiners, selectors, tags.
    "ro\u{200b}ot".as_bytes(),
    "ro\u{200c}ot".as_bytes(),
    "ro\u{200d}ot".as_bytes(),
    "ro\u{2060}ot".as_bytes(),
    "ro\u{ad}ot".as_bytes(),
    "ro\u{34f}ot".as_bytes(),
    "root\u{fe0f}".as_bytes(),
    "root\u{180e}".as_bytes(),
    "\u{feff}root".as_bytes(),
    "\u{e0061}root".as_bytes(),
    "root\u{e0100}".as_bytes(),
    // T-72: the rest of Default_Ignorable_Code_Point, line and paragraph separators, blanks of every kind.
    "al\u{115f}ice".as_bytes(),
    "al\u{17b4}ice".as_bytes(),
    "al\u{1bca0}ice".as_bytes(),
    "al\u{2028}ice".as_bytes(),
    "al\u{2029}ice".as_bytes(),
    "al\u{1680}ice".as_bytes(),
    "al\u{2800}ice".as_bytes(),
    "al\u{3164}ice".as_bytes(),
    "al\u{1160}ice".as_bytes(),
    "al\u{1d173}ice".as_bytes(),
    "al\u{206a}ice".as_bytes(),
    "\u{e0001}alice".as_bytes(),
    // What stands for an object, or for bytes that a program could not read.
    "al\u{fffc}ice".as_bytes(),
    "j\u{fffd}rg".as_bytes(),
    // Direction.
    "\u{202e}toor".as_bytes(),
    "a\u{202a}b".as_bytes(),
    "a\u{2066}b\u{2069}".as_bytes(),
    "root\u{200e}".as_bytes(),
    "root\u{200f}".as_bytes(),
    "root\u{61c}".as_bytes(),
    // Blanks that are not ASCII, line ends, control characters of Latin-1.
    "alice\u{a0}".as_bytes(),
    "\u{2003}alice".as_bytes(),
    "a\u{3000}b".as_bytes(),
    "a\u{85}b".as_bytes(),
    "a\u{9b}b".as_bytes(),
    "a\u{80}".as_bytes(),
    // Unassigned, and interlinear.
    "a\u{378}".as_bytes(),
    "a\u{fff9}b".as_bytes(),
    // No UTF-8: overlong, a lone surrogate, cut off, Latin-1.
    b"a\xc0\xafb",
    b"\xed\xa0\x80",
    b"al\xe2\x80",
    b"caf\xe9",
];

/// T-16: what proxies send for a value that they do not have.
const TEMPLATES: [&str; 12] = [
    "{http.auth.user.id}",
    "${user}",
    "$remote_user",
    "%{REMOTE_USER}e",
    "%[var(txn.user)]{}",
    "user-{id}",
    "{{ .Subject }}",
    "$context.authorizer.claims.sub",
    "%REMOTE_USER%",
    "%REQ(X-USER)%",
    "%[src]",
    "$(REMOTE_USER)",
];

/// Headers without those of the subject.
fn companions(upstream: &Upstream) -> Vec<Line> {
    let golden = upstream.golden();
    golden.into_iter().filter(|(name, _)| name != upstream.header).collect()
}

/// T-01: a peer that is not the proxy names no user, under no name that we know.
#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_names_no_user() {
    for upstream in &UPSTREAMS {
        let service = service_for(upstream.preset, upstream.table, "192.0.2.0/24").await;
        let mut client = Client::of(&service).await;
        for known in &UPSTREAMS {
            let answer = client.send(SESSION, &known.golden()).await;
            assert_eq!((answer.status, answer.code().as_str()), (403, "peer_untrusted"), "{}", known.preset);
        }
    }
}

/// T-06: a 200 of the authenticator without its headers is no user; so is an empty value, and a word for no user (R6).
#[tokio::test(flavor = "multi_thread")]
async fn without_a_subject_there_is_no_user() {
    for upstream in &UPSTREAMS {
        let service = service(upstream.preset, upstream.table).await;
        let mut client = Client::of(&service).await;
        client.refused(&[], "absent").await;
        for nothing in [
            "",
            "   ",
            "\t",
            "-",
            "(null)",
            "NULL",
            "undefined",
            "Anonymous",
            "<no value>",
            "<nil>",
            "None",
            "(none)",
            "anonymousUser",
            "[object Object]",
            "NaN",
        ] {
            client.refused(&[line(upstream.header, nothing)], "absent").await;
        }
        if !upstream.beside.is_empty() {
            client.refused(&companions(upstream), "subject_missing").await;
            let empty = [companions(upstream), vec![line(upstream.header, "")]].concat();
            client.refused(&empty, "subject_missing").await;
        }
        // The headers of every other upstream say nothing to this one.
        for other in UPSTREAMS.iter().filter(|other| other.preset != upstream.preset) {
            let foreign = other.golden();
            let shares =
                |(name, _): &Line| upstream.golden().iter().any(|(own, _)| own == name && own != "X-Forwarded-For");
            if !foreign.iter().any(shares) && !other.preset.starts_with("envoy") {
                let answer = client.send(SESSION, &foreign).await;
                assert_eq!(answer.status, 401, "{} at {}", other.preset, upstream.preset);
            }
        }
    }
}

/// T-03, T-04: a name that becomes ours when `_` and `.` are read as `-`, with and without the legitimate header.
#[tokio::test(flavor = "multi_thread")]
async fn aliases_are_refused() {
    for upstream in &UPSTREAMS {
        let service = service(upstream.preset, upstream.table).await;
        let mut client = Client::of(&service).await;
        let golden = upstream.golden();
        let own = |name: &str| name != "X-Forwarded-For" && golden.iter().any(|(own, _)| own == name);
        let companion = upstream.beside.iter().map(|(name, _)| *name).find(|name| own(name) && is_read(upstream, name));
        for name in [Some(upstream.header), companion].into_iter().flatten() {
            let (dots, underscores) = (name.replace('-', "."), name.replace('-', "_"));
            let first = name.replacen('-', "_", 1);
            let mixed = format!("{}_", first.replacen('-', ".", 1).to_uppercase());
            let aliases =
                [&underscores, &underscores.to_uppercase(), &underscores.to_lowercase(), &dots, &first, &mixed];
            for alias in aliases.map(|alias| line(alias, "mallory")) {
                client.refused(std::slice::from_ref(&alias), "alias").await;
                client.refused(&[golden.clone(), vec![alias]].concat(), "alias").await;
            }
            for edge in [format!("{name}-"), format!("_{name}"), format!("{name}.")] {
                client.refused(&[golden.clone(), vec![line(&edge, "mallory")]].concat(), "alias").await;
            }
        }
    }
}

/// Whether the preset looks at a header.
fn is_read(upstream: &Upstream, name: &str) -> bool {
    let (_, text) = sidemint::identity::PRESETS.iter().find(|(own, _)| *own == upstream.preset).expect("a preset");
    text.contains(&format!("\"{name}\""))
}

/// T-07: a header that `Connection` lists is one that some hop was told to drop.
#[tokio::test(flavor = "multi_thread")]
async fn headers_listed_in_connection_are_refused() {
    for upstream in &UPSTREAMS {
        let service = service(upstream.preset, upstream.table).await;
        let header = upstream.header;
        for value in [
            header.to_owned(),
            header.to_lowercase(),
            format!("close, {}", header.to_uppercase()),
            format!("{header},keep-alive"),
            format!("x ,\t{header}\t, {header}"),
        ] {
            let mut client = Client::of(&service).await;
            let lines = [upstream.golden(), vec![line("Connection", value)]].concat();
            client.refused(&lines, "listed_in_connection").await;
        }
        let mut client = Client::of(&service).await;
        let twice = [line("Connection", "keep-alive"), line("connection", header)];
        client.refused(&[upstream.golden(), twice.to_vec()].concat(), "listed_in_connection").await;
    }
}

/// T-08, T-09: two lines of a header, or two values that a proxy joined, are no user, even when they are equal.
#[tokio::test(flavor = "multi_thread")]
async fn duplicates_are_refused() {
    for upstream in &UPSTREAMS {
        let service = service(upstream.preset, upstream.table).await;
        let mut client = Client::of(&service).await;
        for second in ["mallory", upstream.subject] {
            let second = line(upstream.header, (upstream.encode)(second.as_bytes()));
            client.refused(&[upstream.golden(), vec![second.clone()]].concat(), "duplicate").await;
            client.refused(&[vec![second], upstream.golden()].concat(), "duplicate").await;
        }
        if upstream.is_plain() {
            for joined in ["alice, mallory", "alice,alice", "alice,"] {
                client.refused(&upstream.lines(joined), "duplicate").await;
            }
        }
        for (name, value) in upstream
            .beside
            .iter()
            .filter(|(name, value)| is_read(upstream, name) && !value.is_empty() && *name != "X-Remote-Group")
        {
            client.refused(&[upstream.golden(), vec![line(name, value)]].concat(), "duplicate").await;
        }
    }
}

/// T-14, T-72: what can be mistaken for another id, or hides something, is refused; what is no text as well.
#[tokio::test(flavor = "multi_thread")]
async fn confusing_subjects_are_refused() {
    assert_eq!(CONFUSING.iter().collect::<HashSet<_>>().len(), 64);
    for upstream in &UPSTREAMS {
        let service = service(upstream.preset, upstream.table).await;
        let mut client = Client::of(&service).await;
        for subject in CONFUSING {
            let reason = if std::str::from_utf8(subject).is_ok() { "character" } else { "encoding" };
            client.refused(&upstream.lines(subject), reason).await;
        }
    }
}

/// T-16: a placeholder that was never filled in would make every visitor the same user.
#[tokio::test(flavor = "multi_thread")]
async fn templates_are_no_user() {
    for upstream in &UPSTREAMS {
        let service = service(upstream.preset, upstream.table).await;
        let mut client = Client::of(&service).await;
        for template in TEMPLATES {
            // As the value of a claim, and in place of the whole header.
            client.refused(&upstream.lines(template), "template").await;
            client
                .refused(
                    &[upstream.lines("x")[..upstream.always.len()].to_vec(), vec![line(upstream.header, template)]]
                        .concat(),
                    "template",
                )
                .await;
        }
        // A name is for people, so it is left out instead.
        if let Some((name, _)) = upstream.beside.iter().find(|(name, _)| name.ends_with("Name")) {
            let lines = [upstream.lines("alice"), vec![line(name, "{http.auth.user.name}")]].concat();
            assert!(client.claims(&lines).await.get("name").is_none(), "{}", upstream.preset);
        }
    }
}

/// T-72: a name loses what is invisible, and keeps what its script or an emoji is spelled with.
#[tokio::test(flavor = "multi_thread")]
async fn names_hide_nothing_and_keep_their_spelling() {
    let service = service("plain", "").await;
    let mut client = Client::of(&service).await;
    for (sent, shown) in [
        ("al\u{115f}i\u{17b4}c\u{1bca0}e\u{3164}", "alice"),
        ("\u{202e}evil\u{200b}", "evil"),
        ("ad\u{200c}min", "admin"),
        ("Jane\u{2028}Doe\u{2800}", "Jane Doe"),
        ("علی\u{200c}رضا", "علی\u{200c}رضا"),
        ("ශ\u{dca}\u{200d}රී", "ශ\u{dca}\u{200d}රී"),
        ("👩\u{200d}👩\u{200d}👧 Ana ❤\u{fe0f}", "👩\u{200d}👩\u{200d}👧 Ana ❤\u{fe0f}"),
        ("Jane {she/her} Doe", "Jane {she/her} Doe"),
        ("{first} {last}", "alice"),
    ] {
        let lines = [line("X-Forwarded-User", "alice"), line("X-Forwarded-Name", sent)];
        let answer = client.send(SESSION, &lines).await;
        assert_eq!(answer.json()["displayName"], shown, "{sent:?}");
    }
}

/// T-13: ids are compared byte by byte; nothing is folded, trimmed or guessed.
#[tokio::test(flavor = "multi_thread")]
async fn variants_of_an_id_are_other_users() {
    for upstream in &UPSTREAMS {
        let service = service(upstream.preset, upstream.table).await;
        let mut client = Client::of(&service).await;
        let mut seen = HashSet::new();
        for subject in
            ["alice", "Alice", "ALICE", "alice.", "a.lice", "alice@example.com", "alice@EXAMPLE.com", "a@x@y"]
        {
            let claims = client.claims(&upstream.lines(subject)).await;
            assert!(seen.insert(claims["sub"].to_string()), "{subject}");
        }
        for subject in ["alice\u{a0}", "\u{2009}alice"] {
            client.refused(&upstream.lines(subject), "character").await;
        }
        // Two `@` have fooled checks of domains.
        if let Some((name, _)) = upstream.beside.iter().find(|(name, _)| name.to_lowercase().ends_with("email")) {
            let lines = [upstream.lines("alice"), vec![line(name, "a@x@y")]].concat();
            assert!(client.claims(&lines).await.get("email").is_none(), "{}", upstream.preset);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_long_is_refused() {
    for upstream in &UPSTREAMS {
        let service = service(upstream.preset, upstream.table).await;
        let mut client = Client::of(&service).await;
        assert_eq!(client.claims(&upstream.lines([b'a'; 255])).await["sub"], "a".repeat(255));
        for length in [256, 1000] {
            // A login page would not help, so this is no 401.
            let answer = client.send(SESSION, &upstream.lines(vec![b'a'; length])).await;
            assert_eq!((answer.status, answer.code().as_str()), (422, "user_id_invalid"), "{}", upstream.preset);
            let passed = client.send("/auth", &upstream.lines(vec![b'a'; length])).await;
            assert_eq!((passed.status, passed.header("x-chat-status")), (200, Some("denied")), "{}", upstream.preset);
        }
        let answer = client.send(SESSION, &upstream.lines(vec![b'a'; 17_000])).await;
        assert_eq!(answer.status, if upstream.is_plain() { 422 } else { answer.status }, "{}", upstream.preset);
        assert!(matches!(answer.status, 401 | 422), "{}", upstream.preset);
        // What does not say who the user is costs itself only.
        for (name, _) in upstream.beside.iter().filter(|(name, _)| is_part(upstream, name)) {
            let others = upstream.golden().into_iter().filter(|(own, _)| own != name);
            let lines: Vec<Line> = others.chain([line(name, vec![b'a'; 17_000])]).collect();
            assert_eq!(client.claims(&lines).await["sub"], upstream.subject, "{name} of {}", upstream.preset);
        }
    }
}

/// Whether a header beside the subject's tells something of the user, and is no condition.
fn is_part(upstream: &Upstream, name: &str) -> bool {
    let (_, text) = sidemint::identity::PRESETS.iter().find(|(own, _)| *own == upstream.preset).expect("a preset");
    let tables = text.lines().filter(|line| !line.starts_with("require") && !line.starts_with("refuse_if"));
    tables.into_iter().any(|line| line.contains(&format!("\"{name}\"")))
}

/// A user in hundreds of groups signs in like others; without the groups, which is counted and told once a minute.
#[tokio::test(flavor = "multi_thread")]
async fn groups_that_are_too_long_cost_no_sign_in() {
    let traces = Traces::capture();
    let service = service("oauth2-proxy", "").await;
    let mut client = Client::of(&service).await;
    let groups = |n: usize| (0..n).map(|n| format!("CANARYgroup-{n:04}")).collect::<Vec<_>>().join(",");
    let with = |n: usize| vec![line("X-Forwarded-User", "alice"), line("X-Forwarded-Groups", groups(n))];
    assert_eq!(client.claims(&with(200)).await["groups"].as_array().map(Vec::len), Some(200));
    let counted = "sidemint_identity_values_left_out_total{source=\"oauth2-proxy\",value=\"groups\"}";
    assert!(service.metric(counted).await < 0.5, "there from the start");
    let lines = || traces.text().matches("a header is too long to be read").count();
    let before = lines();
    for _ in 0..3 {
        assert_eq!(client.claims(&with(900)).await["groups"], serde_json::json!([]), "none rather than some");
    }
    assert!((service.metric(counted).await - 3.0).abs() < 0.1);
    assert_eq!(lines() - before, 1);
    wait(&service, 60);
    client.claims(&with(900)).await;
    assert_eq!(lines() - before, 2);
    crate::canary::assert_clean("the log", &traces.text());
    // Where groups decide, whose groups cannot be read is not let in.
    let no_subject = [line("X-Forwarded-Groups", groups(900))];
    client.refused(&no_subject, "subject_missing").await;
}

/// T-57: no bytes in an identity header bring the service down or let a client in as another user.
#[tokio::test(flavor = "multi_thread")]
async fn no_bytes_bring_the_service_down() {
    for upstream in &UPSTREAMS {
        let service = service(upstream.preset, upstream.table).await;
        let mut client = Client::of(&service).await;
        let names: Vec<String> = upstream.golden().into_iter().map(|(name, _)| name).collect();
        for byte in (0_u8..=255).step_by(3).chain([b'\r', b'\n', 0x7f, 0xff, b'%', b'=', b'"', b'{']) {
            if matches!(byte, b'\r' | b'\n') {
                continue; // These end the line.
            }
            for name in names.iter().filter(|name| *name == upstream.header || is_read(upstream, name)) {
                let rest = upstream.golden().into_iter().filter(|(own, _)| own != name);
                let lines: Vec<Line> = rest.chain([line(name, [byte, b'x', byte])]).collect();
                let answer = client.send(SESSION, &lines).await;
                assert!(matches!(answer.status, 200 | 400 | 401), "{byte:#x} in {name}: {answer:?}");
            }
        }
        assert_eq!(client.claims(&upstream.golden()).await["sub"], upstream.subject, "still there");
    }
}

/// T-05: whatever an upstream leaves out, the subrequest answers with the whole set, so that no copy of the client's
/// own headers flows on.
#[tokio::test(flavor = "multi_thread")]
async fn a_subrequest_always_answers_the_whole_set() {
    const SET: [&str; 5] =
        ["x-chat-token", "x-chat-token-expires-at", "x-chat-api-url", "x-chat-user-id", "x-chat-display-name"];
    for upstream in &UPSTREAMS {
        let service = service(upstream.preset, upstream.table).await;
        let mut client = Client::of(&service).await;
        for (lines, status) in
            [(upstream.golden(), "ok"), (upstream.lines(upstream.subject), "ok"), (Vec::new(), "anonymous")]
        {
            let answer = client.send("/auth", &lines).await;
            assert_eq!((answer.status, answer.header("x-chat-status")), (200, Some(status)), "{}", upstream.preset);
            let removed = answer.header("x-envoy-auth-headers-to-remove").unwrap_or_default().to_owned();
            for name in SET {
                let value = answer.header(name).unwrap_or_else(|| panic!("{name} is missing at {}", upstream.preset));
                assert_eq!(value.is_empty(), removed.split(',').any(|own| own.trim() == name), "{name}: {removed}");
                assert!(status == "ok" || value.is_empty());
            }
        }
    }
}

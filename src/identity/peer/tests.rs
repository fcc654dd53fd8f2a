//! What each kind of evidence takes, on connections and requests that are made up.

use http::{HeaderMap, HeaderValue, Method};

use super::*;
use crate::clock::{ManualClock, Timestamp};

impl Peers {
    /// These callers.
    fn of(callers: &[(&str, config::Caller)]) -> Self {
        let clock: Arc<dyn Clock> = Arc::new(ManualClock::new(Timestamp::from_seconds(1_777_920_000)));
        let configure =
            |(name, caller): &(&str, config::Caller)| Proof::configure(Reports::new("", *name), caller.clone(), &clock);
        let proofs: Vec<Proof> = callers.iter().map(|one| configure(one).expect("fits")).collect();
        let guarded = proofs.iter().flat_map(Proof::headers).cloned().collect();
        Self { proofs, guarded, takes_tokens: false }
    }
}

fn policy(networks: &[&str]) -> Peers {
    let networks = networks.iter().map(|text| text.parse().expect("network")).collect();
    Peers::for_test(&config::Peers { networks, unix_uids: vec![1000], ..config::Peers::default() })
}

fn is_met(peers: &Peers, peer: Peer, names: &[String]) -> bool {
    peers.assess(peer, names).met != 0
}

fn loopback() -> Peer {
    Peer::tcp("127.0.0.1".parse().expect("address"))
}

/// T-10: one address has many spellings; all are compared as what they are.
#[test]
fn mapped_peers_are_compared_as_ipv4() {
    let policy = policy(&["10.0.0.0/8"]);
    for (address, believed) in [
        ("10.0.0.1", true),
        ("::ffff:10.0.0.1", true),
        ("::ffff:0a00:1", true),
        ("11.0.0.1", false),
        ("::10.0.0.1", false),
        ("64:ff9b::a00:1", false),
        ("2002:a00:1::", false),
        ("::ffff:11.0.0.1", false),
        ("::ffff:0:10.0.0.1", false),
        ("::1", false),
    ] {
        assert_eq!(is_met(&policy, Peer::tcp(address.parse().expect("address")), &[]), believed, "{address}");
    }
}

#[test]
fn unix_users_are_compared_exactly() {
    let policy = policy(&["0.0.0.0/0"]);
    assert!(is_met(&policy, Peer::Unix { uid: 1000 }, &[]));
    assert!(!is_met(&policy, Peer::Unix { uid: 0 }, &[]));
}

#[test]
fn no_peer_is_believed_by_default() {
    let policy = Peers::default();
    assert!(!policy.can_hold(&config::Listen::Unix("/x".into())));
    assert!(!is_met(&policy, loopback(), &[]));
    assert!(!is_met(&policy, Peer::Unix { uid: 0 }, &[]));
    let evidence = Evidence {
        connection: policy.assess(loopback(), &[]),
        method: &Method::GET,
        target: "/",
        headers: &HeaderMap::new(),
        body: None,
        relayed: None,
    };
    let gate = Arc::new(policy).gate("/", std::iter::empty());
    assert_eq!(gate.prove(&evidence, |_| Ok(String::new())).err(), Some(Refusal::PeerUntrusted));
}

#[test]
fn names_of_certificates_are_compared_exactly_and_kinds_are_kept_apart() {
    let certificates = ["spiffe://corp/web", "dns:web.corp"].map(str::to_owned).to_vec();
    let policy = Peers::for_test(&config::Peers { certificates, ..config::Peers::default() });
    for (names, believed) in [
        (&[][..], false),
        (&["spiffe://corp/web"], true),
        (&["dns:other.corp", "dns:web.corp"], true),
        (&["web.corp"], false),
        (&["dns:spiffe://corp/web"], false),
        (&["spiffe://corp/web/"], false),
        (&["spiffe://corp/WEB"], false),
        (&["spiffe://corp/we"], false),
        (&["dns:*.corp"], false),
    ] {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        assert_eq!(is_met(&policy, loopback(), &names), believed, "{names:?}");
    }
    assert!(!is_met(&policy, Peer::Unix { uid: 0 }, &[]), "no certificate on a unix socket");
}

fn caller(subjects: &[&str], routes: &[&str]) -> config::Caller {
    let subjects = subjects.iter().map(|name| (*name).to_owned()).collect();
    config::Caller {
        token: Some(config::CallerToken { source: "cluster".to_owned(), subjects }),
        routes: routes.iter().map(|path| (*path).to_owned()).collect(),
        proof: config::Peers::default(),
    }
}

fn prove(peers: Peers, path: &str, token: Result<&str, Refusal>) -> Result<(), Refusal> {
    let connection = peers.assess(loopback(), &[]);
    let headers = HeaderMap::new();
    let evidence =
        Evidence { connection, method: &Method::GET, target: path, headers: &headers, body: None, relayed: None };
    let gate = Arc::new(peers).gate(path, std::iter::empty());
    let subject = |source: &str| {
        assert_eq!(source, "cluster");
        token.map(str::to_owned)
    };
    gate.prove(&evidence, subject).map(|_| ())
}

/// T-01: a token of the caller's own is good for the listed subjects, on the listed routes.
#[test]
fn a_caller_proves_itself_with_a_token() {
    let web = "system:serviceaccount:shop:web";
    let callers = || Peers::of(&[("a", caller(&[web], &["/chat"])), ("b", caller(&["other"], &[]))]);
    for (path, token, outcome) in [
        ("/chat", Ok(web), Ok(())),
        ("/auth", Ok(web), Err(Refusal::CallerRoute)),
        ("/auth", Ok("other"), Ok(())),
        ("/chat", Ok("system:serviceaccount:shop:we"), Err(Refusal::PeerWorkload)),
        ("/auth", Ok("stranger"), Err(Refusal::PeerWorkload)),
        ("/chat", Err(Refusal::Expired), Err(Refusal::Expired)),
        ("/chat", Err(Refusal::KeyUnknown), Err(Refusal::KeyUnknown)),
        // Else the next source would be asked, as if no user were signed in.
        ("/chat", Err(Refusal::Absent), Err(Refusal::PeerUntrusted)),
    ] {
        assert_eq!(prove(callers(), path, token), outcome, "{path} {token:?}");
    }
}

#[test]
fn a_connection_that_is_enough_is_enough_on_its_routes_only() {
    let networks = vec!["127.0.0.0/8".parse().expect("network")];
    let proof = config::Peers { networks, ..config::Peers::default() };
    let caller = config::Caller { proof, routes: vec!["/chat".to_owned()], token: None };
    let never = Err(Refusal::Claim);
    assert_eq!(prove(Peers::of(&[("a", caller.clone())]), "/chat", never), Ok(()));
    assert_eq!(prove(Peers::of(&[("a", caller)]), "/auth", never), Err(Refusal::CallerRoute));
}

#[test]
fn the_sixty_fourth_proof_has_a_bit_of_its_own() {
    let proof = |uid| config::Peers { unix_uids: vec![uid], ..config::Peers::default() };
    let callers: Vec<_> =
        (0..64).map(|uid| ("", config::Caller { proof: proof(uid), ..config::Caller::default() })).collect();
    let peers = Peers::of(&callers);
    let met: Vec<u64> = (0..65).map(|uid| peers.assess(Peer::Unix { uid }, &[]).met).collect();
    assert_eq!((met[0], met[63], met[64]), (1, 1 << 63, 0));
}

/// T-07 for headers that prove a peer.
#[test]
fn a_header_that_proves_something_is_never_ambiguous() {
    let own = [HeaderName::from_static("x-chat-peer-secret")];
    for (lines, outcome) in [
        (&[("x-chat-peer-secret", "a")][..], Ok(())),
        (&[("connection", "keep-alive, upgrade")], Ok(())),
        (&[("x-chat-peer-secret", "a"), ("x-chat-peer-secret", "a")], Err(Refusal::Duplicate)),
        (&[("x_chat_peer_secret", "a")], Err(Refusal::Alias)),
        (&[("x.chat-peer.secret", "a")], Err(Refusal::Alias)),
        (&[("x-chat-peer-secret-", "a")], Err(Refusal::Alias)),
        (&[("connection", "close, X-Chat-PEER-Secret")], Err(Refusal::ListedInConnection)),
        (&[("connection", "close"), ("connection", "x-chat-peer-secret")], Err(Refusal::ListedInConnection)),
    ] {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, HeaderValue::from_static(value));
        }
        assert_eq!(ambiguity::guard(&headers, &own), outcome, "{lines:?}");
    }
}

#[test]
fn a_signature_has_one_spelling() {
    let tag = "0123456789abcdef".repeat(4);
    assert!(signature::parse(format!("t=1777920000,v2={tag}").as_bytes()).is_some_and(|parsed| parsed.is_ok()));
    let older = signature::parse(format!("t=1777920000,v1={tag}").as_bytes()).map(|parsed| parsed.map(|_| ()));
    assert_eq!(older, Some(Err(Refusal::PeerSignatureVersion)));
    for bad in [
        String::new(),
        tag.clone(),
        format!("t=,v2={tag}"),
        format!("t=01777920000,v2={tag}"),
        format!("t=+1777920000,v2={tag}"),
        format!("t=-1777920000,v2={tag}"),
        format!("t=177792000000,v2={tag}"),
        format!("t=1777920000, v2={tag}"),
        format!("t=1777920000,v2={}", tag.to_uppercase()),
        format!("t=1777920000,v2={tag}0"),
        format!("t=1777920000,v2={}", "0".repeat(63)),
        format!("t=1777920000,v2={tag},v2={tag}"),
        format!("t=1777920000,v3={tag}"),
        format!("v2={tag},t=1777920000"),
        format!("T=1777920000,V2={tag}"),
    ] {
        assert_eq!(signature::parse(bad.as_bytes()), None, "{bad}");
    }
}

/// The doctor asks for the headers that no client may send: all of them, and whether a forgery would be believed.
#[test]
fn headers_that_prove_a_peer_are_told_with_what_they_are_worth() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("secret");
    std::fs::write(&file, "0123456789abcdef".repeat(2)).expect("written");
    let peers = Peers::for_test(&config::Peers {
        xfcc: vec!["spiffe://a/b".to_owned()],
        linkerd: vec!["web".to_owned()],
        secret_files: vec![file.clone()],
        secret_header: Some(HeaderName::from_static("x-secret")),
        hmac_key_files: vec![file],
        ..config::Peers::default()
    });
    let told: Vec<_> = peers.headers_with_worth().map(|(name, worth)| (name.as_str(), worth)).collect();
    let expected = [
        ("x-secret", Worth::Proven),
        ("x-chat-peer-signature", Worth::Proven),
        ("x-forwarded-client-cert", Worth::Asserted),
        ("l5d-client-id", Worth::Asserted),
    ];
    assert_eq!(told, expected);
    assert_eq!(policy(&["127.0.0.0/8"]).headers_with_worth().count(), 0);
}

/// T-24: one bad token of a caller is verified once, however many callers it could be of.
#[test]
fn a_token_is_verified_once_for_all_callers() {
    let callers: Vec<_> = (0..63).map(|_| ("a", caller(&["web"], &[]))).collect();
    let peers = Peers::of(&callers);
    let headers = HeaderMap::new();
    let connection = peers.assess(loopback(), &[]);
    let evidence =
        Evidence { connection, method: &Method::GET, target: "/", headers: &headers, body: None, relayed: None };
    let gate = Arc::new(peers).gate("/", std::iter::empty());
    for (told, outcome) in
        [(Err(Refusal::Signature), Some(Refusal::Signature)), (Ok("stranger".to_owned()), Some(Refusal::PeerWorkload))]
    {
        let verified = std::cell::Cell::new(0);
        let subject = |_: &str| {
            verified.set(verified.get() + 1);
            told.clone()
        };
        assert_eq!(gate.prove(&evidence, subject).err(), outcome);
        assert_eq!(verified.get(), 1);
    }
}

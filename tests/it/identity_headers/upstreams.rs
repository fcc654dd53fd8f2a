//! What each upstream really sends, and what it means.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use sidemint::identity::PRESETS;

use super::{Client, Line, line, seconds, service};

/// An upstream with a preset.
pub struct Upstream {
    pub preset: &'static str,
    /// What the operator must settle.
    pub table: &'static str,
    /// The header that the subject is in.
    pub header: &'static str,
    /// The value of that header for a subject.
    pub encode: fn(&[u8]) -> Vec<u8>,
    /// A subject as the upstream sends it.
    pub subject: &'static str,
    /// What is sent for every user.
    pub always: &'static [(&'static str, &'static str)],
    /// What is sent beside for this user.
    pub beside: &'static [(&'static str, &'static str)],
    /// What is understood beside the subject.
    pub understood: fn() -> Value,
}

impl Upstream {
    /// The lines for a subject and nothing else.
    pub fn lines(&self, subject: impl AsRef<[u8]>) -> Vec<Line> {
        let always = self.always.iter().map(|(name, value)| line(name, value));
        always.chain([line(self.header, (self.encode)(subject.as_ref()))]).collect()
    }

    /// The whole request of the upstream.
    pub fn golden(&self) -> Vec<Line> {
        let beside = self.beside.iter().map(|(name, value)| line(name, value));
        self.lines(self.subject).into_iter().chain(beside).collect()
    }

    /// Whether the header holds the bytes of the subject as they are.
    pub fn is_plain(&self) -> bool {
        (self.encode)("ä".as_bytes()) == "ä".as_bytes()
    }
}

fn plain(subject: &[u8]) -> Vec<u8> {
    subject.to_vec()
}

/// As Go writes it: as it is, or the whole of it as encoded words.
fn rfc2047(subject: &[u8]) -> Vec<u8> {
    if subject.iter().all(|byte| matches!(byte, b' '..=b'~')) {
        return subject.to_vec();
    }
    let byte = |byte: &u8| match byte {
        b' ' => "_".to_owned(),
        byte if byte.is_ascii_alphanumeric() => char::from(*byte).to_string(),
        byte => format!("={byte:02x}"),
    };
    format!("=?utf-8?q?{}?=", subject.iter().map(byte).collect::<String>()).into_bytes()
}

/// As Envoy writes it. The subject is put in as it is, so that bytes that are no text can be.
fn payload(subject: &[u8]) -> Vec<u8> {
    let beside = json!({
        "iss": "https://idp.example.com/", "exp": seconds(300), "name": "Jörg Müller", "email": "joerg@example.com",
        "email_verified": true, "picture": "https://img.example.com/j.png", "groups": ["staff", "r,d"],
    });
    let beside = beside.to_string();
    let text = [b"{\"sub\":\"", subject, b"\",", beside.trim_start_matches('{').as_bytes()].concat();
    URL_SAFE_NO_PAD.encode(text).into_bytes()
}

fn unknown() -> Value {
    json!({ "groups": [] })
}

fn everything() -> Value {
    json!({ "name": "Jörg Müller", "email": "joerg@example.com", "groups": ["staff", "chat admins"] })
}

const PRINCIPAL: &str = "eyJhdXRoX3R5cCI6ImFhZCIsIm5hbWVfdHlwIjoiaHR0cDovL3NjaGVtYXMueG1sc29hcC5vcmcvd3MvMjAwNS8wNS9pZGVudGl0eS9jbGFpbXMvZW1haWxhZGRyZXNzIiwicm9sZV90eXAiOiJodHRwOi8vc2NoZW1hcy5taWNyb3NvZnQuY29tL3dzLzIwMDgvMDYvaWRlbnRpdHkvY2xhaW1zL3JvbGUiLCJjbGFpbXMiOlt7InR5cCI6Imh0dHA6Ly9zY2hlbWFzLnhtbHNvYXAub3JnL3dzLzIwMDUvMDUvaWRlbnRpdHkvY2xhaW1zL2VtYWlsYWRkcmVzcyIsInZhbCI6ImpvZXJnQGV4YW1wbGUuY29tIn0seyJ0eXAiOiJuYW1lIiwidmFsIjoiSsO2cmcgTcO8bGxlciJ9LHsidHlwIjoiZXhwIiwidmFsIjoiMTc3NzAwMDAwMCJ9LHsidHlwIjoiaHR0cDovL3NjaGVtYXMubWljcm9zb2Z0LmNvbS93cy8yMDA4LzA2L2lkZW50aXR5L2NsYWltcy9yb2xlIiwidmFsIjoic3RhZmYifSx7InR5cCI6Imh0dHA6Ly9zY2hlbWFzLm1pY3Jvc29mdC5jb20vd3MvMjAwOC8wNi9pZGVudGl0eS9jbGFpbXMvcm9sZSIsInZhbCI6ImNoYXQgYWRtaW5zIn1dfQ==";

/// What a proxy in front of most applications adds; none of it is identity.
const PROXY: (&str, &str) = ("X-Forwarded-For", "203.0.113.7");

/// Every preset of kind `headers`.
pub const UPSTREAMS: [Upstream; 15] = [
    Upstream {
        preset: "plain",
        table: "",
        header: "X-Forwarded-User",
        encode: plain,
        subject: "u-1042",
        always: &[PROXY],
        beside: &[
            ("X-Forwarded-Name", "Jörg Müller"),
            ("X-Forwarded-Email", "joerg@example.com"),
            ("X-Forwarded-Groups", "staff, chat admins"),
        ],
        understood: everything,
    },
    Upstream {
        preset: "oauth2-proxy",
        table: "",
        header: "X-Forwarded-User",
        encode: plain,
        subject: "auth0|5f7c8ec7c33c6c004bbafe82",
        always: &[PROXY, ("X-Forwarded-Access-Token", "opaque"), ("Authorization", "Bearer a.b.c")],
        beside: &[
            ("X-Forwarded-Preferred-Username", "Jörg Müller"),
            ("X-Forwarded-Email", "joerg@example.com"),
            ("X-Forwarded-Groups", "staff,chat admins"),
        ],
        understood: everything,
    },
    Upstream {
        preset: "oauth2-proxy-subrequest",
        table: "",
        header: "X-Auth-Request-User",
        encode: plain,
        subject: "5f7c8ec7-c33c-4c00-9bba-fe8200000001",
        always: &[PROXY],
        beside: &[
            ("X-Auth-Request-Preferred-Username", "Jörg Müller"),
            ("X-Auth-Request-Email", "joerg@example.com"),
            ("X-Auth-Request-Groups", "staff,chat admins"),
        ],
        understood: everything,
    },
    Upstream {
        preset: "authelia",
        table: "",
        header: "Remote-User",
        encode: plain,
        subject: "joerg",
        always: &[PROXY],
        beside: &[
            ("Remote-Name", "Jörg Müller"),
            ("Remote-Email", "joerg@example.com"),
            ("Remote-Groups", "staff,chat admins"),
        ],
        understood: everything,
    },
    Upstream {
        preset: "authentik",
        table: "",
        header: "X-authentik-uid",
        encode: plain,
        subject: "7d36cd34fad9fc1bf9ff8a7ac0ec8b6b4ff2cb1f1ab1d0b3c58e5e2f0a3f4d11",
        always: &[PROXY, ("X-authentik-meta-app", "chat"), ("X-authentik-jwt", "a.b.c")],
        beside: &[
            ("X-authentik-username", "joerg"),
            ("X-authentik-name", "Jörg Müller"),
            ("X-authentik-email", "joerg@example.com"),
            ("X-authentik-groups", "staff|chat admins"),
        ],
        understood: everything,
    },
    Upstream {
        preset: "gatekeeper",
        table: "",
        header: "X-Auth-Subject",
        encode: plain,
        subject: "f2b2e4a1-8f5c-4c6e-9a64-5b2d34c7a001",
        always: &[PROXY, ("X-Auth-Token", "a.b.c"), ("X-Auth-Audience", "chat")],
        beside: &[
            ("X-Auth-Userid", "joerg"),
            ("X-Auth-Username", "Jörg Müller"),
            ("X-Auth-Email", "joerg@example.com"),
            ("X-Auth-Groups", "staff,chat admins"),
            ("X-Auth-Roles", "offline_access"),
        ],
        understood: everything,
    },
    Upstream {
        preset: "oathkeeper",
        table: "{ name_header = \"X-Display-Name\" }",
        header: "X-User",
        encode: plain,
        subject: "9f425a8d-7efc-4768-8f23-7647a74fdf13",
        always: &[PROXY],
        beside: &[
            ("X-Display-Name", "Jörg Müller"),
            ("X-User-Email", "joerg@example.com"),
            ("X-User-Groups", "staff,chat admins"),
        ],
        understood: everything,
    },
    Upstream {
        preset: "pomerium-claims",
        table: "",
        header: "X-Pomerium-Claim-Sub",
        encode: plain,
        subject: "google/108399",
        always: &[PROXY],
        // A claim that is missing comes empty.
        beside: &[
            ("X-Pomerium-Claim-Name", "Jörg Müller"),
            ("X-Pomerium-Claim-Email", "joerg@example.com"),
            ("X-Pomerium-Claim-Groups", "staff,chat admins"),
            ("X-Pomerium-Claim-Picture", ""),
        ],
        understood: everything,
    },
    Upstream {
        preset: "tailscale",
        table: "",
        header: "Tailscale-User-Login",
        encode: rfc2047,
        subject: "joerg@example.com",
        always: &[PROXY, ("X-Forwarded-Host", "chat.tail1234.ts.net")],
        beside: &[
            ("Tailscale-User-Name", "=?utf-8?q?J=C3=B6rg_M=C3=BCller?="),
            ("Tailscale-User-Profile-Pic", "https://img.example.com/j.png"),
            ("Tailscale-Headers-Info", "https://tailscale.com/s/serve-headers"),
        ],
        understood: || json!({ "name": "Jörg Müller", "picture": "https://img.example.com/j.png", "groups": [] }),
    },
    Upstream {
        preset: "azure-easy-auth",
        table: "",
        header: "X-MS-CLIENT-PRINCIPAL-ID",
        encode: plain,
        subject: "5b5450db-eb26-4c1a-981c-ba1d25f0483d",
        always: &[PROXY, ("X-MS-CLIENT-PRINCIPAL-IDP", "aad")],
        beside: &[
            ("X-MS-CLIENT-PRINCIPAL", PRINCIPAL),
            ("X-MS-CLIENT-PRINCIPAL-NAME", "joerg@example.com"),
            ("X-MS-TOKEN-AAD-ID-TOKEN", "a.b.c"),
        ],
        understood: everything,
    },
    Upstream {
        preset: "envoy-payload",
        table: "{ issuer = \"https://idp.example.com/\" }",
        header: "x-jwt-payload",
        encode: payload,
        subject: "auth0|5f7c",
        always: &[PROXY, ("x-envoy-attempt-count", "1")],
        beside: &[],
        understood: || {
            json!({
                "name": "Jörg Müller", "email": "joerg@example.com", "picture": "https://img.example.com/j.png",
                "groups": ["staff", "r,d"],
            })
        },
    },
    Upstream {
        preset: "envoy-claims",
        table: "",
        header: "x-jwt-claim-sub",
        encode: plain,
        subject: "auth0|5f7c",
        always: &[PROXY],
        beside: &[("x-jwt-claim-name", "Jörg Müller"), ("x-jwt-claim-email", "joerg@example.com")],
        understood: || json!({ "name": "Jörg Müller", "email": "joerg@example.com", "groups": [] }),
    },
    Upstream {
        preset: "kubernetes-front-proxy",
        table: "",
        header: "X-Remote-User",
        encode: plain,
        subject: "joerg",
        always: &[PROXY],
        // Groups with a comma in their name are one group; the same group twice is no attack.
        beside: &[
            ("X-Remote-Group", "staff"),
            ("X-Remote-Group", "cn=chat,ou=admins"),
            ("X-Remote-Extra-Scopes", "openid"),
        ],
        understood: || json!({ "groups": ["staff", "cn=chat,ou=admins"] }),
    },
    Upstream {
        preset: "mod-auth-openidc",
        table: "",
        header: "OIDC-Claim-Sub",
        encode: plain,
        subject: "248289761001",
        always: &[PROXY],
        beside: &[
            ("OIDC-Claim-Name", "Jörg Müller"),
            ("OIDC-Claim-Email", "joerg@example.com"),
            ("OIDC-Claim-Picture", ""),
            ("OIDC-Claim-Groups", "staff,chat admins"),
        ],
        understood: everything,
    },
    Upstream {
        preset: "traefik",
        table: "",
        header: "X-WebAuth-User",
        encode: plain,
        subject: "joerg",
        always: &[PROXY, ("Authorization", "Basic am9lcmc6eA==")],
        beside: &[],
        understood: unknown,
    },
];

#[test]
fn every_preset_of_headers_is_here() {
    let is_of_headers = |text: &&str| text.contains("\nkind = \"headers\"");
    let presets: Vec<&str> = PRESETS.iter().filter(|(_, text)| is_of_headers(text)).map(|(name, _)| *name).collect();
    assert_eq!(presets, UPSTREAMS.iter().map(|upstream| upstream.preset).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn every_upstream_is_understood_as_it_sends() {
    for upstream in &UPSTREAMS {
        let service = service(upstream.preset, upstream.table).await;
        let mut client = Client::of(&service).await;
        let claims = client.claims(&upstream.golden()).await;
        assert_eq!(claims["sub"], upstream.subject, "{}", upstream.preset);
        let mut expected = (upstream.understood)();
        for member in ["name", "email", "picture", "groups"] {
            assert_eq!(claims[member], expected[member].take(), "{member} of {}", upstream.preset);
        }
        // Ids of other scripts are ids, if they hide nothing.
        for subject in ["李小龙", "jörg", "Ωmega", "o'neil", "a=b;c", "first last"] {
            let claims = client.claims(&upstream.lines(subject)).await;
            assert_eq!(claims["sub"], subject, "{}", upstream.preset);
        }
    }
}

#[test]
fn the_principal_is_what_it_seems() {
    let text = String::from_utf8(STANDARD.decode(PRINCIPAL).expect("base64")).expect("UTF-8");
    let principal: Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(principal["claims"][1], json!({ "typ": "name", "val": "Jörg Müller" }));
}

//! Where the keys of a signed source come from: the table `keys`.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;
use url::Url;

use crate::definition::{DAY, Key, MINUTE, Mistake, Span};
use crate::outbound::Reach;

/// How long keys are good without a look, where nothing is said.
const MAX_AGE: Duration = Duration::from_millis(DAY);
/// How often keys are fetched where the answer says nothing.
const REFRESH: Duration = Duration::from_secs(20 * 60);
/// The shortest time between two looks at a source.
const SHORTEST: u64 = 5 * MINUTE;
/// What stands for the key id in an address.
pub(super) const KID: &str = "token.kid";
/// A key id to try an address with.
const ANY_KID: &str = "00000000-0000-0000-0000-000000000000";

/// The shortest and the longest time between two looks at a source.
pub(in crate::identity) const REFRESH_BOUNDS: (Duration, Duration) =
    (Duration::from_millis(SHORTEST), Duration::from_millis(DAY));

/// The table as written. An empty text is as good as none, so that an operator can take back what a preset says.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Raw {
    url: String,
    discovery: bool,
    file: PathBuf,
    pem_url: String,
    secret_file: PathBuf,
    form: Option<KeyForm>,
    network: Network,
    max_age: Option<Span<{ 7 * DAY }, SHORTEST>>,
    refresh: Option<Span<DAY, SHORTEST>>,
    ca_file: PathBuf,
    bearer_file: PathBuf,
}

/// What a key set looks like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(in crate::identity) enum KeyForm {
    /// A JWK set (RFC 7517, 5).
    #[default]
    Jwks,
    /// A JSON object: key id to PEM.
    PemMap,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Network {
    #[default]
    Public,
    Private,
}

/// Where keys come from, checked.
#[derive(Clone, Debug)]
pub(in crate::identity) struct KeyPlan {
    pub(in crate::identity) place: KeyPlace,
    pub(in crate::identity) form: KeyForm,
    pub(in crate::identity) reach: Reach,
    /// How old the last good set may become while its source is down.
    pub(in crate::identity) max_age: Duration,
    /// Time between two looks where the answer says nothing.
    pub(in crate::identity) refresh: Duration,
    /// Certificates that the server may be signed by, beside the system's.
    pub(in crate::identity) ca_file: Option<PathBuf>,
    /// Shown to the server, read anew for each look.
    pub(in crate::identity) bearer_file: Option<PathBuf>,
}

/// The place itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::identity) enum KeyPlace {
    /// A key set.
    Url(Url),
    /// A key set that the issuer's own description names.
    Discovery {
        /// Must be told by the description, byte for byte.
        issuer: String,
        /// Where the description is.
        url: Url,
    },
    /// One PEM for each key id.
    PemUrl(PemUrl),
    /// A file with a key set, or with public keys in PEM.
    File(PathBuf),
    /// A file with the secret that both sides share.
    SecretFile(PathBuf),
}

impl KeyPlace {
    /// Whether the operator named the server at this address: others, to whom an issuer leads, are shown no credential.
    pub(in crate::identity) fn is_named(&self, url: &Url) -> bool {
        match self {
            Self::Discovery { url: own, .. } => own.origin() == url.origin(), // T-23: origin of the issuer
            Self::Url(_) | Self::PemUrl(_) | Self::File(_) | Self::SecretFile(_) => true,
        }
    }
}

/// An address that ends with the key id: what stands before it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::identity) struct PemUrl(String);

impl PemUrl {
    /// The address of one key. Key ids stand in tokens that are not verified yet: only a UUID gets in (T-20).
    pub(in crate::identity) fn of(&self, kid: &str) -> Option<Url> {
        is_uuid(kid).then(|| format!("{}{kid}", self.0).parse().ok()).flatten() // T-20: kid in an address
    }
}

/// Whether this is a UUID as usually written.
fn is_uuid(text: &str) -> bool {
    let lengths = text.split('-').map(str::len);
    lengths.eq([8, 4, 4, 4, 12]) && text.bytes().all(|b| b == b'-' || b.is_ascii_hexdigit())
}

impl KeyPlan {
    /// Checks the table. `issuers` is what the tokens may say. Mistakes name the key.
    pub(super) fn check(raw: Raw, issuers: &[String]) -> Result<Self, Mistake> {
        let reach = match raw.network {
            Network::Public => Reach::Public,
            Network::Private => Reach::Private,
        };
        let mut places = Vec::new();
        if !raw.url.is_empty() {
            places.push(("url", KeyPlace::Url(address("keys.url", &raw.url, reach)?)));
        }
        if raw.discovery {
            places.push(("discovery", discovery(issuers, reach)?));
        }
        if !raw.pem_url.is_empty() {
            places.push(("pem_url", KeyPlace::PemUrl(pem_url(&raw.pem_url, reach)?)));
        }
        if let Some(path) = given(raw.file) {
            places.push(("file", KeyPlace::File(path)));
        }
        if let Some(path) = given(raw.secret_file) {
            places.push(("secret_file", KeyPlace::SecretFile(path)));
        }
        let wrong = |problem: String| Mistake::new("keys", problem);
        let names: Vec<_> = places.iter().map(|(name, _)| *name).collect();
        let place = match (places.pop(), places.pop()) {
            (Some((_, place)), None) => place,
            (None, _) => return Err(wrong("needs one of url, discovery, pem_url, file, secret_file".to_owned())),
            _ => return Err(wrong(format!("has {}; keep one of them", names.join(" and ")))),
        };
        let fetched = matches!(place, KeyPlace::Url(_) | KeyPlace::Discovery { .. } | KeyPlace::PemUrl(_));
        for (key, is_set) in [
            ("ca_file", !raw.ca_file.as_os_str().is_empty()),
            ("bearer_file", !raw.bearer_file.as_os_str().is_empty()),
            ("max_age", raw.max_age.is_some()),
            ("refresh", raw.refresh.is_some()),
        ] {
            if is_set && !fetched {
                return Err(Mistake::new(Key::of("keys").below(key), "is for keys that are fetched; remove it"));
            }
        }
        if raw.form.is_some() && !matches!(place, KeyPlace::Url(_)) {
            return Err(Mistake::new("keys.form", "is for keys.url; remove it"));
        }
        Ok(Self {
            place,
            form: raw.form.unwrap_or_default(),
            reach,
            max_age: raw.max_age.map_or(MAX_AGE, |span| span.0),
            refresh: raw.refresh.map_or(REFRESH, |span| span.0),
            ca_file: given(raw.ca_file),
            bearer_file: given(raw.bearer_file),
        })
    }
}

fn given(path: PathBuf) -> Option<PathBuf> {
    (!path.as_os_str().is_empty()).then_some(path)
}

fn address(key: &str, text: &str, reach: Reach) -> Result<Url, Mistake> {
    let url: Url = text.parse().map_err(|_| Mistake::new(key, format!("\"{text}\" is not an address")))?;
    // An address with a password in it is not repeated.
    reach.check(&url).map_err(|problem| Mistake::new(key, problem))?;
    Ok(url)
}

/// `OpenID` Connect Discovery 1.0, section 4: the path goes behind the issuer, whose last slash does not count.
fn discovery(issuers: &[String], reach: Reach) -> Result<KeyPlace, Mistake> {
    let [issuer] = issuers else {
        return Err(Mistake::new("keys.discovery", "needs jwt.issuer, which is one address then"));
    };
    let text = format!("{}/.well-known/openid-configuration", issuer.strip_suffix('/').unwrap_or(issuer));
    let url = address("jwt.issuer", &text, reach)?;
    if url.query().is_some() {
        return Err(Mistake::new("jwt.issuer", "must not hold '?' where the keys are discovered"));
    }
    Ok(KeyPlace::Discovery { issuer: issuer.to_owned(), url })
}

fn pem_url(text: &str, reach: Reach) -> Result<PemUrl, Mistake> {
    let before = text.strip_suffix(&place_of_kid());
    let tried = before.map(|before| address("keys.pem_url", &format!("{before}{ANY_KID}"), reach)).transpose()?;
    let in_path = |tried: &Url| tried.path().ends_with(&format!("/{ANY_KID}")) && tried.query().is_none();
    match (before, tried) {
        (Some(before), Some(tried)) if in_path(&tried) && !before.contains("{{") => Ok(PemUrl(before.to_owned())),
        _ => {
            let place = place_of_kid();
            Err(Mistake::new(
                "keys.pem_url",
                format!("must end with \"/{place}\", as in \"https://host.example/{place}\""),
            ))
        }
    }
}

/// How an address names the key id.
fn place_of_kid() -> String {
    format!("{{{{ {KID} }}}}")
}

impl fmt::Display for KeyPlan {
    /// Where keys come from, for people. Addresses are the operator's own, and hold no credentials.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            KeyPlace::Url(url) => write!(f, "{url}"),
            KeyPlace::Discovery { url, .. } => write!(f, "discovered at {url}"),
            KeyPlace::PemUrl(PemUrl(before)) => write!(f, "{before}{}", place_of_kid()),
            KeyPlace::File(path) => write!(f, "file {}", path.display()),
            KeyPlace::SecretFile(path) => write!(f, "secret file {}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::definition::{Mistakes, read};

    fn check(table: &Value, issuer: &str) -> Result<KeyPlan, String> {
        let mut mistakes = Mistakes::default();
        let raw = read(table, &mut mistakes);
        if let Some(mistake) = mistakes.iter().next() {
            return Err(format!("keys.{mistake}"));
        }
        let issuers = Some(issuer).filter(|issuer| !issuer.is_empty()).map(str::to_owned);
        KeyPlan::check(raw.expect("read"), &Vec::from_iter(issuers)).map_err(|mistake| mistake.to_string())
    }

    #[test]
    fn exactly_one_place_is_named() {
        for good in [
            json!({ "url": "https://issuer.example/keys" }),
            json!({ "url": "https://issuer.example/keys", "form": "pem-map" }),
            json!({ "discovery": true }),
            json!({ "url": "", "file": "/run/keys.json" }),
            json!({ "secret_file": "/run/secret" }),
            json!({ "pem_url": "https://keys.example/{{ token.kid }}" }),
            json!({ "url": "http://127.0.0.1:1/keys", "network": "private", "max_age": "1h", "refresh": "5m" }),
        ] {
            assert!(check(&good, "https://issuer.example/").is_ok(), "{good}");
        }
        for (bad, told) in [
            (json!({}), "keys: needs one of"),
            (json!({ "url": "https://a.example/", "file": "/x" }), "keys: has url and file"),
            (json!({ "url": "https://a.example/", "discovery": true }), "keys: has url and discovery"),
            (json!({ "url": "nonsense" }), "keys.url: \"nonsense\" is not an address"),
            (json!({ "file": "/x", "max_age": "1h" }), "keys.max_age: is for keys that are fetched"),
            (json!({ "file": "/x", "form": "jwks" }), "keys.form: is for keys.url"),
            (
                json!({ "url": "https://a.example/", "refresh": "1m" }),
                "keys.refresh: is \"1m\", write a span of time as text, from \"5m\" to \"1day\"",
            ),
            (
                json!({ "url": "https://a.example/", "max_age": "soon" }),
                "keys.max_age: is \"soon\", write a span of time as text, from \"5m\" to \"7days\"",
            ),
            (json!({ "uri": "https://a.example/" }), "keys.uri: unknown key"),
        ] {
            let error = check(&bad, "https://issuer.example").expect_err("refused");
            assert!(error.contains(told), "{bad}: {error}");
        }
    }

    /// T-23: addresses that hide another host, or lead inside, are mistakes of the configuration.
    #[test]
    fn addresses_must_be_plain_public_https() {
        for url in [
            "http://issuer.example/keys",
            "https://user:hunter2@issuer.example/keys",
            "https://issuer.example/keys#x",
            "https://127.0.0.1/keys",
            "https://169.254.169.254/keys",
            "https://localhost/keys",
            "file:///etc/passwd",
        ] {
            let error = check(&json!({ "url": url }), "").expect_err(url);
            assert!(error.starts_with("keys.url: ") && !error.contains("hunter2"), "{url}: {error}");
            let error = check(&json!({ "discovery": true }), url).expect_err(url);
            assert!(error.starts_with("jwt.issuer: ") && !error.contains("hunter2"), "{url}: {error}");
        }
        let error = check(&json!({ "discovery": true }), "").expect_err("no issuer");
        assert!(error.contains("needs jwt.issuer"), "{error}");
    }

    #[test]
    fn the_description_is_below_the_issuer() {
        for (issuer, url) in [
            ("https://a.example", "https://a.example/.well-known/openid-configuration"),
            ("https://a.example/", "https://a.example/.well-known/openid-configuration"),
            ("https://a.example/o/app/", "https://a.example/o/app/.well-known/openid-configuration"),
        ] {
            let plan = check(&json!({ "discovery": true }), issuer).expect(issuer);
            let KeyPlace::Discovery { issuer: own, url: found } = plan.place else { panic!("discovery") };
            assert_eq!((own.as_str(), found.as_str()), (issuer, url));
        }
    }

    /// T-20: nothing but a UUID gets into the address of a key.
    #[test]
    fn only_a_uuid_gets_into_an_address() {
        for bad in [
            "https://{{ token.kid }}.example/x",
            "https://a.example/{{ token.kid }}/x",
            "https://a.example/?k={{ token.kid }}",
            "https://{{ token.kid }}",
            "https://a.example/",
            "https://a.example/{kid}",
        ] {
            let error = check(&json!({ "pem_url": bad }), "").expect_err(bad);
            assert!(error.starts_with("keys.pem_url: "), "{bad}: {error}");
        }
        let plan = check(&json!({ "pem_url": "https://keys.example/{{ token.kid }}" }), "").expect("checked");
        let KeyPlace::PemUrl(url) = plan.place else { panic!("a PEM for each key") };
        let kid = "0123abcd-4567-89AB-cdef-0123456789ab";
        assert_eq!(url.of(kid).expect("an address").as_str(), format!("https://keys.example/{kid}"));
        let long = "0".repeat(10_240);
        for kid in ["", "../x", "%2e", "http://evil.example/", "0123abcd-4567-89AB-cdef-0123456789a/", "{kid}", &long] {
            assert_eq!(url.of(kid), None, "{kid}");
        }
    }
}

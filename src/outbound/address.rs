//! Which addresses a reader of public documents may connect to (T-23).
//!
//! A name is resolved once, what it must not lead to is taken away, and the connection goes to what is left: there is
//! no second look-up that could answer otherwise.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use url::{Host, Url};

/// Where a source of keys may be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reach {
    /// On the public internet, and nowhere else.
    #[default]
    Public,
    /// Inside as well: loopback, the cluster, the company. Never where machines keep their own credentials.
    Private,
}

/// The first 96 bits of `64:ff9b::/96`.
const TRANSLATED: u128 = 0x0064_ff9b << 64;

/// Ends of names that lead inside by convention.
const INSIDE: [&str; 6] = [".localhost", ".local", ".internal", ".svc", ".cluster.local", ".home.arpa"];

impl Reach {
    /// Whether a connection may go to this address.
    pub fn admits(self, address: IpAddr) -> bool {
        match address.to_canonical() {
            IpAddr::V4(v4) => self.admits_v4(v4),
            IpAddr::V6(v6) => match embedded(v6) {
                Some(v4) => self.admits_v4(v4),
                None => self.admits_v6(v6),
            },
        }
    }

    fn admits_v4(self, address: Ipv4Addr) -> bool {
        match self {
            Self::Public => is_public_v4(address), // T-23: public addresses
            Self::Private => !is_off_limits_v4(address),
        }
    }

    fn admits_v6(self, address: Ipv6Addr) -> bool {
        match self {
            Self::Public => is_public_v6(address),
            Self::Private => !is_off_limits_v6(address),
        }
    }

    /// Whether an address of a document is one to read from. `Err` is what to write instead, as the rest of a sentence.
    pub fn check(self, url: &Url) -> Result<(), &'static str> {
        let Some(host) = url.host() else { return Err("names no host") };
        if !url.username().is_empty() || url.password().is_some() {
            return Err("must not hold user or password");
        }
        // T-23: no fragment
        if url.fragment().is_some() {
            return Err("must not hold '#'");
        }
        match (url.scheme(), self) {
            ("https", _) => {}
            ("http", Self::Private) if is_inside(&host) => {}
            ("http", Self::Private) => return Err("must be https; http is for loopback, private addresses and names"),
            _ => return Err("must be https; http needs keys.network = \"private\" and a host inside"),
        }
        let literal = match host {
            Host::Ipv4(v4) => Some(IpAddr::V4(v4)),
            Host::Ipv6(v6) => Some(IpAddr::V6(v6)),
            Host::Domain(name) if self == Self::Public && is_loopback_name(name) => {
                return Err("leads inside; set keys.network = \"private\" if the keys are there");
            }
            Host::Domain(_) => None,
        };
        match (literal.is_none_or(|address| self.admits(address)), self) {
            (true, _) => Ok(()),
            (false, Self::Public) => Err("is no public address; set keys.network = \"private\" if the keys are inside"),
            (false, Self::Private) => Err("is an address that keys are never read from"),
        }
    }
}

fn is_loopback_name(name: &str) -> bool {
    let name = name.trim_end_matches('.');
    name == "localhost" || name.ends_with(".localhost")
}

/// Whether plain http to this host stays inside.
fn is_inside(host: &Host<&str>) -> bool {
    match host {
        Host::Ipv4(v4) => v4.is_loopback() || v4.is_private(),
        Host::Ipv6(v6) => v6.is_loopback() || v6.is_unique_local(),
        Host::Domain(name) => {
            let name = name.trim_end_matches('.');
            !name.contains('.') || INSIDE.iter().any(|end| name.ends_with(end))
        }
    }
}

/// The IPv4 address that a translator (RFC 6052, the well-known prefix) would connect to.
fn embedded(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let bits = address.to_bits();
    let last = u32::try_from(bits & u128::from(u32::MAX)).ok()?;
    (bits >> 32 == TRANSLATED).then(|| Ipv4Addr::from_bits(last))
}

/// RFC 6890 and its registry, the other way round: what is left is public.
fn is_public_v4(address: Ipv4Addr) -> bool {
    let special = matches!(
        address.octets(),
        // This network; private; loopback; multicast and reserved.
        [0 | 10 | 127 | 224..=255, ..] | [172, 16..=31, ..] | [192, 168, ..]
            // Carriers' own; protocol assignments and examples; 6to4 relays; benchmarks; more examples.
            | [100, 64..=127, ..] | [192, 0, 0 | 2, _] | [192, 88, 99, _]
            | [198, 18 | 19, ..] | [198, 51, 100, _] | [203, 0, 113, _]
    );
    !special && !is_off_limits_v4(address)
}

/// What holds credentials of machines, or no host at all.
fn is_off_limits_v4(address: Ipv4Addr) -> bool {
    // Link-local holds the metadata services; Azure and Alibaba have one elsewhere.
    // T-23: metadata services
    matches!(address.octets(), [0 | 224..=255, ..] | [169, 254, ..] | [168, 63, 129, 16] | [100, 100, 100, 200])
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    match address.segments() {
        // Protocol assignments with Teredo among them; examples; 6to4, which embeds an IPv4 address.
        [0x2001, 0..=0x1ff | 0xdb8, ..] | [0x2002, ..] | [0x3fff, 0..=0xfff, ..] => false,
        // Global unicast is this eighth of the space (RFC 4291, 2.4).
        [first, ..] => first & 0xe000 == 0x2000,
    }
}

fn is_off_limits_v6(address: Ipv6Addr) -> bool {
    match address.segments() {
        [0, 0, 0, 0, 0, 0, 0, 1] => false,
        // What AWS keeps for its own services, and the metadata services of Google and Oracle.
        [0xfd00, 0xec2, ..]
        | [0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254]
        | [0xfd00, 0xc1, 0, 0, 0, 0, 0xa9fe, 0xa9fe]
        // Unspecified and the old IPv4-compatible forms; 6to4.
        | [0, 0, 0, 0, 0, 0, ..]
        | [0x2002, ..] => true,
        // Link-local and multicast.
        [first, ..] => first & 0xffc0 == 0xfe80 || first & 0xff00 == 0xff00,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdicts(address: &str) -> (bool, bool) {
        let address = address.parse().expect(address);
        (Reach::Public.admits(address), Reach::Private.admits(address))
    }

    /// T-23: every form of an address that leads inside is known as such.
    #[test]
    fn only_public_addresses_are_public() {
        for address in ["8.8.8.8", "1.1.1.1", "172.32.0.1", "100.128.0.1", "2606:4700::1111", "2a00:1450::1"] {
            assert_eq!(verdicts(address), (true, true), "{address}");
        }
        for address in [
            "10.0.0.1",
            "127.0.0.1",
            "127.255.0.1",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.1.1",
            "100.64.0.1",
            "::1",
            "fd12:3456::1",
            "192.0.2.1",
            "198.18.0.1",
            "198.51.100.1",
            "203.0.113.1",
            "2001:db8::1",
            "::ffff:10.0.0.1",
            "::ffff:127.0.0.1",
            "64:ff9b::10.0.0.1",
            "64:ff9b::7f00:1",
            "2001::1",
            "64:ff9b:1::1",
            "4000::1",
        ] {
            assert_eq!(verdicts(address), (false, true), "{address}");
        }
        assert_eq!(verdicts("64:ff9b::8.8.8.8"), (true, true), "an IPv4 host behind a translator");
    }

    /// T-23: addresses where machines keep their credentials are never called, whatever is configured.
    #[test]
    fn metadata_services_are_never_read() {
        for address in [
            "169.254.169.254",
            "169.254.170.2",
            "::ffff:169.254.169.254",
            "64:ff9b::169.254.169.254",
            "fe80::1",
            "fd00:ec2::254",
            "fd00:ec2::23",
            "fd20:ce::254",
            "fd00:c1::a9fe:a9fe",
            "100.100.100.200",
            "168.63.129.16",
            "0.0.0.0",
            "::",
            "255.255.255.255",
            "224.0.0.1",
            "ff02::1",
            "::169.254.169.254",
            "2002:a9fe:a9fe::1",
            "::ffff:0.0.0.0",
        ] {
            assert_eq!(verdicts(address), (false, false), "{address}");
        }
    }

    /// T-23: addresses of documents, as written.
    #[test]
    fn addresses_of_documents_are_plain_and_safe() {
        for (url, public, private) in [
            ("https://issuer.example/keys", true, true),
            ("https://issuer.example:8443/keys?x=1", true, true),
            ("https://8.8.8.8/keys", true, true),
            ("http://issuer.example/keys", false, false),
            ("http://127.0.0.1:1/keys", false, true),
            ("http://0x7f.1/keys", false, true),
            ("http://2130706433/keys", false, true),
            ("http://[::1]/keys", false, true),
            ("http://[::ffff:169.254.169.254]/keys", false, false),
            ("http://keycloak.default.svc/keys", false, true),
            ("http://keycloak/keys", false, true),
            ("https://localhost/keys", false, true),
            ("https://10.0.0.1/keys", false, true),
            ("https://169.254.169.254/latest/meta-data", false, false),
            ("https://0xa9fea9fe/", false, false),
            ("https://[fd00:ec2::254]/", false, false),
            ("https://user@issuer.example/keys", false, false),
            ("https://issuer.example@169.254.169.254/", false, false),
            ("https://:x@issuer.example/keys", false, false),
            ("https://issuer.example/keys#x", false, false),
            ("file:///etc/passwd", false, false),
            ("ftp://issuer.example/keys", false, false),
        ] {
            let parsed: Url = url.parse().expect(url);
            assert_eq!(Reach::Public.check(&parsed).is_ok(), public, "{url}");
            assert_eq!(Reach::Private.check(&parsed).is_ok(), private, "{url}");
        }
    }
}

//! Checks the `[identity]` section. What sources are is checked by the identity room.

use std::path::PathBuf;
use std::time::Duration;

use http::HeaderName;
use ipnet::IpNet;

use super::Check;
use crate::config::{Caller, CallerToken, Identity, Peers, Users, raw};
use crate::definition::{Key, Mistake};

/// Where none is configured.
const LEEWAY: Duration = Duration::from_secs(30);
/// What a network means that is wider than one's own.
const TOO_WIDE: &str = "all in it could name any user; list the proxy's own, or say so with \
                        identity.peers.insecure_trust_every_peer = true";

impl Check<'_> {
    pub(super) fn identity(&mut self) -> Identity {
        let raw: raw::Identity = self.layers.section("identity", self.errors);
        let peers = self.peers(&"identity.peers".into(), raw.peers, TOO_WIDE);
        let mut callers = std::collections::BTreeMap::new();
        for (name, caller) in raw.callers {
            let key = Key::from("identity.callers").below(&name);
            let (proof, token, routes) = caller.into_parts();
            let token = token.map(|token| CallerToken { source: token.source, subjects: token.subjects });
            let caller = Caller { proof: self.peers(&key, proof, TOO_WIDE), token, routes };
            callers.insert(name, caller);
        }
        for (role, groups) in &raw.roles {
            if groups.is_empty() {
                self.refuse(Key::from("identity.roles").below(role), "names no group; write those that have the role");
            }
        }
        Identity {
            source: raw.source.map(|source| source.0).unwrap_or_default(),
            leeway: raw.leeway.map_or(LEEWAY, |leeway| leeway.0),
            sources: raw.sources,
            peers,
            callers,
            users: Users {
                allow: raw.users.allow,
                allow_groups: raw.users.allow_groups,
                deny: raw.users.deny,
                deny_file: raw.users.deny_file.map(PathBuf::from),
            },
            roles: raw.roles,
            origin: self.layers.origin("identity"),
        }
    }

    /// `too_wide` is what to do about a network that is wider than one's own.
    pub(super) fn peers(&mut self, key: &Key, raw: raw::Peers, too_wide: &str) -> Peers {
        let networks_key = key.below("networks");
        let mut networks = Vec::new();
        for text in &raw.networks {
            match network(text) {
                // T-02: too wide a network
                Ok(net) if is_too_wide(&net) && !raw.insecure_trust_every_peer => self.refuse(
                    &networks_key,
                    format!("\"{text}\" is wider than any network of one's own, and {too_wide}"),
                ),
                Ok(net) => networks.push(net),
                Err(mistake) => self.refuse(&networks_key, mistake.problem),
            }
        }
        let secret_header = raw.secret_header.and_then(|text| {
            let header = HeaderName::from_bytes(text.as_bytes()).ok();
            if header.is_none() {
                self.refuse(key.below("secret_header"), format!("\"{text}\" is not a header name"));
            }
            header
        });
        Peers {
            networks,
            unix_uids: raw.unix_uids,
            certificates: raw.certificates,
            xfcc: raw.xfcc,
            linkerd: raw.linkerd,
            hmac_key_files: raw.hmac_key_files.into_iter().map(PathBuf::from).collect(),
            secret_files: raw.secret_files.into_iter().map(PathBuf::from).collect(),
            secret_header,
            insecure_trust_every_peer: raw.insecure_trust_every_peer,
        }
    }
}

/// Whether a network is wider than the widest private ones (`10.0.0.0/8`, RFC 1918; `fc00::/7`, RFC 4193): two halves of
/// the internet, or four quarters, hold every address as well (T-02).
fn is_too_wide(net: &IpNet) -> bool {
    net.prefix_len() < if net.addr().is_ipv4() { 8 } else { 7 }
}

/// A network in canonical form. Mapped addresses, host bits and zones are refused: each has fooled a trust check
/// somewhere (threats T-10), and the canonical spelling says the same.
pub(crate) fn network(text: &str) -> Result<IpNet, Mistake> {
    // The standard library's parser refuses leading zeros and zones; the network crate's own does not.
    let (address, length) = match text.split_once('/') {
        Some((address, length)) => (address, Some(length)),
        None => (text, None),
    };
    let parsed = address.parse::<std::net::IpAddr>().ok().and_then(|address| match length {
        None => Some(IpNet::from(address)),
        Some(digits) => {
            let length: u8 = digits.parse().ok()?;
            (length.to_string() == digits).then(|| IpNet::new(address, length).ok()).flatten()
        }
    });
    let Some(net) = parsed else {
        return Err(format!("\"{text}\" is not a network; write it like \"10.20.0.0/16\" or \"fd00::/8\"").into());
    };
    // T-10: mapped network
    if let IpNet::V6(v6) = net
        && v6.addr().to_ipv4_mapped().is_some()
    {
        return Err(format!("\"{text}\" is an IPv4-mapped network; write the IPv4 network itself").into());
    }
    if net.addr() != net.network() {
        return Err(format!("\"{text}\" has host bits set; write \"{}\"", net.trunc()).into());
    }
    Ok(net)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_must_be_canonical() {
        for good in ["10.0.0.0/8", "127.0.0.1", "::1/128", "fd00::/8", "192.0.2.7/32"] {
            assert!(network(good).is_ok(), "{good}");
        }
        for bad in [
            "::ffff:10.0.0.0/104",
            "::ffff:0:0/96",
            "10.0.0.1/8",
            "010.0.0.0/8",
            "fe80::1%eth0/64",
            "10.0.0.0/33",
            "*",
            "",
            "ten",
        ] {
            assert!(network(bad).is_err(), "{bad}");
        }
    }
}

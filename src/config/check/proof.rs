//! Checks what proves a peer, as far as that can be done without reading a file: each value has the shape of its kind,
//! and each kind can hold on the listener as it is.

use std::collections::BTreeSet;

use super::Check;
use crate::config::{Grpc, Identity, Listen, Peers, Route, Server, Tls};
use crate::definition::{Key, did_you_mean};

/// Callers at most: each has a bit of what a connection proves.
const MAX_CALLERS: usize = 63;

/// Where peers connect to.
pub(super) struct Place<'p> {
    /// Name of the section with its `tls`.
    pub(super) section: &'static str,
    pub(super) tls: Option<&'p Tls>,
    pub(super) listens: &'p [&'p Listen],
}

impl Check<'_> {
    pub(super) fn proofs(&mut self, identity: &Identity, server: &Server, grpc: Option<&Grpc>, routes: &[Route]) {
        let listens: Vec<&Listen> = [&server.listen].into_iter().chain(grpc.map(|grpc| &grpc.listen)).collect();
        let place = Place { section: "server", tls: server.tls.as_ref(), listens: &listens };
        self.proof(&"identity.peers".into(), &identity.peers, &place);
        if identity.callers.len() > MAX_CALLERS {
            self.refuse("identity.callers", format!("has more than {MAX_CALLERS} callers"));
        }
        let names: BTreeSet<String> = routes.iter().map(Route::name).collect();
        for (name, caller) in &identity.callers {
            let key = Key::from("identity.callers").below(name);
            self.proof(&key, &caller.proof, &place);
            if caller.proof.is_empty() && caller.token.is_none() {
                self.refuse(
                    &key,
                    "has nothing that proves it, so every peer would be it; add certificates, a token or another proof",
                );
            }
            if caller.token.as_ref().is_some_and(|token| token.subjects.is_empty()) {
                self.refuse(
                    key.below("token").below("subjects"),
                    "is empty, so no token would do; list the caller's own subjects",
                );
            }
            for name in caller.routes.iter().filter(|name| !names.contains(*name)) {
                let known = names.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
                let meant = did_you_mean(name, &names);
                self.refuse(key.below("routes"), format!("no route \"{name}\"; configured: {known}{meant}"));
            }
        }
    }

    pub(super) fn proof(&mut self, key: &Key, peers: &Peers, place: &Place<'_>) {
        for name in peers.certificates.iter().filter(|name| !is_certificate_name(name)) {
            self.refuse(key.below("certificates"),
                format!("\"{name}\" is no name of a certificate; write \"spiffe://…\" or \"dns:NAME\", in lower case and whole"),
            );
        }
        if !peers.certificates.is_empty() && place.tls.is_none_or(|tls| tls.client_ca_file.is_none()) {
            let problem = "tls.client_ca_file: without it clients are asked for no certificate";
            self.refuse(key.below("certificates"), format!("needs {}.{problem}", place.section));
        }
        for uri in peers.xfcc.iter().filter(|uri| !is_uri(uri)) {
            self.refuse(
                key.below("xfcc"),
                format!("\"{uri}\" is not a URI; write \"spiffe://TRUST-DOMAIN/ns/…/sa/…\""),
            );
        }
        for name in peers.linkerd.iter().filter(|name| !is_host(name)) {
            self.refuse(key.below("linkerd"),
                format!("\"{name}\" is not an identity of Linkerd; write \"ACCOUNT.NAMESPACE.serviceaccount.identity.linkerd.cluster.local\""),
            );
        }
        for (kind, names) in [("xfcc", &peers.xfcc), ("linkerd", &peers.linkerd)] {
            // On each listener: what one proves by where it is, another does not.
            // T-01: peers of the mesh
            if !names.is_empty() && !place.listens.iter().all(|listen| is_own_proxy(peers, listen)) {
                self.refuse(key.below(kind),
                    format!(
                        "is a header, and only our own sidecar proxy's word counts; set {key}.networks to loopback, or to the \
                         pod's own address as a whole"
                    ),
                );
            }
        }
        if let Some(header) = &peers.secret_header {
            let header_key = key.below("secret_header");
            if peers.secret_files.is_empty() {
                self.refuse(&header_key, format!("needs {key}.secret_files: the secrets that it may hold"));
            }
            if header.as_str().contains(['_', '.']) {
                self.refuse(
                    &header_key,
                    format!("\"{header}\" must not hold '_' or '.'; proxies treat those unlike '-'"),
                );
            }
        }
    }
}

/// Whether only processes of this machine could be believed: a header of the mesh is as good as who wrote it. A
/// pod's own address is one address, known to the platform when the pod starts.
fn is_own_proxy(peers: &Peers, listen: &Listen) -> bool {
    match listen {
        Listen::Unix(_) => true,
        Listen::Tcp(_) => {
            let own = |net: &ipnet::IpNet| net.addr().is_loopback() || net.prefix_len() == net.max_prefix_len();
            !peers.networks.is_empty() && peers.networks.iter().all(own)
        }
    }
}

fn is_certificate_name(name: &str) -> bool {
    name.strip_prefix("dns:").map_or_else(|| is_uri(name), is_host)
}

fn is_uri(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'*' | b',' | b';' | b'"');
    text.bytes().all(plain) && url::Url::parse(text).is_ok_and(|url| url.has_host()) && text.contains("://")
}

fn is_host(text: &str) -> bool {
    let label = |label: &str| {
        !label.is_empty()
            && label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'_'))
    };
    text.split('.').all(label)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_certificates_are_whole() {
        for good in ["spiffe://corp/ns/shop/sa/web", "https://web.corp/id", "dns:web.corp", "dns:localhost"] {
            assert!(is_certificate_name(good), "{good}");
        }
        for bad in
            ["", "web.corp", "CN=web", "dns:", "dns:*.corp", "dns:Web.corp", "dns:a..b", "spiffe://*/x", "spiffe:", "*"]
        {
            assert!(!is_certificate_name(bad), "{bad}");
        }
    }
}

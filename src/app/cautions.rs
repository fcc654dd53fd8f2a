//! The warnings that `sidemint check` prints and the log holds at start.

use super::Blueprint;
use crate::config::{Identity, Listen, Peers};
use crate::provider::{Gateway, Provider};

impl Blueprint {
    /// One sentence each. Those of providers are with them.
    pub(super) fn cautions(&self) -> Vec<String> {
        let mut told = self.stray_variables.clone();
        told.extend(self.config.outbound.cautions.iter().cloned());
        if self.config.identity.peers.insecure_trust_every_peer {
            told.push(
                "INSECURE: identity.peers.insecure_trust_every_peer is set; every client that reaches this port can be any user"
                    .to_owned(),
            );
        }
        told.extend(self.no_peer_is_trusted());
        if self.rooms.sources.peers().is_position_only() {
            told.push(
                "identity headers are trusted by network address alone; any process in those networks can name any user"
                    .to_owned(),
            );
        }
        let callers = self.config.gateway.iter().flat_map(|gateway| &gateway.callers);
        for (name, _) in callers.filter(|(_, caller)| caller.is_known_by_network_alone()) {
            told.push(format!(
                "the gateway's caller {name} is known by its address alone; every process of this machine can call as it, so \
                 give it key_files"
            ));
        }
        told.extend(self.shares().caution);
        told.extend(self.tls.values().filter_map(|tls| tls.caution()));
        if self.rooms.sources.has_body_by_position() {
            told.push(
                "a body may name any user, and peers are proven by network address alone; no browser and no proxy for \
                 browsers may reach that route"
                    .to_owned(),
            );
        }
        told
    }

    /// Every route answers 403 to every client: the one mistake that looks like a good configuration.
    fn no_peer_is_trusted(&self) -> Option<String> {
        if self.rooms.plans.is_empty() || self.rooms.sources.is_empty() {
            return None;
        }
        let config = &self.config;
        let listens = || [&config.server.listen].into_iter().chain(config.grpc.as_ref().map(|grpc| &grpc.listen));
        let peers = self.rooms.sources.peers();
        if !listens().any(|listen| peers.can_hold(listen)) {
            return Some(
                "no peer is trusted, so every identity route answers 403; set identity.peers.networks to the addresses of \
                 your proxy, or another proof of identity.peers"
                    .to_owned(),
            );
        }
        if listens().any(|listen| is_in_reach(&config.identity, listen)) {
            return None;
        }
        let listen = &config.server.listen;
        let networks = config.identity.peers.networks.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        Some(format!(
            "no peer in identity.peers.networks ({networks}) can connect to server.listen ({listen}), so every identity route \
             answers 403; listen where your proxy connects to, such as \"0.0.0.0:8080\", or trust the addresses that can \
             connect, such as \"127.0.0.0/8\""
        ))
    }

    /// The same with those of providers, of their calls and of webhooks, each behind its name.
    pub(super) fn all_cautions(&self) -> Vec<String> {
        let mut told = self.cautions();
        for provider in self.rooms.providers.values() {
            told.extend(of_provider(provider).map(|caution| format!("provider {}: {caution}", provider.name())));
        }
        for (name, gateway) in &self.rooms.gateways {
            told.extend(gateway.cautions().iter().map(|caution| format!("calls to provider {name}: {caution}")));
        }
        for webhook in &self.webhooks {
            let name = &webhook.config().name;
            told.extend(webhook.cautions().iter().map(|caution| format!("webhook {name}: {caution}")));
        }
        told
    }

    /// Tells all of it to the log, and where each secret comes from.
    pub(super) fn warn(&self) {
        let peers = &self.config.identity.peers;
        // T-02: insecure peers shown
        self.metrics.identity.insecure_peers().set(i64::from(peers.insecure_trust_every_peer));
        for caution in self.cautions() {
            tracing::warn!("{caution}");
        }
        for provider in self.rooms.providers.values() {
            warn_of(provider);
        }
        for (name, gateway) in &self.rooms.gateways {
            warn_of_calls(name, gateway, !self.rooms.providers.contains_key(name));
        }
        for webhook in &self.webhooks {
            let name = &*webhook.config().name;
            for (secret, place) in webhook.secret_places() {
                tracing::info!(webhook = name, secret, "comes from {place}");
            }
            for caution in webhook.cautions() {
                tracing::warn!(webhook = name, "{caution}");
            }
        }
    }
}

/// Whether a peer that may name users can connect to `listen`.
fn is_in_reach(identity: &Identity, listen: &Listen) -> bool {
    let by_position = |peers: &Peers| !peers.is_empty() && peers.can_reach(listen);
    let caller = |proof: &Peers, has_token: bool| by_position(proof) || proof.is_empty() && has_token;
    by_position(&identity.peers) || identity.callers.values().any(|own| caller(&own.proof, own.token.is_some()))
}

/// The secrets are told once, where the provider makes tokens as well.
fn warn_of_calls(provider: &str, gateway: &Gateway, is_alone: bool) {
    for (secret, place) in gateway.secret_places().filter(|_| is_alone) {
        tracing::info!(provider, secret, "comes from {place}");
    }
    for caution in gateway.cautions() {
        tracing::warn!(provider, "{caution}");
    }
}

pub(super) fn warn_of(provider: &Provider) {
    for (secret, place) in provider.secret_places() {
        tracing::info!(provider = provider.name(), secret, "comes from {place}");
    }
    for caution in of_provider(provider) {
        tracing::warn!(provider = provider.name(), "{caution}");
    }
}

fn of_provider(provider: &Provider) -> impl Iterator<Item = &str> {
    let made = "NO SIGNING KEY CONFIGURED: one was made for this run, and tokens will not verify after a restart; set key_file";
    provider.cautions().iter().map(String::as_str).chain(provider.has_made_key().then_some(made))
}

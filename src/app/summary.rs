//! What a blueprint would serve, for people: the output of `sidemint check`.

use std::fmt;

use super::Blueprint;
use super::teams::Teams;
use crate::config::{self, ActsAs, ClientCertificates, Listen, QueuePlace, WebhookMode};
use crate::inbound::{Recent, StatusPage};
use crate::lifecycle::Lifecycle;
use crate::session::Plan;

/// Logs what is served where, one line for each route.
pub(super) fn log_routes(blueprint: &Blueprint, front: &Listen) {
    for Plan { route, .. } in blueprint.plans().iter().map(AsRef::as_ref) {
        let host = route.host.as_ref().map(ToString::to_string);
        let sources = route.sources.as_deref().unwrap_or(blueprint.rooms.sources.default_names()).join(", ");
        let (path, answer, provider) = (route.path.as_str(), route.kind.label(), route.provider.as_str());
        tracing::info!(path, host, answer, provider, sources, listener = %front, "route");
    }
}

/// What the status page is made from, where there is one.
pub(super) fn page(blueprint: &Blueprint, lifecycle: &Lifecycle) -> Option<StatusPage> {
    blueprint.config.ops.status.then(|| StatusPage {
        allow_hosts: blueprint.config.ops.allow_hosts.clone(),
        recent: Recent::start(&blueprint.metrics, &blueprint.clock, lifecycle),
        tier: blueprint.tier.shared.clone(),
        cautions: blueprint.all_cautions(),
    })
}

impl Blueprint {
    fn tell_webhooks(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(webhooks) = &self.config.webhooks else { return Ok(()) };
        for webhook in &self.webhooks {
            let own = webhook.config();
            let mode = match own.mode {
                WebhookMode::Store => "stored",
                WebhookMode::Through { relay: false } => "put through",
                WebhookMode::Through { relay: true } => "put through, with the answer",
            };
            let fallback = own.fallback.as_ref().map(|url| format!(", else {}", shown(url))).unwrap_or_default();
            let (path, provider) = (own.path(), &own.provider);
            writeln!(
                f,
                "webhook         {path}: provider {provider}, {mode}, delivered to {}{fallback}",
                shown(&own.to)
            )?;
            for (secret, place) in webhook.secret_places() {
                writeln!(f, "secret          {}: {secret} from {place}", own.name)?;
            }
            for caution in webhook.cautions() {
                writeln!(f, "warning         {}: {caution}", own.name)?;
            }
        }
        if let Some(config::Queue { place, max_events, max_bytes, key_file, .. }) = &webhooks.queue {
            let sealed = key_file.as_ref().map_or("", |_| ", encrypted");
            let place = match place {
                QueuePlace::Folder { dir, .. } => dir.display().to_string(),
                QueuePlace::Redis(own) => {
                    let urls: Vec<&str> = own.server.urls.iter().map(url::Url::as_str).collect();
                    format!("{} at {}", own.fleet, urls.join(", "))
                }
            };
            writeln!(f, "queue           {place}: {max_events} events, {max_bytes} bytes{sealed}")?;
        }
        Ok(())
    }

    fn tell_gateway(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Some(gateway), Some(config)) = (&self.gateway, &self.config.gateway) else { return Ok(()) };
        let tls = config.tls.as_ref().map_or("", |_| ", TLS");
        writeln!(f, "gateway         {}{tls}", config.listen)?;
        for mount in gateway.mounts() {
            let at = mount.listen().map(|listen| format!(" and {listen}")).unwrap_or_default();
            writeln!(f, "mount           {}: /gateway/{}/{at}", mount.name(), mount.name())?;
        }
        for caller in gateway.callers().iter() {
            let (name, acts_as) = (
                caller.name(),
                match caller.acts_as() {
                    ActsAs::None => "",
                    ActsAs::Any => ", acts as any user",
                    ActsAs::Proven => ", acts as users whose assertion comes along",
                },
            );
            let proven = config.callers.get(name).map(proofs).unwrap_or_default();
            writeln!(f, "caller          {name}: {proven}{acts_as}")?;
            for (mount, grants) in caller.all_grants() {
                for grant in grants.iter() {
                    writeln!(f, "grant           {name} on {mount}: {grant}")?;
                }
            }
        }
        Ok(())
    }

    /// Where calls for applications go, and what only they need.
    fn tell_gateways(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, gateway) in &self.rooms.gateways {
            let base = gateway.base().as_str().trim_end_matches('/');
            writeln!(f, "calls of        {name}: preset {}, at {base}", gateway.preset())?;
            let secrets = gateway.secret_places().filter(|_| !self.rooms.providers.contains_key(name));
            for (secret, place) in secrets {
                writeln!(f, "secret          {name}: {secret} from {place}")?;
            }
            for caution in gateway.cautions() {
                writeln!(f, "warning         {name}: {caution}")?;
            }
        }
        Ok(())
    }

    fn outbound(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let outbound = &self.config().outbound;
        for (kind, proxy) in [("https", &outbound.https_proxy), ("http", &outbound.http_proxy)] {
            if let Some(proxy) = proxy {
                writeln!(f, "outbound {kind:<6} through {}", proxy.url.as_str().trim_end_matches('/'))?;
            }
        }
        if let Some(file) = &outbound.ca_file {
            writeln!(f, "outbound        trusts {} beside the system's authorities", file.display())?;
        }
        Ok(())
    }
}

impl fmt::Display for Blueprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let config = self.config();
        let tls = about(config.server.tls.as_ref());
        writeln!(f, "front listener  {}{tls}", config.server.listen)?;
        if let Some(grpc) = &config.grpc {
            writeln!(f, "grpc listener   {}{tls}, answered by {}", grpc.listen, grpc.route)?;
        }
        writeln!(f, "ops listener    {}", config.ops.listen)?;
        if let Some(webhooks) = &config.webhooks {
            writeln!(f, "webhooks        {}{}", webhooks.server.listen, about(webhooks.server.tls.as_ref()))?;
        }
        let sources = match self.rooms.sources.default_names() {
            [] => "none: identity routes answer 403".to_owned(),
            names => names.join(", "),
        };
        writeln!(f, "identity        {sources}")?;
        for (source, place) in self.rooms.sources.key_places() {
            writeln!(f, "keys of         {source}: {place}")?;
        }
        let told_by: Vec<_> = self.rooms.sources.peers().describe().collect();
        if told_by.is_empty() {
            writeln!(f, "told by         no source: identity routes answer 403")?;
        }
        for proof in told_by {
            writeln!(f, "told by         {proof}")?;
        }
        self.outbound(f)?;
        for Plan { route, ttl, .. } in self.plans().iter().map(AsRef::as_ref) {
            let kind = route.kind.label();
            let host = route.host.as_ref().map(|host| format!(" on {host}")).unwrap_or_default();
            let ttl = humantime::format_duration(*ttl);
            writeln!(f, "route           {}{host}: {kind}, provider {}, lifetime {ttl}", route.path, route.provider)?;
        }
        for team in self.teams.iter().flat_map(Teams::describe) {
            writeln!(f, "team            {team}")?;
        }
        self.tell_webhooks(f)?;
        self.tell_gateway(f)?;
        for (name, provider) in &self.rooms.providers {
            write!(f, "provider        {name}: preset {}, apiUrl {}", provider.preset(), provider.api_url())?;
            if let Some((alg, kid)) = provider.signs_with() {
                let made = if provider.has_made_key() { ", made at start" } else { "" };
                write!(
                    f,
                    ", signs with {}{}{}",
                    alg.name(),
                    made,
                    kid.map(|kid| format!(" (kid {kid})")).unwrap_or_default()
                )?;
            }
            writeln!(f)?;
            for (secret, place) in provider.secret_places() {
                writeln!(f, "secret          {name}: {secret} from {place}")?;
            }
            for caution in provider.cautions() {
                writeln!(f, "warning         {name}: {caution}")?;
            }
        }
        self.tell_gateways(f)?;
        for caution in self.cautions() {
            writeln!(f, "warning         {caution}")?;
        }
        Ok(())
    }
}

/// What proves a caller.
fn proofs(caller: &config::GatewayCaller) -> String {
    let config::Peers { networks, unix_uids, certificates, xfcc, linkerd, hmac_key_files, secret_files, .. } =
        &caller.proof;
    let counted = |what: &str, n: usize| match n {
        0 => None,
        1 => Some(what.to_owned()),
        n => Some(format!("{what} (one of {n})")),
    };
    let listed = |what: &str, all: Vec<String>| (!all.is_empty()).then(|| format!("{what}{}", all.join(" or ")));
    let texts = |all: &[String]| all.to_vec();
    let all = [
        counted("key", caller.key_files.len()),
        listed("", networks.iter().map(ToString::to_string).collect()),
        listed("uid ", unix_uids.iter().map(ToString::to_string).collect()),
        listed("certificate of ", texts(certificates)),
        listed("workload ", [texts(xfcc), texts(linkerd)].concat()),
        counted("signed request", hmac_key_files.len()),
        counted("secret", secret_files.len()),
    ];
    all.into_iter().flatten().collect::<Vec<_>>().join(" + ")
}

/// An address without its query, in which an operator may have put a secret.
/// What a listener speaks beside HTTP.
fn about(tls: Option<&config::Tls>) -> &'static str {
    tls.map_or("", |tls| match (&tls.client_ca_file, tls.client_certificates) {
        (None, _) => ", TLS",
        (Some(_), ClientCertificates::Required) => ", TLS with client certificates",
        (Some(_), ClientCertificates::Optional) => ", TLS with client certificates if shown",
    })
}

fn shown(url: &url::Url) -> String {
    let mut url = url.clone();
    url.set_query(None);
    url.to_string()
}

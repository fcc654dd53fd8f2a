//! What a blueprint would serve, for people: the output of `sidemint check`.

use std::fmt;

use super::Blueprint;
use crate::config::{self, ClientCertificates, Listen, Mode, RouteKind, WebhookMode};
use crate::session::Plan;

/// Logs what is served where, one line for each route.
pub(super) fn log_routes(blueprint: &Blueprint, front: &Listen) {
    for Plan { route, .. } in blueprint.plans().iter().map(AsRef::as_ref) {
        let host = route.host.as_ref().map(ToString::to_string);
        let sources = route.sources.as_deref().unwrap_or(blueprint.sources.default_names()).join(", ");
        let (path, answer, provider) = (route.path.as_str(), label(route.kind), route.provider.as_str());
        tracing::info!(path, host, answer, provider, sources, listener = %front, "route");
    }
}

fn label(kind: RouteKind) -> &'static str {
    match kind {
        RouteKind::Session => "session",
        RouteKind::Client => "client",
        RouteKind::Subrequest(Mode::Optional) => "subrequest, optional",
        RouteKind::Subrequest(Mode::Required) => "subrequest, required",
    }
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
        if let Some(config::Queue { dir, max_events, max_bytes, key_file, .. }) = &webhooks.queue {
            let sealed = key_file.as_ref().map_or("", |_| ", encrypted");
            writeln!(f, "queue           {}: {max_events} events, {max_bytes} bytes{sealed}", dir.display())?;
        }
        Ok(())
    }

    /// Where calls for applications go, and what only they need.
    fn tell_gateways(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, gateway) in &self.gateways {
            let base = gateway.base().as_str().trim_end_matches('/');
            writeln!(f, "calls of        {name}: preset {}, at {base}", gateway.preset())?;
            let secrets = gateway.secret_places().filter(|_| !self.providers.contains_key(name));
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
        writeln!(f, "ops listener    {}", config.ops)?;
        if let Some(webhooks) = &config.webhooks {
            writeln!(f, "webhooks        {}{}", webhooks.server.listen, about(webhooks.server.tls.as_ref()))?;
        }
        let sources = match self.sources.default_names() {
            [] => "none: identity routes answer 403".to_owned(),
            names => names.join(", "),
        };
        writeln!(f, "identity        {sources}")?;
        for (source, place) in self.sources.key_places() {
            writeln!(f, "keys of         {source}: {place}")?;
        }
        let told_by: Vec<_> = self.sources.peers().describe().collect();
        if told_by.is_empty() {
            writeln!(f, "told by         no source: identity routes answer 403")?;
        }
        for proof in told_by {
            writeln!(f, "told by         {proof}")?;
        }
        self.outbound(f)?;
        for Plan { route, ttl, .. } in self.plans().iter().map(AsRef::as_ref) {
            let kind = label(route.kind);
            let host = route.host.as_ref().map(|host| format!(" on {host}")).unwrap_or_default();
            let ttl = humantime::format_duration(*ttl);
            writeln!(f, "route           {}{host}: {kind}, provider {}, lifetime {ttl}", route.path, route.provider)?;
        }
        self.tell_webhooks(f)?;
        for (name, provider) in &self.providers {
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

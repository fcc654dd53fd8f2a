//! What a blueprint would serve, for people: the output of `sidemint check`.

use std::fmt;

use super::Blueprint;
use crate::config::{Answer, Mode};

impl fmt::Display for Blueprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let config = self.config();
        writeln!(f, "front listener  {}", config.server.listen)?;
        writeln!(f, "ops listener    {}", config.ops)?;
        let sources = match self.sources.default_names() {
            [] => "none: identity routes answer 403".to_owned(),
            names => names.join(", "),
        };
        writeln!(f, "identity        {sources}")?;
        for (source, place) in self.sources.key_places() {
            writeln!(f, "keys of         {source}: {place}")?;
        }
        let networks: Vec<_> = config.identity.peers.networks.iter().map(ToString::to_string).collect();
        let uids: Vec<_> = config.identity.peers.unix_uids.iter().map(|uid| format!("uid {uid}")).collect();
        let peers = [networks, uids].concat();
        let peers = if peers.is_empty() { "nobody: identity routes answer 403".to_owned() } else { peers.join(", ") };
        writeln!(f, "told by         {peers}")?;
        for (route, plan) in config.routes.iter().zip(self.plans()) {
            let kind = match (route.answer, route.mode) {
                (Answer::Session, _) => "session",
                (Answer::LiveKit, _) => "livekit",
                (Answer::Subrequest, Mode::Optional) => "subrequest, optional",
                (Answer::Subrequest, Mode::Required) => "subrequest, required",
            };
            let host = route.host.as_ref().map(|host| format!(" on {host}")).unwrap_or_default();
            let ttl = humantime::format_duration(plan.ttl);
            writeln!(f, "route           {}{host}: {kind}, provider {}, lifetime {ttl}", route.path, route.provider)?;
        }
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
            for caution in provider.cautions() {
                writeln!(f, "warning         {name}: {caution}")?;
            }
        }
        Ok(())
    }
}

//! The definitions that ship with the binary.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::definition::{Mistakes, Setting, read};

/// The definitions that ship with the binary: name and text.
pub const PRESETS: &[(&str, &str)] = &[
    ("plain", include_str!("presets/plain.toml")),
    ("oauth2-proxy", include_str!("presets/oauth2-proxy.toml")),
    ("oauth2-proxy-subrequest", include_str!("presets/oauth2-proxy-subrequest.toml")),
    ("authelia", include_str!("presets/authelia.toml")),
    ("authentik", include_str!("presets/authentik.toml")),
    ("gatekeeper", include_str!("presets/gatekeeper.toml")),
    ("oathkeeper", include_str!("presets/oathkeeper.toml")),
    ("pomerium-claims", include_str!("presets/pomerium-claims.toml")),
    ("tailscale", include_str!("presets/tailscale.toml")),
    ("azure-easy-auth", include_str!("presets/azure-easy-auth.toml")),
    ("envoy-payload", include_str!("presets/envoy-payload.toml")),
    ("envoy-claims", include_str!("presets/envoy-claims.toml")),
    ("envoy-metadata", include_str!("presets/envoy-metadata.toml")),
    ("envoy-principal", include_str!("presets/envoy-principal.toml")),
    ("kubernetes-front-proxy", include_str!("presets/kubernetes-front-proxy.toml")),
    ("mod-auth-openidc", include_str!("presets/mod-auth-openidc.toml")),
    ("traefik", include_str!("presets/traefik.toml")),
    ("oidc", include_str!("presets/oidc.toml")),
    ("pomerium", include_str!("presets/pomerium.toml")),
    ("cloudflare-access", include_str!("presets/cloudflare-access.toml")),
    ("google-iap", include_str!("presets/google-iap.toml")),
    ("aws-alb", include_str!("presets/aws-alb.toml")),
    ("azure-ad", include_str!("presets/azure-ad.toml")),
    ("teleport", include_str!("presets/teleport.toml")),
    ("authentik-jwt", include_str!("presets/authentik-jwt.toml")),
    ("oathkeeper-jwt", include_str!("presets/oathkeeper-jwt.toml")),
    ("keycloak", include_str!("presets/keycloak.toml")),
    ("kubernetes", include_str!("presets/kubernetes.toml")),
    ("spiffe-jwt", include_str!("presets/spiffe-jwt.toml")),
    ("body", include_str!("presets/body.toml")),
];

/// One line about a preset.
pub fn summary(text: &str) -> String {
    #[derive(Deserialize)]
    struct Summary {
        summary: String,
    }
    toml::from_str::<Summary>(text).map(|preset| preset.summary).unwrap_or_default()
}

/// The settings that the preset of this name declares.
pub fn settings(name: &str) -> Option<BTreeMap<String, Setting>> {
    Preset::load(name).map(|preset| preset.settings)
}

/// Whether the preset of this name reads the bodies of requests, which subrequests do not have.
pub fn reads_bodies(name: &str) -> bool {
    Preset::load(name).is_some_and(|preset| preset.table.get("kind").is_some_and(|kind| kind == "body"))
}

/// Whether a preset has this name.
pub(in crate::identity) fn is_preset(name: &str) -> bool {
    PRESETS.iter().any(|(preset, _)| *preset == name)
}

/// Names of the presets, for messages.
pub(in crate::identity) fn names() -> String {
    PRESETS.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ")
}

/// A preset, taken apart.
#[derive(Default)]
pub(super) struct Preset {
    /// The settings that it declares.
    pub(super) settings: BTreeMap<String, Setting>,
    /// Everything else.
    pub(super) table: Map<String, Value>,
}

impl Preset {
    /// The preset of this name.
    pub(super) fn load(name: &str) -> Option<Self> {
        let (_, text) = PRESETS.iter().find(|(own, _)| *own == name)?;
        let mut table: Map<String, Value> = toml::from_str(text).ok()?;
        let mut mistakes = Mistakes::default();
        let settings = table.remove("settings").map(|settings| read(&settings, &mut mistakes)).unwrap_or_default();
        mistakes.or(Self { settings: settings.unwrap_or_default(), table }).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn presets_are_called_what_their_files_are_called() {
        for (name, text) in PRESETS {
            let table: toml::Table = text.parse().expect(name);
            assert_eq!(table["name"].as_str(), Some(*name));
            assert!(Preset::load(name).is_some(), "{name}");
            assert!(!summary(text).is_empty(), "{name}");
        }
    }
}

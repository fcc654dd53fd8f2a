//! What an operator writes into the configuration of a proxy to close a hole: one sentence for each hole and proxy.

use super::cases::Trick;
use super::proxy::Proxy;
use super::verdict::{Finding, Level};

/// What is wrong with a proxy's configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Hole {
    /// No sign-in is needed.
    Door,
    /// A client's own header is passed on.
    Passed,
    /// A name that is read as another is passed on.
    Alias,
    /// The client can have headers dropped.
    Listed,
}

impl Hole {
    /// The hole that a finding shows.
    pub(super) fn of(trick: Trick, finding: Finding, level: Level) -> Option<Self> {
        if matches!(level, Level::Fine | Level::Unclear) {
            return None;
        }
        Some(match trick {
            Trick::Nothing => Self::Door,
            Trick::Underscore | Trick::Dot | Trick::Mixed => Self::Alias,
            Trick::Listed if finding != Finding::Believed => Self::Listed,
            _ => Self::Passed,
        })
    }
}

impl Proxy {
    /// What closes a hole; `{header}` stands for the header, `{alias}` for the other name it was sent under.
    pub(super) const fn remedy(self, hole: Hole) -> &'static str {
        match hole {
            Hole::Door => self.door(),
            Hole::Passed => self.passed(),
            Hole::Alias => self.alias(),
            Hole::Listed => self.listed(),
        }
    }

    const fn door(self) -> &'static str {
        match self {
            Self::Nginx => {
                "put auth_request (or auth_basic) into the location of this path; return and rewrite run before it"
            }
            Self::Caddy => "put forward_auth (or basic_auth) before reverse_proxy in a route block of this path",
            // T-59: remedy for Traefik
            Self::Traefik => "name the forwardAuth middleware in the router of this path",
            Self::Envoy => "put the ext_authz filter before the router, and disable it on no route of this path",
            Self::Haproxy => "ask the login in http-request lua.… and deny where it has not said 200",
            Self::Apache => "write Require valid-user into the Location of this path",
            Self::Other => "let the proxy ask for a login on this path",
        }
    }

    const fn passed(self) -> &'static str {
        match self {
            Self::Nginx => {
                "proxy_set_header {header} $what_the_login_says; or \"\" where it says nothing, in the location that \
                 passes to sidemint: one with any proxy_set_header inherits none"
            }
            Self::Caddy => {
                "request_header -{header} as the first line of a route block; then copy_headers of forward_auth sets it"
            }
            Self::Traefik => {
                "name {header} in authResponseHeaders of the forwardAuth middleware, also where the login never sends \
                 it: what is named there is taken from the client"
            }
            Self::Envoy => {
                "remove {header} before any filter runs: header_mutation with remove_on_match in \
                 early_header_mutation_extensions"
            }
            Self::Haproxy => "http-request del-header {header} before the login is asked; then set-header",
            Self::Apache => "RequestHeader set {header} \"expr=%{REMOTE_USER}\", or RequestHeader unset {header}",
            Self::Other => "have the proxy remove {header} from what clients send, before it sets its own",
        }
    }

    const fn alias(self) -> &'static str {
        match self {
            Self::Nginx => "leave underscores_in_headers off and ignore_invalid_headers on: the defaults drop {alias}",
            Self::Caddy => "use Caddy 2.11.4 or newer, or write request_header -{alias}",
            Self::Traefik => {
                "set aliasHeadersStrategy: delete in the http part of the entry point (3.7.12 or newer): it drops {alias}"
            }
            Self::Envoy => {
                "set headers_with_underscores_action: REJECT_REQUEST, and remove {alias} by a regular expression in \
                 the early header_mutation, which covers dots"
            }
            Self::Haproxy => "option http-restrict-req-hdr-names delete drops {alias}",
            Self::Apache => "RequestHeader unset {alias}",
            Self::Other => "have the proxy drop headers with _ or . in their names, {alias} for one",
        }
    }

    const fn listed(self) -> &'static str {
        match self {
            Self::Nginx => "proxy_set_header Connection \"\"; with proxy_http_version 1.1",
            Self::Caddy => "request_header -Connection as the first line of the route block of this path",
            Self::Traefik => "update Traefik: current releases set {header} after they have read Connection",
            Self::Envoy => "update Envoy: current releases do not drop {header} for a client",
            Self::Haproxy => "http-request del-header Connection, in the frontend: HAProxy passes its list on",
            Self::Apache => {
                "RequestHeader unset Connection early, outside of any Location: early is ignored within one"
            }
            Self::Other => "have the proxy remove Connection from what clients send, or set {header} behind that step",
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum as _;

    use super::*;

    /// T-59: what is found comes with what to do about it, for every proxy.
    #[test]
    fn every_hole_has_a_remedy_for_every_proxy() {
        for proxy in Proxy::value_variants() {
            for hole in [Hole::Door, Hole::Passed, Hole::Alias, Hole::Listed] {
                let remedy = proxy.remedy(hole);
                assert!(remedy.len() > 20, "{proxy:?} {hole:?}");
                assert!(!remedy.contains("  "), "{remedy}");
                let names = match hole {
                    Hole::Passed => remedy.contains("{header}"),
                    Hole::Alias => remedy.contains("{alias}"),
                    Hole::Door | Hole::Listed => true,
                };
                assert!(names, "{proxy:?} {hole:?} names the header");
            }
        }
    }
}

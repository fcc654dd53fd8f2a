//! Checks the `[grpc]` section against the listeners and the routes.

use std::collections::BTreeSet;

use super::Check;
use crate::config::{Grpc, Listen, Route, raw};
use crate::definition::did_you_mean;

impl Check<'_> {
    /// The listener for Envoy's checks, where one is asked for. `others` are the other listeners, with their keys.
    pub(super) fn grpc(&mut self, routes: &[Route], others: [(&'static str, &Listen); 2]) -> Option<Grpc> {
        let raw: raw::Grpc = self.layers.section("grpc", self.errors);
        let Some(listen) = raw.listen else {
            if raw.route.is_some() {
                self.refuse("grpc.route", "needs grpc.listen: without it nothing is served over gRPC");
            }
            return None;
        };
        let listen = self.listen("grpc.listen", &listen.0);
        self.differs("grpc.listen", &listen, &others);
        let paths: BTreeSet<&str> =
            routes.iter().filter(|route| route.kind.is_subrequest()).map(|route| route.path.as_str()).collect();
        let known = || paths.iter().copied().collect::<Vec<_>>().join(", ");
        let route = match (raw.route, paths.first()) {
            (Some(own), _) if paths.contains(own.as_str()) => own,
            (Some(own), _) if routes.iter().any(|route| route.path == own) => {
                self.refuse(
                    "grpc.route",
                    format!("\"{own}\" does not answer subrequests; those that do: {}", or_none(&known())),
                );
                own
            }
            (Some(own), _) => {
                self.refuse(
                    "grpc.route",
                    format!(
                        "no route \"{own}\"; those that answer subrequests: {}{}",
                        or_none(&known()),
                        did_you_mean(&own, &paths)
                    ),
                );
                own
            }
            (None, None) => {
                self.refuse(
                    "grpc.listen",
                    "needs a route with answer = \"subrequest\", which says what is answered; add one",
                );
                String::new()
            }
            (None, Some(first)) => {
                if paths.len() > 1 {
                    self.refuse(
                        "grpc.route",
                        format!("is missing, and several routes answer subrequests: {}; name one", known()),
                    );
                }
                (*first).to_owned()
            }
        };
        Some(Grpc { listen, route })
    }
}

fn or_none(known: &str) -> &str {
    if known.is_empty() { "none" } else { known }
}

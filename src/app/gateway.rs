//! Puts the gateway's listeners together: one for all mounts, and one for each mount that has its own.

use std::sync::Arc;

use super::{App, Blueprint, StartError};
use crate::config::Listen;
use crate::inbound::{Bound, Entrance, Limits, Listener, Mounts, Service};
use crate::lifecycle::Lifecycle;
use crate::telemetry::RequestLog;

/// The key that says where all mounts are.
pub(super) const ALL: &str = "gateway.listen";

/// What the listeners of the gateway are made of.
pub(super) struct Parts<'p> {
    pub(super) blueprint: &'p Blueprint,
    pub(super) log: &'p RequestLog,
    pub(super) limits: Limits,
    pub(super) lifecycle: &'p Lifecycle,
}

/// Opens the listeners of the gateway, if there is one.
pub(super) fn listeners(
    parts: &Parts<'_>,
    bind: impl Fn(&str, &Listen) -> std::io::Result<Bound>,
) -> Result<Vec<Listener>, StartError> {
    let Parts { blueprint, log, limits, lifecycle } = *parts;
    let (Some(gateway), Some(config)) = (&blueprint.gateway, &blueprint.config.gateway) else { return Ok(Vec::new()) };
    let shown = (log.clone(), blueprint.config.log.gateway_params);
    let patience = blueprint.config.server.header_timeout;
    let all = Mounts::all(Arc::clone(gateway), shown, patience, &blueprint.metrics, lifecycle);
    let entrance = Entrance {
        peers: Arc::clone(gateway.callers().peers()),
        tls: blueprint.tls.get("gateway").cloned(),
        log: log.clone(),
    };
    let listener = |key: String, listen: &Listen, mounts: Mounts| {
        Ok::<_, StartError>(Listener {
            bound: bind(&key, listen)?,
            key: key.into(),
            service: Service::Gateway(mounts),
            limits: limits.of_gateway(config.max_in_flight),
            entrance: entrance.clone(),
            lifecycle: lifecycle.clone(),
        })
    };
    let mut listeners = vec![listener(ALL.to_owned(), &config.listen, all.clone())?];
    for mount in gateway.mounts() {
        if let Some(listen) = mount.listen() {
            listeners.push(listener(mount.listen_key(), listen, all.only(mount))?);
        }
    }
    Ok(listeners)
}

impl App {
    /// Where all mounts of the gateway are, if there is one.
    pub fn gateway_address(&self) -> std::io::Result<Option<Listen>> {
        self.address(ALL)
    }

    /// Where the mount of this provider is at `/`, if it is.
    pub fn mount_address(&self, provider: &str) -> std::io::Result<Option<Listen>> {
        let mount = self.blueprint.gateway.as_ref().and_then(|gateway| gateway.mount(provider));
        mount.map_or(Ok(None), |mount| self.address(&mount.listen_key()))
    }
}

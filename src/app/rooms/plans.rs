//! Routes become plans: each with its provider, its identity and the form of its answers.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Part;
use crate::config::ConfigError;
use crate::identity::{self, Roles};
use crate::inbound;
use crate::metrics::Metrics;
use crate::provider::Provider;
use crate::session::{Form, Plan};

/// Routes whose lifetime the provider and its clients can live with.
pub(super) fn draw(
    part: &Part<'_>,
    sources: &identity::Sources,
    providers: &BTreeMap<String, Arc<Provider>>,
    metrics: &Metrics,
    errors: &mut Vec<ConfigError>,
) -> Vec<Arc<Plan>> {
    let mut plans = Vec::new();
    let roles = Arc::new(Roles::new(part.roles));
    for route in part.routes {
        // A provider that is missing here has been complained about.
        let Some(provider) = providers.get(&route.provider) else { continue };
        let ttl = route.ttl.unwrap_or(provider.lifetime().default);
        if let Err(problem) = provider.lifetime().check(ttl) {
            errors.push(ConfigError::new(route.origin.clone(), route.key.below("ttl"), problem));
        }
        provider.note_lifetime(ttl);
        let resolver = sources.resolver(route);
        let form = inbound::form(route, &resolver, provider).unwrap_or_else(|mistake| {
            errors.push(ConfigError::at(route.origin.clone(), mistake.within(&route.key)));
            Form::Json
        });
        if let Some(member) = resolver.user_member()
            && provider.inputs().reads_member(member)
        {
            let problem = format!(
                "\"{}\" declares an input in the member \"{member}\" of the body, which names the user on this route; \
                 take another provider or another source",
                provider.preset()
            );
            errors.push(ConfigError::new(route.origin.clone(), route.key.below("provider"), problem));
        }
        let plan = Plan::new(route, form, Arc::clone(provider), Arc::clone(&roles), metrics);
        if let Err(mistake) = plan.check_headers() {
            errors.push(ConfigError::at(route.origin.clone(), mistake.within(&route.key)));
        }
        plans.push(Arc::new(plan));
    }
    plans
}

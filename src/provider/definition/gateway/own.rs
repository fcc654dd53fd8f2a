//! `[providers.NAME.gateway]`: what an operator adds to the calls of a definition.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value};

use super::{Calls, Forbidden, Gateway};
use crate::definition::{Key, Mistakes, did_you_mean};

/// What an operator adds to the calls of a definition.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OwnGateway {
    /// Further groups of calls, as in a definition.
    #[serde(default)]
    pub calls: Vec<Map<String, Value>>,
    /// What a definition forbids in the body of a call, and this operator allows: JSON Pointers, or names of fields of a form, by
    /// the call's name.
    #[serde(default)]
    pub lift: BTreeMap<String, Vec<String>>,
}

impl OwnGateway {
    /// Lifts what `gateway` forbids.
    pub(super) fn lift(&self, gateway: &mut Gateway, mistakes: &mut Mistakes) {
        for (call, places) in &self.lift {
            let place = Key::of("lift").below(call);
            let known: Vec<&str> = gateway.calls.iter().flat_map(Calls::names).collect();
            if !known.contains(&call.as_str()) {
                mistakes.refuse(&place, format!("no call has this name{}", did_you_mean(call, &known)));
                continue;
            }
            for named in places {
                let groups = gateway.calls.iter_mut().filter(|group| group.names().any(|name| name == call));
                let rules = groups.flat_map(|group| &mut group.forbid);
                let mut found = false;
                let is_there = |rule: &Forbidden| rule.json.contains(named) || rule.form.contains(named);
                for rule in rules.filter(|rule| rule.holds_for(call) && is_there(rule)) {
                    rule.lifted.push(call.clone());
                    found = true;
                }
                if !found {
                    mistakes.refuse(&place, format!("\"{named}\" is not forbidden there; remove it"));
                }
            }
        }
    }
}

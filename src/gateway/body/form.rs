//! Form bodies: their fields by name, written anew.

use std::collections::HashSet;

use url::form_urlencoded::Serializer;

use crate::decode::form;
use crate::gateway::refusal::Refusal;

/// Fields of a form at most.
const MAX_FIELDS: usize = 1000;

/// The field that some frameworks take for the method.
const METHOD: &str = "_method";

/// Rules on the fields of a form.
#[derive(Clone, Debug, Default)]
pub(in crate::gateway) struct FormRules {
    /// Fields that must not be there.
    pub(in crate::gateway) denied: Vec<String>,
    /// The only fields that may be there, where that is said.
    pub(in crate::gateway) allowed: Option<Vec<String>>,
    /// Fields that are values of parameters, once each.
    pub(in crate::gateway) parameters: Vec<(String, usize)>,
}

impl FormRules {
    /// Whether they say nothing.
    pub(in crate::gateway) fn is_empty(&self) -> bool {
        self.denied.is_empty() && self.allowed.is_none() && self.parameters.is_empty()
    }
}

/// A form that keeps the rules, and the values of parameters in it.
pub(in crate::gateway) type Written = (String, Vec<(usize, String)>);

/// Reads a form, and writes it anew.
pub(in crate::gateway) fn rewrite(rules: &FormRules, body: &[u8]) -> Result<Written, Refusal> {
    let pairs = form::pairs(body).filter(|pairs| pairs.len() <= MAX_FIELDS).ok_or(Refusal::BodyInvalid)?;
    let (mut values, mut seen) = (Vec::new(), HashSet::new());
    let mut written = Serializer::new(String::with_capacity(body.len()));
    for (name, value) in pairs {
        let is_denied = rules.denied.iter().any(|own| is_taken_for(&name, own));
        let is_other = rules.allowed.as_ref().is_some_and(|allowed| !allowed.contains(&name));
        // G-04, G-19: forbidden form field
        if is_denied || is_other || is_taken_for(&name, METHOD) {
            return Err(Refusal::BodyDenied);
        }
        for (own, parameter) in rules.parameters.iter().filter(|(own, _)| is_taken_for(&name, own)) {
            // Of two, readers take the first or the last; and only some of them take one with brackets for a list.
            // G-05: repeated form field
            if name != *own || seen.contains(&name) {
                return Err(Refusal::BodyInvalid);
            }
            values.push((*parameter, value.clone()));
        }
        written.append_pair(&name, &value);
        seen.insert(name);
    }
    Ok((written.finish(), values))
}

/// Whether a reader could take `name` for the field `own`: without regard to capitals, and to what frameworks put behind a name
/// to make lists and tables of it, or take out of it.
fn is_taken_for(name: &str, own: &str) -> bool {
    // PHP writes these as `_`, and drops blanks in front.
    let plain = |text: &str| text.trim_start().replace([' ', '.'], "_").to_lowercase();
    let stem = name.split(['[', '\0']).next().unwrap_or_default();
    plain(stem) == plain(own)
}

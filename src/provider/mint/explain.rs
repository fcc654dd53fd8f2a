//! What a mint would do, for the author of a definition: calls, bodies, claims, and no secret.

use std::fmt;

use serde_json::Value;

use super::Order;
use super::token::{Let, Mint};
use crate::outbound::Call;
use crate::provider::Provider;
use crate::provider::calls::error::ProviderError;
use crate::provider::calls::sequence::Sequence;
use crate::provider::calls::step::Step;
use crate::provider::credentials::Credentials;
use crate::provider::template::Variables;
use crate::provider::template::json::MissingValue;

/// Lines of text, indented.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Explanation(String);

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Explanation {
    /// Adds lines, each so deep.
    pub(crate) fn line(&mut self, depth: usize, text: impl AsRef<str>) {
        for line in text.as_ref().lines() {
            self.0.push_str(&"  ".repeat(depth));
            self.0.push_str(line);
            self.0.push('\n');
        }
    }

    /// Adds a call in which secrets are masked.
    pub(crate) fn call(&mut self, depth: usize, call: &Call) {
        // Placeholders are shown as they are; everything else is shown as it is sent.
        let url = call.url.as_str().replace("%3C", "<").replace("%3E", ">").replace("%2A%2A%2A", "***");
        self.line(depth, format!("{} {url}", call.method));
        for (name, value) in &call.headers {
            self.line(depth, format!("{name}: {}", String::from_utf8_lossy(value.as_bytes())));
        }
        if let Some(body) = &call.body {
            self.line(depth, String::from_utf8_lossy(body));
        }
    }
}

impl Provider {
    /// What a mint for `order` would do. Nothing is sent, nothing is signed.
    pub fn explain(&self, order: &Order<'_>) -> Result<Explanation, ProviderError> {
        let user = self.user_of(order)?;
        let credentials = self.access.vault.current().clone();
        let variables = self.variables(&user, order, &credentials);
        let mut explanation = Explanation::default();
        explanation.line(0, format!("user id  {}", user.id));
        let lets = self.explain_lets(&credentials, &variables, &mut explanation);
        let variables = Variables { lets: &lets, ..variables };
        if !self.compiled.upsert.is_empty() {
            let remembered = humantime::format_duration(self.upserts.remembered());
            explanation.line(0, format!("upsert  (when the profile changed, and every {remembered})"));
            explain_steps(&self.compiled.upsert, &variables, &mut explanation);
        }
        explanation.line(0, "token");
        match &self.compiled.mint {
            Mint::Jwt { claims, .. } => {
                let header = credentials.signer.as_ref().map_or(Value::Null, |signer| signer.jose_header());
                explanation.line(1, format!("header  {header}"));
                explanation.line(1, format!("claims  {}", shown(claims.value(&variables))));
            }
            Mint::Render { token, .. } => {
                explanation.line(1, token.render(&variables).ok().flatten().unwrap_or_else(|| NOTHING.to_owned()));
            }
            Mint::Steps(steps) => explain_steps(steps, &variables, &mut explanation),
        }
        self.explain_session(&variables, &mut explanation);
        Ok(explanation)
    }

    /// MACs and proofs may be passwords, so they are shown by their names.
    fn explain_lets(
        &self,
        credentials: &Credentials,
        variables: &Variables<'_>,
        explanation: &mut Explanation,
    ) -> Vec<Value> {
        let mut values: Vec<Value> = Vec::new();
        for (name, own) in &self.compiled.lets {
            let before = Variables { lets: &values, ..*variables };
            let value = match own {
                Let::Mac(mac) => {
                    let text = mac.text.render_signed(&before).unwrap_or_else(|missing| absent(&missing));
                    explanation.line(0, format!("let.{name}  a MAC of {}", Value::from(text)));
                    placeholder("let", name)
                }
                Let::Jwt { claims, .. } => {
                    explanation.line(0, format!("let.{name}  a JWT with {}", shown(claims.value(&before))));
                    placeholder("let", name)
                }
                Let::Value(_) => match own.value(credentials, &before) {
                    Ok(value) => {
                        explanation.line(0, format!("let.{name}  {value}"));
                        value
                    }
                    Err(missing) => {
                        explanation.line(0, format!("let.{name}  {}", absent(&missing)));
                        Value::Null
                    }
                },
            };
            values.push(value);
        }
        values
    }

    fn explain_session(&self, variables: &Variables<'_>, explanation: &mut Explanation) {
        explanation.line(0, "session");
        explanation.line(1, format!("apiUrl  {}", self.compiled.api_url));
        if !matches!(self.compiled.mint, Mint::Steps(_)) {
            for (name, template) in &self.compiled.extra {
                explanation.line(1, format!("{name}  {}", shown(template.value(variables))));
            }
        }
    }
}

/// What stands where a value is missing.
const NOTHING: &str = "(nothing)";

fn placeholder(room: &str, name: &str) -> Value {
    Value::String(format!("<{room}.{name}>"))
}

fn absent(missing: &MissingValue) -> String {
    format!("(missing: {})", missing.0)
}

fn shown(value: Result<Value, MissingValue>) -> String {
    value.map_or_else(|missing| absent(&missing), |value| value.to_string())
}

fn explain_steps(sequence: &Sequence, variables: &Variables<'_>, explanation: &mut Explanation) {
    let taken: Vec<Option<Value>> = sequence.names.iter().map(|name| Some(placeholder("step", name))).collect();
    for step in &sequence.steps {
        explain_step(step, &Variables { taken: &taken, ..*variables }, explanation);
    }
}

fn explain_step(step: &Step, variables: &Variables<'_>, explanation: &mut Explanation) {
    let mut title = step.id.clone();
    if step.called {
        title.push_str("  (when a rule of another step says so)");
    }
    if let Some(when) = &step.when {
        title = format!("{title}  (when {})", when.text);
    }
    explanation.line(1, title);
    match step.bare(variables).and_then(|mut call| {
        step.auth.iter().try_for_each(|auth| auth.mask(&mut call, variables))?;
        Ok(call)
    }) {
        Ok(call) => explanation.call(2, &call),
        Err(missing) => explanation.line(2, absent(&missing)),
    }
    for take in &step.take {
        explanation.line(2, format!("takes {}{}", take.at, if take.optional { ", where it is" } else { "" }));
    }
    if let Some(token) = &step.token {
        explanation.line(2, format!("token at {token}"));
    }
}

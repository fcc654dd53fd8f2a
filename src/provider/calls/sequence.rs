//! Steps in order: conditions, steps that call others, values handed on, the token.

use serde_json::Value;

use super::error::{Cause, ProviderError};
use super::expiry;
use super::step::{Run, Step, Verdict};
use crate::clock::Timestamp;
use crate::provider::definition::Class;
use crate::provider::definition::Then;
use crate::provider::template::Variables;

/// Steps that belong together.
#[derive(Debug, Default)]
pub(in crate::provider) struct Sequence {
    pub(in crate::provider) steps: Vec<Step>,
    /// Names of the values that the steps take, as `STEP.NAME`.
    pub(in crate::provider) names: Vec<String>,
}

/// What a sequence brought. It holds the token, so there is no `Debug`.
#[derive(Default)]
pub(in crate::provider) struct Harvest {
    /// The token and its end, which may be none.
    pub(in crate::provider) token: Option<(String, Option<Timestamp>)>,
    /// Values that steps took, by index.
    pub(in crate::provider) taken: Vec<Option<Value>>,
}

impl Sequence {
    pub(in crate::provider) fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// Runs the steps in order, with the time of each as its `now`.
    pub(in crate::provider) async fn run(
        &self,
        run: &Run<'_>,
        variables: &Variables<'_>,
    ) -> Result<Harvest, ProviderError> {
        let mut harvest = Harvest { token: None, taken: vec![None; self.names.len()] };
        for step in self.steps.iter().filter(|step| !step.called) {
            let variables = Variables { now: run.clock.now(), ..*variables };
            let own = Variables { taken: &harvest.taken, ..variables };
            if step.when.as_ref().is_some_and(|when| !when.expression.is_true(&own)) {
                continue;
            }
            let (answer, status) = self.answer(step, run, &variables, &mut harvest).await?;
            step.harvest((&answer, status), &variables, &mut harvest)?;
        }
        Ok(harvest)
    }

    /// The answer of `step`, which may first have another step run. That happens once.
    async fn answer(
        &self,
        step: &Step,
        run: &Run<'_>,
        variables: &Variables<'_>,
        harvest: &mut Harvest,
    ) -> Result<(Value, u16), ProviderError> {
        let (index, then, error) = match step.run(run, &Variables { taken: &harvest.taken, ..*variables }).await? {
            Verdict::Done(answer, status) => return Ok((answer, status)),
            Verdict::Run(index, then, error) => (index, then, error),
        };
        let Some(other) = self.steps.get(index) else { return Err(error) };
        let called = match other.run(run, &Variables { taken: &harvest.taken, ..*variables }).await? {
            Verdict::Done(answer, status) => (answer, status),
            Verdict::Run(_, _, error) => return Err(error),
        };
        other.harvest((&called.0, called.1), variables, harvest)?;
        if then == Then::Instead {
            return Ok(called);
        }
        match step.run(run, &Variables { taken: &harvest.taken, ..*variables }).await? {
            Verdict::Done(answer, status) => Ok((answer, status)),
            Verdict::Run(_, _, error) => Err(error),
        }
    }
}

impl Step {
    /// Takes out of an answer what the definition wants of it.
    fn harvest(
        &self,
        (answer, status): (&Value, u16),
        variables: &Variables<'_>,
        harvest: &mut Harvest,
    ) -> Result<(), ProviderError> {
        let wrong = |detail| {
            let error = ProviderError::new(Class::BadResponse, &self.id, detail).at(&self.host).status(status);
            error.cause(Cause::Shape).answer(answer.to_string().into())
        };
        if let Some(at) = &self.token {
            let token = answer.pointer(at).and_then(Value::as_str).ok_or_else(|| wrong("no token in the answer"))?;
            // Spans count from before the call: on its way the answer grew older, and the token with it.
            let (now, requested) = (variables.now, variables.expires());
            let expires = expiry::earliest(&self.expires, answer, token, now, requested).map_err(wrong)?;
            harvest.token = Some((token.to_owned(), expires));
        }
        for take in &self.take {
            let value = answer.pointer(&take.at).filter(|value| !value.is_null());
            if value.is_none() && !take.optional {
                return Err(wrong("a value for a later step is missing"));
            }
            if let (Some(slot), Some(value)) = (harvest.taken.get_mut(take.index), value) {
                *slot = Some(value.clone());
            }
        }
        Ok(())
    }
}

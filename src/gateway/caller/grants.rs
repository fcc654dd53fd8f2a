//! Grants: which operations a caller may use, with which parameters, and how often.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use parking_lot::Mutex;

use crate::clock::Moment;
use crate::config::{self, ValuePattern};
use crate::definition::{Mistakes, did_you_mean};
use crate::gateway::gate;
use crate::gateway::operation::{Operation, Operations, Parameters};
use crate::pacing::{Pace, Rate};
use crate::provider::gateway::OperationClass;

/// All operations that read and write.
const DEFAULT: &str = "default";
/// Of the calls of a second, those that may come at once.
const BURST: u32 = 10;

/// What a caller may do at one mount; nothing, where it has no grant.
#[derive(Debug, Default)]
pub struct Grants(Vec<Granted>);

/// One grant, compiled.
#[derive(Debug)]
pub(super) struct Granted {
    /// Names of operations, with their classes.
    operations: BTreeMap<String, OperationClass>,
    only: BTreeMap<String, Vec<ValuePattern>>,
    limit: Option<Limit>,
}

#[derive(Debug)]
struct Limit {
    rate: Rate,
    pace: Pace,
    due: Mutex<i128>,
}

/// A rate is used up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limited {
    /// When the next call may pass.
    pub after: Duration,
}

/// One grant as it is shown to people.
#[derive(Debug)]
pub struct Allowed<'g> {
    /// Names of operations of each class.
    pub operations: BTreeMap<OperationClass, Vec<&'g str>>,
    /// Parameters that have a value out of a list.
    pub only: &'g BTreeMap<String, Vec<ValuePattern>>,
    /// Calls under it.
    pub rate: Option<Rate>,
}

impl std::fmt::Display for Allowed<'_> {
    /// Operations by class, then what limits them.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let class =
            |(class, names): (&OperationClass, &Vec<&str>)| format!("{} {}", <&str>::from(*class), names.join(", "));
        f.write_str(&self.operations.iter().map(class).collect::<Vec<_>>().join("; "))?;
        for (name, patterns) in self.only {
            let patterns: Vec<String> = patterns.iter().map(ToString::to_string).collect();
            write!(f, "; only {name} = {}", patterns.join(" or "))?;
        }
        self.rate.map_or(Ok(()), |rate| {
            write!(f, "; {} calls in {}", rate.count(), humantime::format_duration(rate.period()))
        })
    }
}

/// Compiles a grant. Keys of mistakes stand below it.
pub(super) fn compile(grant: &config::Grant, operations: &Operations) -> Result<Granted, Mistakes> {
    let mut mistakes = Mistakes::default();
    let mut named = BTreeSet::new();
    let mut without = BTreeSet::new();
    for text in &grant.allow {
        let (text, set) = match text.strip_prefix('-') {
            Some(text) => (text, &mut without),
            None => (text.as_str(), &mut named),
        };
        match meant(text, operations) {
            Ok(names) => set.extend(names),
            Err(problem) => mistakes.refuse("allow", problem),
        }
    }
    let is_named = |operation: &&Operation| named.contains(operation.name()) && !without.contains(operation.name());
    let allowed: Vec<&Operation> = operations.iter().filter(is_named).collect();
    if allowed.is_empty() && mistakes.is_empty() {
        mistakes.refuse("allow", "leaves no operation; remove the grant, or what it takes away");
    }
    for parameter in grant.only.keys() {
        if !allowed.is_empty() && !allowed.iter().any(|operation| operation.may_carry(parameter)) {
            let problem = "is a parameter that no operation of this grant carries, so nothing would be allowed; \
                           \"sidemint gateway explain\" shows the parameters of a call";
            mistakes.refuse(format!("only.{parameter}").as_str(), problem);
        }
    }
    // G-18: operation without the parameter
    let carries = |operation: &&&Operation| grant.only.keys().all(|parameter| operation.may_carry(parameter));
    let operations = allowed.iter().filter(carries).map(|own| (own.name().to_owned(), own.class())).collect();
    mistakes.or(Granted { operations, only: grant.only.clone(), limit: grant.rate.map(Limit::new) })
}

/// The operations that one entry of `allow` means.
fn meant(text: &str, operations: &Operations) -> Result<Vec<String>, String> {
    let is_default = |operation: &&Operation| matches!(operation.class(), OperationClass::Read | OperationClass::Write);
    let names = |found: Vec<&Operation>| found.into_iter().map(|own| own.name().to_owned()).collect::<Vec<_>>();
    if text == DEFAULT {
        return Ok(names(operations.iter().filter(is_default).collect())); // G-20: default classes
    }
    let Some(group) = text.strip_suffix('*') else {
        if operations.get(text).is_some() {
            return Ok(vec![text.to_owned()]);
        }
        let known: Vec<&str> = operations.iter().map(Operation::name).collect();
        let meant = did_you_mean(text, known.iter().copied().chain([DEFAULT]));
        return Err(format!("no operation \"{text}\"; there are {}{meant}", known.join(", ")));
    };
    if !group.ends_with('.') || group.len() < 2 {
        return Err(format!(
            "\"{text}\" is not a group; write \"GROUP.*\", or \"{DEFAULT}\" for all that read and write"
        ));
    }
    let all: Vec<&Operation> = operations.iter().filter(|own| own.name().starts_with(group)).collect();
    let found: Vec<&Operation> = all.iter().copied().filter(is_default).collect(); // G-20: default classes of a group
    if found.is_empty() {
        let groups: BTreeSet<String> =
            operations.iter().filter_map(|own| Some(format!("{}.*", own.name().split_once('.')?.0))).collect();
        return Err(match all.as_slice() {
            [] => format!("no operation begins with \"{group}\"{}", did_you_mean(text, &groups)),
            all => format!(
                "\"{text}\" holds only what destroys or makes secrets, which is named in full: {}",
                names(all.to_vec()).join(", ")
            ),
        });
    }
    Ok(names(found))
}

impl Limit {
    fn new(rate: Rate) -> Self {
        let pace = Pace::new(rate, rate.count().min(BURST.max(rate.count() / 10)));
        Self { rate, pace, due: Mutex::new(Pace::UNUSED) }
    }
}

impl Granted {
    fn permits(&self, operation: &Operation, parameters: &Parameters<'_>) -> bool {
        let holds = |(name, patterns): (&String, &Vec<ValuePattern>)| {
            let mut values = parameters.of(name).peekable();
            // G-18: every value of a parameter
            values.peek().is_some() && values.all(|value| patterns.iter().any(|pattern| pattern.covers(value)))
        };
        self.operations.contains_key(operation.name()) && self.only.iter().all(holds)
    }
}

impl Grants {
    pub(super) fn push(&mut self, granted: Granted) {
        self.0.push(granted);
    }

    /// Counts a call against the rate of a grant that permits it.
    pub fn pass(&self, operation: &Operation, parameters: &Parameters<'_>, now: Moment) -> Result<(), Limited> {
        let mut outcome = Err(Limited { after: Duration::ZERO });
        for granted in self.0.iter().filter(|granted| granted.permits(operation, parameters)) {
            let Some(limit) = &granted.limit else { return Ok(()) };
            // G-22: rate of a grant
            let taken = limit.pace.take(&mut limit.due.lock(), now);
            match taken {
                Ok(()) => return Ok(()),
                Err(slot) => outcome = Err(Limited { after: slot.since(now) }),
            }
        }
        outcome
    }

    /// Each grant, for people.
    pub fn iter(&self) -> impl Iterator<Item = Allowed<'_>> {
        self.0.iter().map(|granted| {
            let mut operations: BTreeMap<OperationClass, Vec<&str>> = BTreeMap::new();
            for (name, class) in &granted.operations {
                operations.entry(*class).or_default().push(name);
            }
            Allowed { operations, only: &granted.only, rate: granted.limit.as_ref().map(|limit| limit.rate) }
        })
    }
}

impl gate::Grants for Grants {
    fn allow(&self, operation: &Operation) -> bool {
        self.0.iter().any(|granted| granted.operations.contains_key(operation.name()))
    }

    fn permit(&self, operation: &Operation, parameters: &Parameters<'_>) -> bool {
        self.0.iter().any(|granted| granted.permits(operation, parameters))
    }
}

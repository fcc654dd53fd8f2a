//! Rules on JSON bodies, by JSON Pointer: which levels are looked at, and what is done with a value there.

use serde_json::Value;

use crate::definition::Mistake;
use crate::gateway::refusal::Refusal;

/// Steps of one pointer at most. Reading goes as deep as pointers do, never as deep as bodies.
const MAX_STEPS: usize = 16;

/// What is said of the values at one place.
#[derive(Clone, Debug, Default)]
pub(in crate::gateway) struct Tree {
    /// Members with rules of their own.
    pub(super) members: Vec<(String, Tree)>,
    /// Every other member, and every item of a list.
    pub(super) every: Option<Box<Tree>>,
    /// Every item of a list.
    items: Option<Box<Tree>>,
    /// Nothing may stand here.
    is_denied: bool,
    /// What is put here, whatever was sent.
    pub(super) set: Option<Set>,
    /// The parameters whose value this is.
    pub(super) parameters: Vec<usize>,
    /// Where only some members are allowed: whether this is one of them, and whether all below it are.
    allowed: Option<Allowed>,
}

/// What is put in place of what was sent.
#[derive(Clone, Debug)]
pub(super) enum Set {
    /// This JSON text.
    Value(String),
    /// The id of the user for whom the call is made.
    AsUser,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Allowed {
    /// Some of what is below.
    Part,
    /// All of it.
    Whole,
}

impl Tree {
    /// Nothing may stand at `pointer`.
    pub(in crate::gateway) fn deny(&mut self, pointer: &str) -> Result<(), Mistake> {
        self.at(pointer, false).map(|own| own.is_denied = true)
    }

    /// What stands at `pointer` is allowed, and nothing else but what is allowed likewise.
    pub(in crate::gateway) fn allow(&mut self, pointer: &str) -> Result<(), Mistake> {
        self.at(pointer, true).map(|own| own.allowed = Some(Allowed::Whole))
    }

    /// `value` is put at `pointer`.
    pub(in crate::gateway) fn force(&mut self, pointer: &str, value: &Value) -> Result<(), Mistake> {
        self.at(pointer, false)?.set(Set::Value(value.to_string()))
    }

    /// The user's id is put at `pointer`, where the call is made for one; otherwise nothing may stand there.
    pub(in crate::gateway) fn put_user(&mut self, pointer: &str) -> Result<(), Mistake> {
        self.at(pointer, false)?.set(Set::AsUser)
    }

    /// What stands at `pointer` is a value of this parameter.
    pub(in crate::gateway) fn find(&mut self, pointer: &str, parameter: usize) -> Result<(), Mistake> {
        self.at(pointer, false)?.parameters.push(parameter);
        Ok(())
    }

    /// Gives members the rules that hold for every member; says where two rules are in each other's way.
    pub(in crate::gateway) fn settle(&mut self) -> Result<(), Mistake> {
        if let Some(every) = &self.every {
            for (_, member) in &mut self.members {
                member.take(every)?;
            }
            if let Some(items) = &mut self.items {
                items.take(every)?;
            }
        }
        let others = self.every.as_deref_mut().into_iter().chain(self.items.as_deref_mut());
        let mut below = self.members.iter_mut().map(|(_, member)| member).chain(others);
        below.try_for_each(Self::settle)?;
        if self.set.is_some() && !self.parameters.is_empty() {
            return Err("has a parameter where a value is put; write one of them".into());
        }
        // A value that is an id, or ours, has no members of its own.
        if (self.set.is_some() || !self.parameters.is_empty()) && self.looks_inside() {
            return Err("has a rule at a pointer and another one below it; write one of them".into());
        }
        Ok(())
    }

    /// Whether it says nothing at all.
    pub(in crate::gateway) fn is_empty(&self) -> bool {
        !self.looks_inside()
    }

    /// Whether there are rules for what is in this value.
    pub(super) fn looks_inside(&self) -> bool {
        !self.members.is_empty() || self.every.is_some() || self.items.is_some()
    }

    /// Whether something is put below, also where nothing was sent.
    pub(super) fn makes(&self, for_user: bool) -> bool {
        let makes = |member: &Self| match &member.set {
            Some(Set::Value(_)) => true,
            Some(Set::AsUser) => for_user,
            None => member.makes(for_user),
        };
        self.members.iter().any(|(_, member)| makes(member))
    }

    /// Whether a value that is looked at must be an object.
    pub(super) fn is_of_object(&self) -> bool {
        !self.members.is_empty() && self.every.is_none() && self.items.is_none()
    }

    /// Whether a value of a parameter stands somewhere in this one.
    pub(super) fn holds_parameters(&self) -> bool {
        let others = self.every.as_deref().into_iter().chain(self.items.as_deref());
        let below = self.members.iter().map(|(_, member)| member).chain(others);
        below.into_iter().any(|own| !own.parameters.is_empty() || own.holds_parameters())
    }

    /// Whether only some of the values in this one are allowed.
    pub(super) fn is_closed(&self) -> bool {
        self.allowed == Some(Allowed::Part)
    }

    /// The rules for an item of a list.
    pub(super) fn item(&self) -> Result<Option<&Self>, Refusal> {
        self.permitted(self.items.as_deref().or(self.every.as_deref()))
    }

    /// The rules for the member called `name`. A name that a lenient reader takes for one with rules is refused.
    pub(super) fn member(&self, name: &str) -> Result<Option<&Self>, Refusal> {
        let own = self.members.iter().find(|(own, _)| own == name).map(|(_, member)| member);
        // G-05: look-alike member
        if own.is_none() && self.looks_like_one(name) {
            return Err(Refusal::BodyDenied);
        }
        self.permitted(own.or(self.every.as_deref()))
    }

    fn permitted<'t>(&self, found: Option<&'t Self>) -> Result<Option<&'t Self>, Refusal> {
        let is_denied = found.is_some_and(|own| own.is_denied); // G-19: forbidden member
        let is_listed = found.is_some_and(|own| own.allowed.is_some() || own.set.is_some());
        let is_other = self.is_closed() && !is_listed; // G-19: other member
        if is_denied || is_other { Err(Refusal::BodyDenied) } else { Ok(found) }
    }

    fn looks_like_one(&self, name: &str) -> bool {
        if name.is_ascii() {
            return self.members.iter().any(|(own, _)| own.eq_ignore_ascii_case(name));
        }
        let name = folded(name);
        self.members.iter().any(|(own, _)| folded(own) == name)
    }

    /// The place of `pointer`; `allows` says that it is allowed, and thereby that other places are not.
    fn at(&mut self, pointer: &str, allows: bool) -> Result<&mut Self, Mistake> {
        let wrong = |problem: &str| Mistake::from(format!("\"{pointer}\" {problem}"));
        let steps = pointer.strip_prefix('/').ok_or_else(|| wrong("is not a JSON Pointer; it begins with /"))?;
        if steps.split('/').count() > MAX_STEPS {
            return Err(wrong("goes too deep"));
        }
        let mut at = self;
        for step in steps.split('/') {
            if allows && at.allowed.is_none() {
                at.allowed = Some(Allowed::Part);
            }
            at = if step == "*" {
                at.every.get_or_insert_default()
            } else if step == "[]" {
                at.items.get_or_insert_default()
            } else {
                if step.is_empty() || step.bytes().all(|byte| byte.is_ascii_digit()) {
                    return Err(wrong(
                        "names an item by its number, or nothing; write * for every item and member, or [] for every item",
                    ));
                }
                let name = step.replace("~1", "/").replace("~0", "~");
                let n = at.members.iter().position(|(own, _)| *own == name).unwrap_or_else(|| {
                    at.members.push((name, Self::default()));
                    at.members.len() - 1
                });
                &mut at.members.get_mut(n).ok_or_else(|| wrong("is not found"))?.1
            };
        }
        Ok(at)
    }

    fn set(&mut self, set: Set) -> Result<(), Mistake> {
        if self.set.is_some() {
            return Err("is the place of two values".into());
        }
        self.set = Some(set);
        Ok(())
    }

    /// Takes the rules of `every` as well.
    fn take(&mut self, every: &Self) -> Result<(), Mistake> {
        self.is_denied |= every.is_denied;
        self.allowed = match (self.allowed, every.allowed) {
            (Some(Allowed::Whole), _) | (_, Some(Allowed::Whole)) => Some(Allowed::Whole),
            (own, other) => own.or(other),
        };
        if let Some(set) = &every.set {
            self.set(set.clone())?;
        }
        self.parameters.extend(&every.parameters);
        for (name, other) in &every.members {
            match self.members.iter_mut().find(|(own, _)| own == name) {
                Some((_, own)) => own.take(other)?,
                None => self.members.push((name.clone(), other.clone())),
            }
        }
        for (own, other) in [(&mut self.every, &every.every), (&mut self.items, &every.items)] {
            match (own, other) {
                (Some(own), Some(other)) => own.take(other)?,
                (own @ None, Some(other)) => *own = Some(other.clone()),
                _ => {}
            }
        }
        Ok(())
    }
}

/// A name as readers see it that do not tell capitals from small letters, in any alphabet.
fn folded(name: &str) -> String {
    name.chars().flat_map(char::to_uppercase).flat_map(char::to_lowercase).collect()
}

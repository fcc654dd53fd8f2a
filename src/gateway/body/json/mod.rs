//! JSON bodies: levels that a rule names are read, and written anew; deeper values pass as they are.
//!
//! So the provider reads the members that were checked: each once, under one spelling, in UTF-8. Numbers keep their text.

mod reader;
mod tree;

use std::collections::HashSet;

use crate::gateway::refusal::Refusal;
use reader::Reader;
use tree::Set;
pub(in crate::gateway) use tree::Tree;

/// Digits of a number that is an id at most: readers that know floats alone would change a longer one.
const MAX_DIGITS: usize = 15;

/// A body that keeps the rules.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::gateway) struct Written {
    /// It, written anew.
    pub(in crate::gateway) text: String,
    /// Values of parameters in it, in the order of the body.
    pub(in crate::gateway) values: Vec<(usize, String)>,
}

/// Reads `body`, and writes it as the rules want it. `user` is the id that the call is made for.
pub(in crate::gateway) fn rewrite(rules: &Tree, body: &[u8], user: Option<&str>) -> Result<Written, Refusal> {
    let mut writer =
        Writer { reader: Reader::new(body)?, text: String::with_capacity(body.len() + 64), values: Vec::new(), user };
    // Rules are about members: of what has none, the provider could make anything.
    match writer.reader.peek() {
        Some(b'{') => writer.value(rules)?,
        Some(b'[') if !rules.is_of_object() => writer.value(rules)?,
        _ => return Err(Refusal::BodyInvalid),
    }
    writer.reader.end()?;
    Ok(Written { text: writer.text, values: writer.values })
}

/// What is put into a body where none was sent; `None` where that is nothing.
pub(in crate::gateway) fn made(rules: &Tree, user: Option<&str>) -> Result<Option<Written>, Refusal> {
    if rules.makes(user.is_some()) { rewrite(rules, b"{}", user).map(Some) } else { Ok(None) }
}

struct Writer<'b> {
    reader: Reader<'b>,
    text: String,
    values: Vec<(usize, String)>,
    user: Option<&'b str>,
}

impl Writer<'_> {
    /// One value. It goes down as far as rules do.
    fn value(&mut self, rules: &Tree) -> Result<(), Refusal> {
        if let Some(set) = self.set(rules) {
            self.reader.value()?;
            self.text.push_str(&set);
            return Ok(());
        }
        if matches!(rules.set, Some(Set::AsUser)) {
            return Err(Refusal::AsUserDenied); // G-10: user in a body
        }
        let first = self.reader.peek();
        match first {
            Some(b'{') if rules.looks_inside() => return self.object(rules),
            Some(b'[') if rules.looks_inside() => {
                let is_object = rules.is_of_object() || rules.makes(self.user.is_some());
                return if is_object { Err(Refusal::BodyInvalid) } else { self.list(rules) };
            }
            _ => {}
        }
        if rules.makes(self.user.is_some()) {
            return Err(Refusal::BodyInvalid);
        }
        if rules.is_closed() {
            return Err(Refusal::BodyDenied);
        }
        let text = self.reader.value()?;
        // A lenient reader takes one value for a list of one, in which nothing was looked for.
        // G-18: value in place of a list
        if rules.holds_parameters() && text != "null" {
            return Err(Refusal::BodyInvalid);
        }
        for parameter in &rules.parameters {
            self.values.push((*parameter, id(text).ok_or(Refusal::BodyInvalid)?));
        }
        self.text.push_str(text);
        Ok(())
    }

    fn object(&mut self, rules: &Tree) -> Result<(), Refusal> {
        self.reader.take(b'{')?;
        self.text.push('{');
        let mut names = HashSet::new();
        let mut is_more = self.reader.peek() != Some(b'}');
        while is_more {
            let name = self.reader.string()?;
            self.reader.take(b':')?;
            let below = rules.member(&name)?;
            self.name(&name);
            match below {
                Some(below) => self.value(below)?,
                None => self.text.push_str(self.reader.value()?),
            }
            // Readers written in C end a name at NUL.
            // G-05: repeated member
            if name.contains('\0') || !names.insert(name) {
                return Err(Refusal::BodyInvalid);
            }
            is_more = self.reader.takes(b',');
        }
        self.reader.take(b'}')?;
        self.put(rules, &names);
        self.text.push('}');
        Ok(())
    }

    fn list(&mut self, rules: &Tree) -> Result<(), Refusal> {
        self.reader.take(b'[')?;
        self.text.push('[');
        let mut is_more = self.reader.peek() != Some(b']');
        while is_more {
            match rules.item()? {
                Some(below) => self.value(below)?,
                None => self.text.push_str(self.reader.value()?),
            }
            is_more = self.reader.takes(b',');
            self.text.push_str(if is_more { "," } else { "" });
        }
        self.reader.take(b']')?;
        self.text.push(']');
        Ok(())
    }

    /// Puts what is ours and was not sent into the object that is being written.
    fn put(&mut self, rules: &Tree, sent: &HashSet<String>) {
        for (name, below) in rules.members.iter().filter(|(name, _)| !sent.contains(name)) {
            if let Some(set) = self.set(below) {
                self.name(name);
                self.text.push_str(&set);
            } else if below.makes(self.user.is_some()) {
                self.name(name);
                self.text.push('{');
                self.put(below, &HashSet::new());
                self.text.push('}');
            }
        }
    }

    /// What is put in place of a value, whatever was sent.
    fn set(&self, rules: &Tree) -> Option<String> {
        match rules.set.as_ref()? {
            Set::Value(text) => Some(text.clone()), // G-18: value of ours
            Set::AsUser => self.user.map(quoted),
        }
    }

    /// The name of a member, with what stands around it.
    fn name(&mut self, name: &str) {
        // Only the beginning of an object ends like that.
        if !self.text.ends_with('{') {
            self.text.push(',');
        }
        self.text.push_str(&quoted(name));
        self.text.push(':');
    }
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// An id: a string, or a whole number that every reader reads alike.
fn id(text: &str) -> Option<String> {
    if text.starts_with('"') {
        return serde_json::from_str(text).ok();
    }
    let digits = text.strip_prefix('-').unwrap_or(text);
    let is_whole = digits.len() <= MAX_DIGITS && digits.bytes().all(|byte| byte.is_ascii_digit()); // G-18: number as an id
    (is_whole && text != "-0").then(|| text.to_owned())
}

//! A mistake in what an operator wrote: the place, what is wrong there, and what to write instead.

use std::fmt;

/// Where something is: names of tables and members from the outside in, `routes[0].path`.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key(Vec<String>);

impl Key {
    /// What is called `name`. The name is taken as it is, dots in it included.
    pub fn of(name: impl Into<String>) -> Self {
        Self(vec![name.into()])
    }

    /// What is called `name` in the table that is here.
    #[must_use]
    pub fn below(&self, name: impl Into<String>) -> Self {
        let mut names = self.0.clone();
        names.push(name.into());
        Self(names)
    }

    /// Item `n` of the list that is here.
    #[must_use]
    pub fn item(&self, n: usize) -> Self {
        self.below(format!("[{n}]"))
    }

    /// This key where it stands below `outer`.
    #[must_use]
    pub fn within(self, outer: impl Into<Self>) -> Self {
        let mut names = outer.into().0;
        names.extend(self.0);
        Self(names)
    }

    /// Its names, from the outside in. Items of lists are `[0]`.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }

    /// Whether it is below `outer`, and not `outer` itself.
    pub fn is_below(&self, outer: &Self) -> bool {
        self.0.len() > outer.0.len() && self.0.starts_with(&outer.0)
    }

    /// Whether it names nothing: what is wrong is the whole.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// As operators write it: `server.tls`.
impl From<&str> for Key {
    fn from(text: &str) -> Self {
        Self(text.split('.').filter(|name| !name.is_empty()).map(str::to_owned).collect())
    }
}

impl From<&Self> for Key {
    fn from(key: &Self) -> Self {
        key.clone()
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, name) in self.names().enumerate() {
            let dot = if n == 0 || name.starts_with('[') { "" } else { "." };
            write!(f, "{dot}{name}")?;
        }
        Ok(())
    }
}

/// One mistake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// Where it is. Empty where that is for the caller to say, or where it has no place of its own.
    pub key: Key,
    /// The rest of a sentence that begins with the place: what is wrong and what to write instead.
    pub problem: String,
}

impl Mistake {
    /// A mistake at `key`.
    pub fn new(key: impl Into<Key>, problem: impl Into<String>) -> Self {
        Self { key: key.into(), problem: problem.into() }
    }

    /// The same mistake where its key stands below `outer`.
    #[must_use]
    pub fn within(self, outer: impl Into<Key>) -> Self {
        Self { key: self.key.within(outer), problem: self.problem }
    }
}

/// What is wrong with a value, by code that does not know where the value stands.
impl From<String> for Mistake {
    fn from(problem: String) -> Self {
        Self::new(Key::default(), problem)
    }
}

impl From<&str> for Mistake {
    fn from(problem: &str) -> Self {
        problem.to_owned().into()
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        f.write_str(&self.problem)
    }
}

/// All mistakes that one pass finds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mistakes(Vec<Mistake>);

impl Mistakes {
    /// Notes a mistake at `key`.
    pub fn refuse(&mut self, key: impl Into<Key>, problem: impl Into<String>) {
        self.0.push(Mistake::new(key, problem));
    }

    /// Takes the value out of `outcome`, and notes what is wrong with it.
    pub fn note<T>(&mut self, outcome: Result<T, impl Into<Self>>) -> Option<T> {
        outcome.map_err(|mistakes| self.0.extend(mistakes.into().0)).ok()
    }

    /// `made`, if there is no mistake.
    pub fn or<T>(self, made: T) -> Result<T, Self> {
        if self.0.is_empty() { Ok(made) } else { Err(self) }
    }

    /// The same mistakes where their keys stand below `outer`.
    #[must_use]
    pub fn within(self, outer: impl Into<Key>) -> Self {
        let outer = outer.into();
        self.into_iter().map(|mistake| mistake.within(&outer)).collect()
    }

    /// Each of them once.
    #[must_use]
    pub fn once(self) -> Self {
        let mut told: Vec<Mistake> = Vec::new();
        for mistake in self.0 {
            if !told.contains(&mistake) {
                told.push(mistake);
            }
        }
        Self(told)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Each of them.
    pub fn iter(&self) -> std::slice::Iter<'_, Mistake> {
        self.0.iter()
    }
}

impl<M: Into<Mistake>> From<M> for Mistakes {
    fn from(mistake: M) -> Self {
        Self(vec![mistake.into()])
    }
}

impl FromIterator<Mistake> for Mistakes {
    fn from_iter<I: IntoIterator<Item = Mistake>>(mistakes: I) -> Self {
        Self(mistakes.into_iter().collect())
    }
}

impl Extend<Mistake> for Mistakes {
    fn extend<I: IntoIterator<Item = Mistake>>(&mut self, mistakes: I) {
        self.0.extend(mistakes);
    }
}

impl IntoIterator for Mistakes {
    type Item = Mistake;
    type IntoIter = std::vec::IntoIter<Mistake>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl<'m> IntoIterator for &'m Mistakes {
    type Item = &'m Mistake;
    type IntoIter = std::slice::Iter<'m, Mistake>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// The one of `known` that was probably meant by `written`, as the end of a message; empty where none is near.
pub fn did_you_mean<K: AsRef<str>>(written: &str, known: impl IntoIterator<Item = K>) -> String {
    // `canPublish`, `can_publish` and `CANPUBLISH` are one name to their author.
    let plain = |name: &str| name.to_lowercase().replace(['_', '-', '.'], "");
    let written = plain(written);
    let far = |name: &str| strsim::osa_distance(&plain(name), &written);
    let nearest = known.into_iter().map(|name| (far(name.as_ref()), name)).min_by_key(|(far, _)| *far);
    let near = written.chars().count().div_ceil(4).min(3);
    nearest
        .filter(|(far, _)| *far <= near)
        .map_or_else(String::new, |(_, name)| format!("; did you mean {}?", name.as_ref()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_suggested_where_one_is_near() {
        let known = ["sendsar", "sendbird", "listen", "canPublish", "api_url"];
        for (written, meant) in [
            ("sendser", "; did you mean sendsar?"),
            ("listn", "; did you mean listen?"),
            ("CANPUBLISH", "; did you mean canPublish?"),
            ("can_publish", "; did you mean canPublish?"),
            ("api_ulr", "; did you mean api_url?"),
            ("colour", ""),
            ("x", ""),
            ("", ""),
        ] {
            assert_eq!(did_you_mean(written, known), meant, "{written}");
        }
        assert_eq!(did_you_mean("x", [""; 0]), "");
    }
}

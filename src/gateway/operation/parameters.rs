//! Parameters of a call: the values that a path, a query and a body have for a name.

/// Names and values, in the order in which they were found. A name may have several values.
#[derive(Clone, Default)]
pub struct Parameters<'o>(Vec<(&'o str, String)>);

impl std::fmt::Debug for Parameters<'_> {
    /// Values are ids of people and rooms.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.0.iter().map(|(name, _)| name)).finish()
    }
}

impl<'o> Parameters<'o> {
    /// Adds a value.
    pub(super) fn add(&mut self, name: &'o str, value: &str) {
        if !self.of(name).any(|own| own == value) {
            self.0.push((name, value.to_owned()));
        }
    }

    /// Every value of a parameter, each once.
    pub fn of(&self, name: &str) -> impl Iterator<Item = &str> {
        self.0.iter().filter(move |(own, _)| *own == name).map(|(_, value)| value.as_str())
    }

    /// Every name with each of its values.
    pub fn iter(&self) -> impl Iterator<Item = (&'o str, &str)> {
        self.0.iter().map(|(name, value)| (*name, value.as_str()))
    }

    /// Whether a parameter has one value: of two, a proof could name one and the provider read the other.
    pub(super) fn has_one(&self, name: &str) -> bool {
        self.of(name).count() == 1
    }
}

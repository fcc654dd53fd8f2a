//! The scripts, each with the name that the server knows it by.

use redis::Script as Loaded;

/// What all of them begin with.
const PRELUDE: &str = include_str!("scripts/prelude.lua");

/// A script.
#[derive(Debug)]
pub(super) struct Script {
    pub(super) text: String,
    /// Its SHA-1, as the server computes it.
    pub(super) hash: String,
}

impl Script {
    pub(super) fn new(prelude: &str, body: &str) -> Self {
        let text = [prelude, body].concat();
        let hash = Loaded::new(&text).get_hash().to_owned();
        Self { text, hash }
    }
}

/// All of them.
#[derive(Debug)]
pub(super) struct Scripts {
    pub(super) enter: Script,
    pub(super) land: Script,
    pub(super) keep: Script,
    pub(super) end: Script,
    pub(super) tell: Script,
    pub(super) take: Script,
    pub(super) beat: Script,
}

impl Scripts {
    pub(super) fn new() -> Self {
        Self::with(PRELUDE)
    }

    /// The same with another beginning.
    fn with(prelude: &str) -> Self {
        let script = |body| Script::new(prelude, body);
        Self {
            enter: script(include_str!("scripts/enter.lua")),
            land: script(include_str!("scripts/land.lua")),
            keep: script(include_str!("scripts/keep.lua")),
            end: script(include_str!("scripts/end.lua")),
            tell: script(include_str!("scripts/tell.lua")),
            take: script(include_str!("scripts/take.lua")),
            beat: script(include_str!("scripts/beat.lua")),
        }
    }

    /// Scripts whose time is their last argument: tests move it by hand.
    #[cfg(test)]
    pub(super) fn timed() -> Self {
        let clock = "local t = redis.call('TIME')\n  return t[1] * 1000000 + t[2]";
        let timed = PRELUDE.replace(clock, "return tonumber(ARGV[#ARGV])");
        assert_ne!(timed, PRELUDE, "the clock of the scripts is found");
        Self::with(&timed)
    }

    /// In the order in which they are loaded.
    pub(super) fn all(&self) -> [&Script; 7] {
        [&self.enter, &self.land, &self.keep, &self.end, &self.tell, &self.take, &self.beat]
    }
}

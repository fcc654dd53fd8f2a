//! The scripts of the queue.

use std::sync::Arc;

use crate::shared::StoredScript;

/// What all of them begin with.
const PRELUDE: &str = include_str!("scripts/prelude.lua");

/// All of them.
#[derive(Debug)]
pub(super) struct Scripts {
    pub(super) keep: Arc<StoredScript>,
    pub(super) take: Arc<StoredScript>,
    pub(super) settle: Arc<StoredScript>,
    pub(super) renew: Arc<StoredScript>,
    pub(super) list: Arc<StoredScript>,
    pub(super) show: Arc<StoredScript>,
    pub(super) change: Arc<StoredScript>,
}

impl Scripts {
    pub(super) fn new() -> Self {
        Self::with(PRELUDE)
    }

    fn with(prelude: &str) -> Self {
        let script = |body| Arc::new(StoredScript::new(prelude, body));
        Self {
            keep: script(include_str!("scripts/keep.lua")),
            take: script(include_str!("scripts/take.lua")),
            settle: script(include_str!("scripts/settle.lua")),
            renew: script(include_str!("scripts/renew.lua")),
            list: script(include_str!("scripts/list.lua")),
            show: script(include_str!("scripts/show.lua")),
            change: script(include_str!("scripts/change.lua")),
        }
    }

    /// Scripts whose time is their last argument: tests move it by hand.
    #[cfg(test)]
    pub(super) fn timed() -> Self {
        let clock = "local t = redis.call('TIME')\n  return t[1] * 1000 + math.floor(t[2] / 1000)";
        let timed = PRELUDE.replace(clock, "return tonumber(ARGV[#ARGV])");
        assert_ne!(timed, PRELUDE, "the clock of the scripts is found");
        Self::with(&timed)
    }

    /// In the order in which they are loaded.
    pub(super) fn all(&self) -> [&StoredScript; 7] {
        [&self.keep, &self.take, &self.settle, &self.renew, &self.list, &self.show, &self.change]
    }
}

//! How many descriptors the process may have, and what they are for (T-71).
//!
//! A connection, a call to a provider and an open file take one each. Where they run out nothing can be accepted, and no
//! changed secret can be read; a probe that is not answered has a healthy process killed. So places for connections are
//! what is left when everything else has its part.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Standard streams, listeners, the runtime, watched folders, and files that are read now and then.
const OWN: usize = 24;
/// Places of the ops listener.
const OPS: usize = 64;
/// Connections of one listener that end and have not let go of their descriptor.
const LEAVING: usize = 16;

/// How descriptors are shared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Budget {
    /// All of them; `None` where there is no limit.
    limit: Option<usize>,
    /// What the configuration wants for the connections of one listener.
    wanted: usize,
    /// Connections of one listener of identity.
    pub(super) connections: usize,
    /// Connections of the ops listener.
    pub(super) ops: usize,
}

impl Budget {
    /// What the process may have now, shared between so many listeners of identity with as many connections as each of
    /// them wants, and so many calls to providers at once.
    pub(super) fn now(wanted: usize, listeners: usize, calls: usize) -> Self {
        let limit = getrlimit(Resource::Nofile).current.map(|limit| usize::try_from(limit).unwrap_or(usize::MAX));
        Self::of(limit, wanted, listeners, calls)
    }

    fn of(limit: Option<usize>, wanted: usize, listeners: usize, calls: usize) -> Self {
        let Some(all) = limit else { return Self { limit, wanted, connections: wanted, ops: OPS } };
        let ops = (all / 8).clamp(4, OPS);
        let left = all.saturating_sub(OWN + ops + calls.min(all / 4));
        let each = left / listeners.max(1);
        let most = each.saturating_sub(each.div_ceil(5).clamp(1, LEAVING)).max(1);
        Self { limit, wanted, connections: wanted.min(most), ops } // T-71: budget of descriptors
    }

    /// What is worth a warning: fewer connections than the configuration wants.
    pub(super) fn caution(&self) -> Option<String> {
        let limit = self.limit.filter(|_| self.connections < self.wanted)?;
        Some(format!(
            "server.max_connections is {}, but the process may open {limit} files (ulimit -n), so each listener has {} places \
             for connections; raise that limit, or write a lower number",
            self.wanted, self.connections
        ))
    }
}

/// Raises the soft limit to the hard one: it is low for programs that can take no more than 1,024, and this one can.
pub(crate) fn raise() {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    // Where it cannot be raised, the budget is that of what there is.
    let _as_before = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }); // T-71: raised limit
}

#[cfg(test)]
mod tests {
    use super::*;

    /// T-71: whatever the limit, everything has a part of it.
    #[test]
    fn everything_has_its_part() {
        for (limit, listeners, calls) in
            [(64, 1, 128), (64, 2, 128), (100, 1, 0), (256, 1, 1000), (1024, 1, 128), (1024, 2, 500), (4096, 1, 128)]
        {
            let budget = Budget::of(Some(limit), 4096, listeners, calls);
            let of_connections = listeners * (budget.connections + (budget.connections / 4).clamp(1, LEAVING));
            let rest = OWN + budget.ops + calls.min(limit / 4);
            assert!(of_connections + rest <= limit, "{limit}: {of_connections} and {rest}");
            assert!(budget.connections >= 1 && budget.ops >= 4, "{budget:?}");
            let caution = budget.caution().expect("a warning");
            let numbers = ["4096".to_owned(), limit.to_string(), budget.connections.to_string()];
            assert!(numbers.iter().all(|number| caution.contains(number)), "{caution}");
        }
    }

    #[test]
    fn what_fits_is_left_as_it_is() {
        for limit in [None, Some(8192), Some(1_048_576), Some(usize::MAX)] {
            let budget = Budget::of(limit, 4096, 2, 128);
            let fits = limit != Some(8192);
            assert_eq!((budget.connections == 4096, budget.caution().is_none()), (fits, fits), "{limit:?}");
            assert_eq!(budget.ops, OPS);
        }
        assert_eq!(Budget::of(Some(1024), 100, 2, 128).connections, 100);
    }
}

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

/// What connections may take of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct DescriptorShares {
    /// Connections of each listener of identity.
    pub(super) connections: usize,
    /// Connections of the ops listener.
    pub(super) ops: usize,
    /// What is worth a warning: fewer connections than the configuration wants.
    pub(super) caution: Option<String>,
}

impl DescriptorShares {
    /// Shares what the process may have now between so many listeners of identity with as many connections as each of
    /// them wants, and so many calls to providers at once.
    pub(super) fn share(wanted: usize, listeners: usize, calls: usize) -> Self {
        let limit = getrlimit(Resource::Nofile).current;
        limit.map_or(Self { connections: wanted, ops: OPS, caution: None }, |limit| {
            Self::of(usize::try_from(limit).unwrap_or(usize::MAX), wanted, listeners, calls)
        })
    }

    fn of(limit: usize, wanted: usize, listeners: usize, calls: usize) -> Self {
        let ops = (limit / 8).clamp(4, OPS);
        let left = limit.saturating_sub(OWN + ops + calls.min(limit / 4));
        let each = left / listeners.max(1);
        let most = each.saturating_sub(each.div_ceil(5).clamp(1, LEAVING)).max(1);
        let connections = wanted.min(most); // T-71: places for connections
        let caution = (connections < wanted).then(|| {
            format!(
                "server.max_connections is {wanted}, but the process may open {limit} files (ulimit -n), so each listener \
                 has {connections} places for connections; raise that limit, or write a lower number"
            )
        });
        Self { connections, ops, caution }
    }
}

/// Raises the soft limit to the hard one: it is low for programs that can take no more than 1,024, and this one can.
pub(crate) fn raise() {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    // Where it cannot be raised, what there is is shared.
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
            let DescriptorShares { connections, ops, caution } = DescriptorShares::of(limit, 4096, listeners, calls);
            let of_connections = listeners * (connections + (connections / 4).clamp(1, LEAVING));
            let rest = OWN + ops + calls.min(limit / 4);
            assert!(of_connections + rest <= limit, "{limit}: {of_connections} and {rest}");
            assert!(connections >= 1 && ops >= 4, "{limit}: {connections} and {ops}");
            let caution = caution.expect("a warning");
            let numbers = ["4096".to_owned(), limit.to_string(), connections.to_string()];
            assert!(numbers.iter().all(|number| caution.contains(number)), "{caution}");
        }
    }

    #[test]
    fn what_fits_is_left_as_it_is() {
        for limit in [8192, 1_048_576, usize::MAX] {
            let shares = DescriptorShares::of(limit, 4096, 2, 128);
            let fits = limit != 8192;
            assert_eq!((shares.connections == 4096, shares.caution.is_none()), (fits, fits), "{limit}");
            assert_eq!(shares.ops, OPS);
        }
        assert_eq!(DescriptorShares::of(1024, 100, 2, 128).connections, 100);
    }
}

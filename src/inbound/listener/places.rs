//! Which connection has a place on a listener, and which one gives it up for another.
//!
//! Places are few, and every client that reaches the port can ask for them (T-70). So peers that can prove nothing share a small
//! part, each address of theirs has a smaller one, and where a place is wanted an idle connection of the lowest rank makes
//! room: the oldest one of the peer that has the most. A peer that its connection proves never gives its place up.

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use parking_lot::Mutex;
use strum::{IntoStaticStr, VariantArray};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::identity::{Peer, Rank};
use crate::inbound::connection::Phase;
use crate::metrics::{ByVariant, Counter, Label as _, Metrics};

/// One of so many places is for strangers, and of these one of as many for one address.
const PART: usize = 4;
/// Connections that made room and have not ended yet, at most. They end at once, unless the machine has no time for them;
/// then new connections wait for that time as well.
const LEAVING: usize = 16;
/// Pause between two looks for an idle connection, while a new one waits for a place.
const LOOK: Duration = Duration::from_millis(50);

/// How the places of a listener are shared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shares {
    /// All of them.
    all: usize,
    /// For strangers.
    strangers: usize,
    /// For one address of strangers.
    one_address: usize,
}

impl Shares {
    /// Places where peers are told apart.
    pub(super) fn by_rank(all: usize) -> Self {
        let strangers = (all / PART).max(1);
        Self { all, strangers, one_address: (strangers / PART).max(1) }
    }

    /// Places where no peer proves anything.
    pub(super) const fn alike(all: usize) -> Self {
        Self { all, strangers: all, one_address: all }
    }
}

/// Why a connection was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub(super) enum Refused {
    /// The address has its share.
    Address,
    /// Strangers have their share.
    Strangers,
    /// Every place is taken, by others that are busy or of a higher rank.
    Full,
}

/// Why there is no place now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum NoPlace {
    /// There will not be one soon.
    Refused(Refused),
    /// So many are leaving that the next one has to wait for them.
    Leaving,
}

/// A connection that has a place or waits for one.
#[derive(Debug)]
pub(super) struct Entry {
    peer: Peer,
    /// Between two requests or not; not yet known in a handshake, which counts for idle.
    phase: OnceLock<Arc<Phase>>,
    /// Cancelled when the connection should end: for another, or because the listener drains.
    end: CancellationToken,
}

impl Entry {
    pub(super) fn new(peer: Peer, draining: &CancellationToken) -> Arc<Self> {
        Arc::new(Self { peer, phase: OnceLock::new(), end: draining.child_token() })
    }

    /// The connection has come so far that there are requests.
    pub(super) fn follow(&self, phase: &Arc<Phase>) {
        // There is one phase for the life of a connection.
        let _first = self.phase.set(Arc::clone(phase));
    }

    /// Cancelled when the connection should end.
    pub(super) fn end(&self) -> &CancellationToken {
        &self.end
    }

    /// Whether a request is being answered.
    pub(super) fn is_busy(&self) -> bool {
        self.phase.get().is_some_and(|phase| phase.is_busy())
    }

    /// Whose share it counts against. An IPv6 network of 64 bits is one peer: it has as many addresses as it wants.
    fn holder(&self) -> Peer {
        match self.peer {
            Peer::Tcp(IpAddr::V6(address)) => {
                // T-70: one holder a network
                Peer::Tcp(IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX))))
            }
            peer => peer,
        }
    }
}

/// The places of one listener.
#[derive(Debug)]
pub(super) struct Places {
    shares: Shares,
    taken: Mutex<Taken>,
    /// A place has become free.
    freed: Notify,
    displaced: Counter,
    refused: ByVariant<Refused>,
}

#[derive(Debug, Default)]
struct Taken {
    next: u64,
    strangers: Group,
    open: Group,
    known: usize,
    /// Those that made room and have not ended.
    leaving: usize,
}

/// Connections of one rank, in the order in which they came.
#[derive(Debug, Default)]
struct Group {
    entries: BTreeMap<u64, Arc<Entry>>,
    /// How many each peer has.
    holders: HashMap<Peer, usize>,
}

/// A place that is taken, until this is dropped.
#[derive(Debug)]
pub(super) struct Place {
    places: Arc<Places>,
    entry: Arc<Entry>,
    number: u64,
    rank: Rank,
}

impl Places {
    pub(super) fn new(shares: Shares, metrics: &Metrics) -> Arc<Self> {
        Arc::new(Self {
            shares,
            taken: Mutex::default(),
            freed: Notify::new(),
            displaced: metrics.inbound.connections_closed("displaced"),
            refused: ByVariant::new(|refused: Refused| metrics.inbound.connections_refused(refused.label())),
        })
    }

    /// A place for a connection of this rank. Strangers get one or are refused at once; others wait while every place is
    /// taken by requests and peers that are known.
    pub(super) async fn take(self: &Arc<Self>, entry: &Arc<Entry>, rank: Rank) -> Result<Place, Refused> {
        loop {
            match self.try_take(entry, rank) {
                Ok(place) => return Ok(place),
                Err(NoPlace::Refused(refused)) if refused != Refused::Full || rank == Rank::Unproven => {
                    self.refused.inc(refused);
                    return Err(refused);
                }
                Err(_) => {
                    // When nothing was freed, one may have fallen idle.
                    let _looked = tokio::time::timeout(LOOK, self.freed.notified()).await;
                }
            }
        }
    }

    fn try_take(self: &Arc<Self>, entry: &Arc<Entry>, rank: Rank) -> Result<Place, NoPlace> {
        let mut taken = self.taken.lock();
        if rank == Rank::Unproven {
            let own = taken.strangers.holders.get(&entry.holder()).copied().unwrap_or_default();
            if own >= self.shares.one_address && !self.displace(&mut taken, Rank::Unproven, Some(entry.holder()))? {
                return Err(NoPlace::Refused(Refused::Address));
            }
            // T-70: places of strangers
            if taken.strangers.entries.len() >= self.shares.strangers
                && !self.displace(&mut taken, Rank::Unproven, None)?
            {
                return Err(NoPlace::Refused(Refused::Strangers));
            }
        }
        while taken.count() >= self.shares.all {
            // T-70: displaced connections
            let has_room = self.displace(&mut taken, Rank::Unproven, None)?
                || (rank != Rank::Unproven && self.displace(&mut taken, Rank::Open, None)?);
            if !has_room {
                return Err(NoPlace::Refused(Refused::Full));
            }
        }
        let number = taken.next;
        taken.next += 1;
        taken.insert(number, rank, entry);
        Ok(Place { places: Arc::clone(self), entry: Arc::clone(entry), number, rank })
    }

    /// Ends the connection of this rank that can best be spared, of one peer if that is given; false where there is none.
    fn displace(&self, taken: &mut Taken, rank: Rank, of: Option<Peer>) -> Result<bool, NoPlace> {
        let may_leave = taken.leaving < (self.shares.all / PART).clamp(1, LEAVING);
        let Some(group) = taken.group(rank) else { return Ok(false) };
        let Some(number) = group.spare(of) else { return Ok(false) };
        if !may_leave {
            return Err(NoPlace::Leaving);
        }
        if let Some(entry) = group.remove(number) {
            entry.end.cancel(); // T-70: displaced connection ends
            taken.leaving += 1;
            self.displaced.inc();
        }
        Ok(true)
    }
}

impl Taken {
    fn count(&self) -> usize {
        self.known + self.strangers.entries.len() + self.open.entries.len()
    }

    /// Connections that may have to make room; none of peers that are known.
    fn group(&mut self, rank: Rank) -> Option<&mut Group> {
        match rank {
            Rank::Unproven => Some(&mut self.strangers),
            Rank::Open => Some(&mut self.open),
            Rank::Known => None,
        }
    }

    fn insert(&mut self, number: u64, rank: Rank, entry: &Arc<Entry>) {
        match self.group(rank) {
            Some(group) => group.insert(number, entry),
            None => self.known += 1,
        }
    }

    /// Takes a connection out; false where it has made room already.
    fn remove(&mut self, number: u64, rank: Rank) -> bool {
        match self.group(rank) {
            Some(group) => group.remove(number).is_some(),
            None => {
                self.known = self.known.saturating_sub(1);
                true
            }
        }
    }
}

impl Group {
    fn insert(&mut self, number: u64, entry: &Arc<Entry>) {
        *self.holders.entry(entry.holder()).or_default() += 1;
        self.entries.insert(number, Arc::clone(entry));
    }

    fn remove(&mut self, number: u64) -> Option<Arc<Entry>> {
        let entry = self.entries.remove(&number)?;
        let holder = entry.holder();
        if let Some(count) = self.holders.get_mut(&holder) {
            *count -= 1;
            if *count == 0 {
                self.holders.remove(&holder);
            }
        }
        Some(entry)
    }

    /// The oldest idle connection: of this peer, or of the one that has the most, or of any.
    fn spare(&self, of: Option<Peer>) -> Option<u64> {
        let oldest = |fits: &dyn Fn(Peer) -> bool| {
            // T-70: busy connections stay
            let idle = self.entries.iter().find(|(_, entry)| fits(entry.holder()) && !entry.is_busy());
            idle.map(|(number, _)| *number)
        };
        if let Some(peer) = of {
            return oldest(&|holder| holder == peer);
        }
        let most = self.holders.values().max().copied().unwrap_or_default();
        // T-70: largest holder
        oldest(&|holder| self.holders.get(&holder) == Some(&most)).or_else(|| oldest(&|_| true))
    }
}

impl Place {
    /// The connection has proven more since: by its certificate.
    pub(super) fn rise(&mut self, rank: Rank) {
        // T-70: rank rises
        if rank > self.rank {
            let mut taken = self.places.taken.lock();
            if taken.remove(self.number, self.rank) {
                taken.insert(self.number, rank, &self.entry);
                drop(taken);
                self.rank = rank;
            }
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.taken.lock();
        if !taken.remove(self.number, self.rank) {
            taken.leaving = taken.leaving.saturating_sub(1);
        }
        drop(taken);
        self.places.freed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Listener {
        places: Arc<Places>,
        draining: CancellationToken,
    }

    impl Listener {
        fn new(shares: Shares) -> Self {
            let metrics = Metrics::new().expect("metrics");
            Self { places: Places::new(shares, &metrics), draining: CancellationToken::new() }
        }

        fn enter(&self, address: &str, rank: Rank) -> Result<Place, NoPlace> {
            let entry = Entry::new(Peer::tcp(address.parse().expect("an address")), &self.draining);
            self.places.try_take(&entry, rank)
        }

        fn idle(&self, address: &str, rank: Rank) -> Place {
            self.enter(address, rank).expect("a place")
        }

        fn busy(&self, address: &str, rank: Rank) -> Place {
            let place = self.idle(address, rank);
            place.entry.follow(&Phase::busy_for_test());
            place
        }
    }

    fn has_ended(places: &[Place]) -> Vec<bool> {
        places.iter().map(|place| place.entry.end.is_cancelled()).collect()
    }

    /// T-70: strangers share a quarter, one address of theirs a quarter of that, and new connections push out idle ones.
    #[test]
    fn strangers_share_a_part_and_push_out_each_other() {
        let listener = Listener::new(Shares::by_rank(32));
        let first: Vec<_> = (0..3).map(|_| listener.idle("203.0.113.1", Rank::Unproven)).collect();
        assert_eq!(has_ended(&first), [true, false, false], "two places for one address");
        let others: Vec<_> = (2..9).map(|n| listener.idle(&format!("203.0.113.{n}"), Rank::Unproven)).collect();
        assert_eq!(has_ended(&first), [true, true, false], "eight places in all, and who has the most gives one up");
        assert_eq!(has_ended(&others), [false; 7]);
        let known: Vec<_> = (0..24).map(|_| listener.idle("127.0.0.1", Rank::Known)).collect();
        assert_eq!(has_ended(&known), [false; 24]);
    }

    /// T-70: a busy connection keeps its place, and new ones are refused when all are busy.
    #[test]
    fn busy_connections_keep_their_places() {
        let listener = Listener::new(Shares::by_rank(32));
        let busy: Vec<_> = (0..2).map(|_| listener.busy("203.0.113.1", Rank::Unproven)).collect();
        assert_eq!(listener.enter("203.0.113.1", Rank::Unproven).err(), Some(NoPlace::Refused(Refused::Address)));
        let more: Vec<_> = (2..8).map(|n| listener.busy(&format!("203.0.113.{n}"), Rank::Unproven)).collect();
        assert_eq!(listener.enter("203.0.113.9", Rank::Unproven).err(), Some(NoPlace::Refused(Refused::Strangers)));
        assert!(has_ended(&busy).iter().chain(&has_ended(&more)).all(|ended| !ended));
        drop(busy);
        drop(listener.idle("203.0.113.9", Rank::Unproven));
    }

    /// T-70: a peer that is known finds a place among strangers and others, and is never pushed out.
    #[test]
    fn a_known_peer_finds_a_place_and_keeps_it() {
        let listener = Listener::new(Shares::by_rank(8));
        let mut others: Vec<_> = (1..8).map(|n| listener.idle(&format!("203.0.113.{n}"), Rank::Open)).collect();
        others.push(listener.idle("198.51.100.1", Rank::Unproven));
        let mut known = Vec::new();
        while let Some(last) = others.pop() {
            known.push(listener.idle("127.0.0.1", Rank::Known));
            assert!(last.entry.end.is_cancelled() || last.rank == Rank::Open, "the stranger goes first");
            others.push(last);
            others.retain(|place| !place.entry.end.is_cancelled());
            assert_eq!(others.len() + known.len(), 8);
        }
        for rank in [Rank::Unproven, Rank::Open, Rank::Known] {
            assert_eq!(listener.enter("127.0.0.1", rank).err(), Some(NoPlace::Refused(Refused::Full)), "{rank:?}");
        }
        assert_eq!(has_ended(&known), [false; 8]);
        drop(known);
        let open: Vec<_> = (1..=8).map(|n| listener.busy(&format!("203.0.113.{n}"), Rank::Open)).collect();
        let refused = listener.enter("127.0.0.1", Rank::Known).err();
        assert_eq!(refused, Some(NoPlace::Refused(Refused::Full)), "no connection is cut off in a request");
        drop(open);
    }

    /// T-70: where every peer may bring a token, the peer with the most connections gives one up first.
    #[test]
    fn who_has_the_most_gives_up_first() {
        let listener = Listener::new(Shares::by_rank(8));
        let proxy: Vec<_> = (0..3).map(|_| listener.idle("192.0.2.1", Rank::Open)).collect();
        let hoarder: Vec<_> = (0..5).map(|_| listener.idle("203.0.113.1", Rank::Open)).collect();
        let accepted = listener.idle("192.0.2.2", Rank::Open);
        assert_eq!((has_ended(&proxy), has_ended(&hoarder)), (vec![false; 3], vec![true, false, false, false, false]));
        drop(accepted);
    }

    /// T-70: a network of IPv6 is one peer.
    #[test]
    fn a_network_of_ipv6_is_one_peer() {
        let listener = Listener::new(Shares::by_rank(32));
        let one: Vec<_> = (1..4).map(|n| listener.idle(&format!("2001:db8:0:1::{n}"), Rank::Unproven)).collect();
        let other = vec![listener.idle("2001:db8:0:2::1", Rank::Unproven)];
        assert_eq!((has_ended(&one), has_ended(&other)), (vec![true, false, false], vec![false]));
    }

    /// T-70: handshakes are in the part of strangers until they have shown their certificate.
    #[test]
    fn a_certificate_leaves_the_part_of_strangers() {
        let listener = Listener::new(Shares::by_rank(4));
        let mut proven = listener.idle("192.0.2.1", Rank::Unproven);
        proven.rise(Rank::Known);
        let stranger = listener.idle("203.0.113.1", Rank::Unproven);
        assert!(!proven.entry.end.is_cancelled());
        drop(listener.idle("203.0.113.2", Rank::Unproven));
        assert!(stranger.entry.end.is_cancelled() && !proven.entry.end.is_cancelled());
        drop((proven, stranger));
        let taken = listener.places.taken.lock();
        assert_eq!(
            (taken.count(), taken.leaving, taken.strangers.holders.len()),
            (0, 0, 0),
            "everything is given back"
        );
    }

    /// Those that made room and have not ended are bounded as well.
    #[test]
    fn so_many_may_be_leaving_and_no_more() {
        let listener = Listener::new(Shares::alike(40));
        let mut places: Vec<_> = (0..40 + 40 / PART).map(|_| listener.idle("192.0.2.1", Rank::Unproven)).collect();
        assert_eq!(listener.enter("192.0.2.1", Rank::Unproven).err(), Some(NoPlace::Leaving));
        drop(places.remove(0));
        places.push(listener.idle("192.0.2.1", Rank::Unproven));
    }
}

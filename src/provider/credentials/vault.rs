//! The generation in service, and how it is replaced.

use std::collections::HashSet;
use std::hash::{BuildHasher as _, RandomState};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use serde_json::Value;

use super::read::read;
use super::ring::{KeyStatus, Ring, Rules};
use super::{Credentials, Needs, Signer};
use crate::clock::{Clock, Moment};
use crate::definition::{Key, Mistake, Mistakes};
use crate::provider::keys;
use crate::secrets::{Fingerprint, News, Reloaded, Reports, SecretSet, SecretSource};

/// Between two looks at the files that refused calls ask for: a wrong key under load must not become a storm of reads.
const COOL_DOWN: Duration = Duration::from_secs(1);

/// Former secrets that are told from others at most. Beyond them, every change ends sessions for good.
const MOST_FORMER: usize = 4096;

/// The current generation, and the keys of those before it.
#[derive(Debug)]
pub(in crate::provider) struct Vault {
    needs: Needs,
    current: Reloaded<Credentials>,
    ring: Mutex<Ring>,
    /// Names of the secrets so far, the current ones among them.
    former: Mutex<HashSet<Fingerprint>>,
    /// A name that no other process has.
    own: Fingerprint,
    /// When a refused call last asked for a look.
    asked: tokio::sync::Mutex<Option<Moment>>,
    /// Milliseconds that a token lives at most.
    longest: AtomicU64,
    clock: Arc<dyn Clock>,
    /// Whether the signing key was made at start.
    generated: bool,
}

impl Vault {
    /// Reads the first generation.
    pub(in crate::provider) fn open(
        mut needs: Needs,
        reports: Reports,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, Mistakes> {
        let mut generated = false;
        if let Some(rule) = needs.key.as_ref().filter(|rule| !needs.sources.contains_key(&rule.signer.secret)) {
            let (alg, secret) = (rule.signer.alg, &rule.signer.secret);
            if !rule.generate || alg.is_hmac() {
                let problem = format!("is missing; {} needs {secret}_file = \"/path\"", alg.name());
                return Err(Mistake::new(Key::of(secret), problem).into());
            }
            let made = keys::generate(alg).map_err(|error| Mistake::new(Key::of(secret), error.to_string()))?;
            needs.sources.insert(secret.clone(), SecretSource::Made(made));
            generated = true;
        }
        let mut ring = None;
        let current = Reloaded::open(needs.sources.clone(), reports, |secrets| {
            let (mut first, found) = read(&needs, secrets)?;
            let now = clock.moment();
            let opened = ring.insert(Ring::open(found, now));
            first.generation = 1;
            first.sessions = sessions(&needs, secrets, 0);
            first.abroad = abroad(&needs, secrets);
            first.signer = opened.choose(named(&needs, &first.secrets), now);
            Ok(first)
        })?;
        let longest = needs.key.as_ref().map_or(Duration::ZERO, |rule| rule.longest);
        let former = Mutex::new(HashSet::from([current.current().sessions]));
        Ok(Self {
            current,
            former,
            ring: Mutex::new(ring.unwrap_or_default()),
            own: Fingerprint(RandomState::new().hash_one(()).to_be_bytes()),
            asked: tokio::sync::Mutex::default(),
            longest: AtomicU64::new(millis(longest)),
            needs,
            clock,
            generated,
        })
    }

    /// The generation in service.
    pub(in crate::provider) fn current(&self) -> arc_swap::Guard<Arc<Credentials>> {
        self.current.current()
    }

    /// Whether the signing key was made at start and will be gone at the next.
    pub(in crate::provider) fn is_generated(&self) -> bool {
        self.generated
    }

    /// Name of the setting that holds the key of tokens.
    pub(in crate::provider) fn key_setting(&self) -> Option<&str> {
        Some(&self.needs.key.as_ref()?.signer.secret)
    }

    /// The folder of the keys of tokens, where there is one.
    pub(in crate::provider) fn key_folder(&self) -> Option<&PathBuf> {
        match self.needs.sources.get(&self.needs.key.as_ref()?.signer.secret)? {
            SecretSource::Folder(folder) => Some(folder),
            _ => None,
        }
    }

    /// Where each secret comes from, for people. A key that was made at start comes from nowhere.
    pub(in crate::provider) fn places(&self) -> impl Iterator<Item = (&str, String)> {
        let given = self.needs.sources.iter().filter(|(_, source)| !matches!(source, SecretSource::Made(_)));
        given.map(|(name, source)| (name.as_str(), source.to_string()))
    }

    /// Files to watch.
    pub(in crate::provider) fn files(&self) -> impl Iterator<Item = PathBuf> {
        self.current.files()
    }

    /// Notes that tokens live this long: a key that is taken away stays published for the longest of all.
    pub(in crate::provider) fn note_lifetime(&self, life: Duration) {
        self.longest.fetch_max(millis(life), Ordering::Relaxed);
    }

    /// How long a token may live.
    pub(in crate::provider) fn longest(&self) -> Duration {
        Duration::from_millis(self.longest.load(Ordering::Relaxed))
    }

    /// Reads the sources again, and sees which key signs now.
    pub(in crate::provider) fn reload(&self) -> News {
        self.current.look(|secrets, changed, old| {
            // In a folder that did not change, another key may have been announced long enough by now.
            if changed || self.key_folder().is_some() { self.take(secrets, changed, old) } else { Ok(None) }
        })
    }

    /// The next generation, where it differs from the old one.
    fn take(
        &self,
        secrets: &Arc<SecretSet>,
        changed: bool,
        old: &Credentials,
    ) -> Result<Option<Credentials>, Mistakes> {
        let now = self.clock.moment();
        let (mut new, found) = read(&self.needs, secrets)?;
        let mut ring = self.ring.lock();
        let before = ring.signs().map(str::to_owned);
        let lost = match self.rules() {
            Some((name, rules)) => ring.update(found, rules, now).map_err(|mistake| mistake.within(Key::of(name)))?,
            None => false,
        };
        new.generation = old.generation.saturating_add(u32::from(changed));
        let ends = self.come_back(secrets, old) || lost;
        new.endings = old.endings.saturating_add(u32::from(ends));
        new.sessions = sessions(&self.needs, secrets, new.endings);
        new.abroad = abroad(&self.needs, secrets);
        if new.endings > 0 {
            // Only this process counts them: what it mints from now on is found by no other, and it finds nothing of theirs.
            new.abroad = Fingerprint::of([&new.abroad.0[..], &self.own.0, &new.endings.to_be_bytes()]);
        }
        new.signer = ring.choose(named(&self.needs, &new.secrets), now);
        let signs = ring.signs().filter(|name| before.as_deref() != Some(*name));
        if let Some(kid) = signs {
            tracing::info!(folder = ?self.key_folder(), kid, "this key signs from now on");
        }
        Ok((changed || signs.is_some()).then_some(new))
    }

    /// Whether these secrets are others than the old ones and were in service before. What was minted with them then may
    /// have been revoked with them, so it must not be taken for theirs again.
    fn come_back(&self, secrets: &SecretSet, old: &Credentials) -> bool {
        let [name, before] = [secrets, &old.secrets].map(|secrets| sessions(&self.needs, secrets, 0));
        let mut former = self.former.lock();
        name != before && (former.len() >= MOST_FORMER || !former.insert(name)) // T-58: secrets that come back
    }

    fn rules(&self) -> Option<(&str, Rules)> {
        let rule = self.needs.key.as_ref()?;
        let rules = Rules { folder: self.key_folder().is_some(), registered: rule.registered, longest: self.longest() };
        Some((&rule.signer.secret, rules))
    }

    /// Whether there are newer credentials than those of generation `used`, which were refused. The sources are looked at
    /// with `look` for the first of those who ask at the same time, and not again for a while.
    pub(in crate::provider) async fn is_newer(&self, used: u32, look: impl Future<Output = ()>) -> bool {
        let mut asked = self.asked.lock().await;
        let is_newer = || self.current.current().generation != used;
        let now = self.clock.moment();
        let rests = asked.is_some_and(|last| now < last.plus(COOL_DOWN));
        if is_newer() || rests {
            return is_newer();
        }
        *asked = Some(now);
        look.await;
        is_newer()
    }

    /// Public keys: the one that signs first, then those whose tokens may still live.
    pub(in crate::provider) fn jwks(&self) -> Vec<Value> {
        self.ring.lock().jwks(self.clock.moment())
    }

    /// The keys of tokens, as people may see them.
    pub(in crate::provider) fn key_status(&self) -> Vec<KeyStatus> {
        self.ring.lock().status(self.clock.moment(), self.clock.now())
    }

    /// The key of this name whose file is there.
    pub(in crate::provider) fn key(&self, name: &str) -> Option<Arc<Signer>> {
        self.ring.lock().named(name)
    }
}

/// Name of the key that a file of its folder says signs.
fn named<'s>(needs: &Needs, secrets: &'s SecretSet) -> Option<&'s str> {
    secrets.folder(&needs.key.as_ref()?.signer.secret)?.signing.as_deref()
}

/// Name of what sessions end with: every secret but the key of tokens and those that sessions do not depend on, and how
/// often they ended otherwise.
fn sessions(needs: &Needs, secrets: &SecretSet, endings: u32) -> Fingerprint {
    let key = needs.key.as_ref().map(|rule| rule.signer.secret.as_str());
    secrets.fingerprint_but(|name| key == Some(name) || needs.apart.contains(name), endings)
}

/// Name of every secret of sessions, for other processes.
fn abroad(needs: &Needs, secrets: &SecretSet) -> Fingerprint {
    secrets.fingerprint_but(|name| needs.apart.contains(name), 0)
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

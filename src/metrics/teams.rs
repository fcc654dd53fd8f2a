//! The counters of teams: each team has a registry of its own, and what is written out puts those of all together.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use prometheus::Registry;
use prometheus::proto::MetricFamily;

use super::Metrics;

/// The label that says whose series one is.
const LABEL: &str = "team";

/// By the name of the team. A team that is gone takes its series with it.
#[derive(Debug, Default)]
pub(super) struct Teams(Mutex<BTreeMap<Box<str>, Weak<Metrics>>>);

impl Teams {
    /// The counters of this team. Two rooms of one team, of which one takes the place of the other, count in the same ones:
    /// one series must not be written out twice.
    pub(super) fn of(&self, name: &str) -> Result<Arc<Metrics>, prometheus::Error> {
        let mut teams = self.0.lock();
        teams.retain(|_, own| own.strong_count() > 0);
        if let Some(own) = teams.get(name).and_then(Weak::upgrade) {
            return Ok(own);
        }
        let label = HashMap::from([(LABEL.to_owned(), name.to_owned())]);
        let own = Arc::new(Metrics::within(Registry::new_custom(None, Some(label))?, false)?);
        teams.insert(name.into(), Arc::downgrade(&own));
        Ok(own)
    }

    /// The process's own families with those of all teams: one for each name, in the order of names.
    pub(super) fn gather(&self, own: Vec<MetricFamily>) -> Vec<MetricFamily> {
        let teams: Vec<_> = self.0.lock().values().filter_map(Weak::upgrade).collect();
        if teams.is_empty() {
            return own;
        }
        let mut by_name: BTreeMap<String, MetricFamily> =
            own.into_iter().map(|family| (family.name().to_owned(), family)).collect();
        for mut family in teams.iter().flat_map(|team| team.registry.gather()) {
            if let Some(known) = by_name.get_mut(family.name()) {
                known.mut_metric().extend(family.take_metric());
            } else {
                by_name.insert(family.name().to_owned(), family);
            }
        }
        by_name.into_values().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines_with(text: &str, part: &str) -> Vec<String> {
        text.lines().filter(|line| line.contains(part)).map(str::to_owned).collect()
    }

    #[test]
    fn without_teams_nothing_changes() {
        let metrics = Metrics::new().expect("metrics");
        let alone = metrics.render();
        let team = metrics.team("shop").expect("a team");
        assert_eq!(metrics.render(), alone, "nothing is shown before its first use");
        team.session.sessions("/session", "minted").inc();
        assert_ne!(metrics.render(), alone);
        drop(team);
        assert_eq!(metrics.render(), alone, "a team takes its series with it");
    }

    #[test]
    fn families_of_one_name_stand_together() {
        let metrics = Metrics::new().expect("metrics");
        let (shop, news) = (metrics.team("shop").expect("a team"), metrics.team("news").expect("a team"));
        metrics.session.sessions("/session", "minted").inc();
        for (team, count) in [(&shop, 2), (&news, 3)] {
            team.session.sessions("/session", "minted").inc_by(count);
            team.inbound.request_seconds("/session").observe(0.1);
        }
        assert_eq!(
            lines_with(&metrics.render(), "sidemint_sessions_total"),
            [
                "# HELP sidemint_sessions_total Sessions by route and how they came about: hit, stale (served while a refresh \
                 runs), shared (taken over from another replica), minted (the request waited), renewed (by the clock), expired \
                 (left unused).",
                "# TYPE sidemint_sessions_total counter",
                "sidemint_sessions_total{how=\"minted\",route=\"/session\"} 1",
                "sidemint_sessions_total{how=\"minted\",route=\"/session\",team=\"news\"} 3",
                "sidemint_sessions_total{how=\"minted\",route=\"/session\",team=\"shop\"} 2",
            ]
        );
        let kinds = lines_with(&metrics.render(), "# TYPE sidemint_request_duration_seconds ");
        assert_eq!(kinds, ["# TYPE sidemint_request_duration_seconds histogram"], "a family that teams alone have");
        let names = lines_with(&metrics.render(), "# TYPE ");
        assert!(names.is_sorted(), "{names:?}");
    }

    #[test]
    fn rooms_that_follow_each_other_count_in_one_series() {
        let metrics = Metrics::new().expect("metrics");
        let old = metrics.team("shop").expect("a team");
        let new = metrics.team("shop").expect("a team");
        old.session.cache_evictions("sessions").inc();
        new.session.cache_evictions("sessions").inc();
        drop(old);
        let line = "sidemint_cache_evictions_total{cache=\"sessions\",team=\"shop\"} 2";
        assert_eq!(lines_with(&metrics.render(), "team=\"shop\""), [line]);
    }

    /// A label of a family would be written out twice. What the platform tells of its teams, no team tells.
    #[test]
    fn no_family_has_the_label_of_teams() {
        let families = Metrics::FAMILIES.iter().copied().flatten();
        let labelled: Vec<_> = families.filter(|family| family.labels.contains(&LABEL)).map(|own| own.name).collect();
        assert_eq!(labelled, ["sidemint_team_up"]);
    }
}

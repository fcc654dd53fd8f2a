//! Prints a run: a table for people, or the same as JSON; and says how the run ended.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use http::HeaderName;
use serde_json::{Value, json};

use super::cases::{Case, Trick, Who};
use super::probe::Seen;
use super::proxy::Proxy;
use super::remedies::Hole;
use super::verdict::{Finding, Level};
use crate::identity::Worth;

/// What was done, and what came of it.
#[derive(Debug)]
pub(super) struct Report {
    pub(super) address: String,
    pub(super) proxy: Proxy,
    /// Whether the proxy was taken from its answer.
    pub(super) is_guess: bool,
    pub(super) requests: usize,
    pub(super) rows: Vec<Row>,
}

/// One case and its outcome.
#[derive(Debug)]
pub(super) struct Row {
    who: Who,
    trick: Trick,
    header: Option<HeaderName>,
    /// The name that was sent in its place.
    alias: Option<HeaderName>,
    worth: Worth,
    status: Option<u16>,
    finding: Finding,
    level: Level,
}

impl Row {
    pub(super) fn of(case: &Case, seen: &Seen, finding: Finding) -> Self {
        let is_alias = matches!(case.trick, Trick::Underscore | Trick::Dot | Trick::Mixed);
        let alias = is_alias.then(|| case.lines.keys().next().cloned()).flatten();
        let level = finding.level(case.trick, case.worth);
        let header = case.header.clone();
        let Case { who, trick, worth, .. } = *case;
        Self { who, trick, header, alias, worth, status: seen.status(), finding, level }
    }

    /// What a visitor gets who forges nothing.
    pub(super) fn open_door(seen: &Seen) -> Self {
        let finding = match seen {
            Seen::Session { .. } => Finding::Believed,
            _ => Finding::KeptOut,
        };
        let (who, trick, worth) = (Who::Visitor, Trick::Nothing, Worth::Asserted);
        let level = finding.level(trick, worth);
        Self { who, trick, header: None, alias: None, worth, status: seen.status(), finding, level }
    }

    fn hole(&self) -> Option<Hole> {
        Hole::of(self.trick, self.finding, self.level)
    }

    /// The header as people write it.
    fn shown_header(&self) -> String {
        match (self.alias.as_ref().or(self.header.as_ref()), self.trick) {
            (Some(name), _) => title_case(name.as_str()),
            (None, Trick::Nothing) => "–".to_owned(),
            (None, _) => "all of them".to_owned(),
        }
    }

    fn remedy(&self, proxy: Proxy) -> Option<String> {
        Some(filled(proxy.remedy(self.hole()?), &[self]))
    }
}

/// Marks what cannot be seen: a header without effect on the session, of which the proxy refuses two and long ones. It
/// may still be passed on, to say things of the user that no session shows.
pub(super) fn mark_hidden(rows: &mut [Row]) {
    let is = |row: &Row, trick: Trick, finding: Finding| {
        row.who == Who::User && row.trick == trick && row.finding == finding && row.worth == Worth::Asserted
    };
    let named = |rows: &[Row], trick: Trick, finding: Finding| -> BTreeSet<String> {
        let found = rows.iter().filter(|row| is(row, trick, finding)).filter_map(|row| row.header.as_ref());
        found.map(ToString::to_string).collect()
    };
    let silent = named(rows, Trick::Spoofed, Finding::KeptOut);
    let long = named(rows, Trick::Oversized, Finding::RefusedBefore);
    for row in rows.iter_mut().filter(|row| is(row, Trick::Doubled, Finding::RefusedBefore)) {
        if row.header.as_ref().is_some_and(|name| silent.contains(name.as_str()) && long.contains(name.as_str())) {
            row.finding = Finding::Hidden;
            row.level = Finding::Hidden.level(row.trick, row.worth);
        }
    }
}

/// A remedy for the headers of `rows`.
fn filled(remedy: &str, rows: &[&Row]) -> String {
    let list = |name: fn(&Row) -> Option<&HeaderName>| {
        let mut names: Vec<String> = Vec::new();
        for name in rows.iter().filter_map(|row| name(row)).map(|name| title_case(name.as_str())) {
            if !names.contains(&name) {
                names.push(name);
            }
        }
        if names.is_empty() { "each of the headers above".to_owned() } else { names.join(", ") }
    };
    let headers = list(|row| row.header.as_ref());
    remedy.replace("{header}", &headers).replace("{alias}", &list(|row| row.alias.as_ref()))
}

impl Report {
    fn count(&self, level: Level) -> usize {
        self.rows.iter().filter(|row| row.level == level).count()
    }

    /// Whether all is well; the sentence of the failure where it is not.
    pub(super) fn outcome(&self) -> Result<(), String> {
        let cases = |count: usize| if count == 1 { "1 case".to_owned() } else { format!("{count} cases") };
        match (self.count(Level::Through), self.count(Level::Unclear)) {
            (0, 0) => Ok(()),
            (0, unclear) => Err(format!("{} could not be judged", cases(unclear))),
            (through, 0) => Err(format!("{} got through", cases(through))),
            (through, unclear) => Err(format!("{} got through, {} could not be judged", cases(through), unclear)),
        }
    }

    /// What to do, each thing once: whether it is urgent, and the remedy. What has to be written for each header is
    /// told for each.
    fn remedies(&self) -> Vec<(bool, String)> {
        let mut holes: BTreeMap<(bool, Hole), Vec<&Row>> = BTreeMap::new();
        for row in &self.rows {
            if let Some(hole) = row.hole() {
                holes.entry((row.level == Level::Note, hole)).or_default().push(row);
            }
        }
        let mut told: Vec<(bool, String)> = Vec::new();
        for ((note, hole), rows) in holes {
            let remedy = self.proxy.remedy(hole);
            let texts = if hole == Hole::Passed && rows.iter().any(|row| row.header.is_some()) {
                let named = rows.iter().filter(|row| row.header.is_some());
                named.map(|row| filled(remedy, &[*row])).collect()
            } else {
                vec![filled(remedy, &rows)]
            };
            for text in texts {
                if !told.iter().any(|(_, own)| *own == text) {
                    told.push((!note, text));
                }
            }
        }
        told
    }

    /// The report for programs.
    pub(super) fn json(&self) -> String {
        let rows = self.rows.iter().map(|row| {
            json!({
                "signedIn": row.who == Who::User,
                "case": row.trick.name(),
                "header": row.header.as_ref().map(HeaderName::as_str),
                "level": row.level.name(),
                "finding": row.finding.name(),
                "status": row.status,
                "remedy": row.remedy(self.proxy),
            })
        });
        let report = json!({
            "address": self.address,
            "proxy": self.proxy.name(),
            "requests": self.requests,
            "fine": self.outcome().is_ok(),
            "cases": rows.collect::<Vec<Value>>(),
        });
        format!("{report:#}\n")
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let how = match (self.is_guess, self.proxy) {
            (false, _) => "",
            (true, Proxy::Other) => " (say which with --proxy, for its own remedies)",
            (true, _) => " (by its answer)",
        };
        writeln!(f, "{}\nproxy: {}{how}; {} requests were sent\n", self.address, self.proxy.name(), self.requests)?;
        writeln!(f, "{:<10} {:<11} {:<26} {:<8} {:<7} meaning", "asked as", "case", "header", "", "status")?;
        for row in &self.rows {
            let who = if row.who == Who::User { "user" } else { "visitor" };
            let status = row.status.map_or_else(|| "–".to_owned(), |status| status.to_string());
            let (case, level, header) = (row.trick.name(), row.level.shown(), row.shown_header());
            let meaning = row.finding.sentence(row.who, row.trick);
            writeln!(f, "{who:<10} {case:<11} {header:<26} {level:<8} {status:<7} {meaning}")?;
        }
        let remedies = self.remedies();
        if !remedies.is_empty() {
            writeln!(f, "\nwhat to do ({}):", self.proxy.name())?;
        }
        for (urgent, text) in remedies {
            writeln!(f, "  {} {text}", if urgent { "now:   " } else { "better:" })?;
        }
        if self.rows.iter().all(|row| row.who == Who::Visitor) {
            f.write_str(
                "\nOnly a visitor was tried. --header-file says how to sign in; then the rest can be tried too.\n",
            )?;
        }
        match self.outcome() {
            Ok(()) => f.write_str("\nnothing got through\n"),
            Err(_) => Ok(()),
        }
    }
}

/// A header as people write it: the first letter of each word in upper case.
fn title_case(name: &str) -> String {
    let mut begins = true;
    let letter = |c: char| {
        let shown = if begins { c.to_ascii_uppercase() } else { c };
        begins = !c.is_ascii_alphanumeric();
        shown
    };
    name.chars().map(letter).collect()
}

impl Trick {
    const fn name(self) -> &'static str {
        match self {
            Self::Nothing => "honest",
            Self::Spoofed => "spoofed",
            Self::Doubled => "doubled",
            Self::Missing => "empty",
            Self::Underscore => "alias _",
            Self::Dot => "alias .",
            Self::Mixed => "alias ._",
            Self::Listed => "connection",
            Self::Oversized => "oversized",
            Self::Together => "together",
        }
    }
}

impl Finding {
    const fn name(self) -> &'static str {
        match self {
            Self::KeptOut => "kept_out",
            Self::RefusedBefore => "refused_by_proxy",
            Self::Reached => "reached",
            Self::Lost => "lost",
            Self::Hidden => "hidden",
            Self::Believed => "believed",
            Self::Unclear => "unclear",
        }
    }
}

impl Level {
    const fn name(self) -> &'static str {
        match self {
            Self::Fine => "fine",
            Self::Note => "note",
            Self::Unclear => "unclear",
            Self::Through => "through",
        }
    }

    /// In the table: what matters stands out.
    const fn shown(self) -> &'static str {
        match self {
            Self::Fine => "ok",
            Self::Note => "note",
            Self::Unclear => "UNCLEAR",
            Self::Through => "THROUGH",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::doctor::cases;

    fn report(findings: &[(Trick, Finding)]) -> Report {
        let name = HeaderName::from_static("x-forwarded-user");
        let row = |(trick, finding): &(Trick, Finding)| Row {
            who: Who::User,
            trick: *trick,
            header: Some(name.clone()),
            alias: None,
            worth: Worth::Asserted,
            status: Some(200),
            finding: *finding,
            level: finding.level(*trick, Worth::Asserted),
        };
        let rows = findings.iter().map(row).collect();
        Report { address: "http://a/".to_owned(), proxy: Proxy::Nginx, is_guess: true, requests: 9, rows }
    }

    #[test]
    fn the_end_says_what_happened() {
        assert_eq!(report(&[(Trick::Spoofed, Finding::KeptOut), (Trick::Dot, Finding::Reached)]).outcome(), Ok(()));
        let through = report(&[(Trick::Spoofed, Finding::Believed)]);
        assert_eq!(through.outcome(), Err("1 case got through".to_owned()));
        assert!(through.to_string().contains("now:    proxy_set_header X-Forwarded-User $"), "{through}");
        let unclear = report(&[(Trick::Spoofed, Finding::Unclear)]);
        assert_eq!(unclear.outcome(), Err("1 case could not be judged".to_owned()));
    }

    #[test]
    fn what_cannot_be_seen_is_not_called_good() {
        let finding = |answers: [Finding; 3]| {
            let [spoofed, doubled, oversized] = answers;
            let mut report =
                report(&[(Trick::Spoofed, spoofed), (Trick::Doubled, doubled), (Trick::Oversized, oversized)]);
            mark_hidden(&mut report.rows);
            report.rows[1].finding
        };
        let (kept, refused) = (Finding::KeptOut, Finding::RefusedBefore);
        assert_eq!(finding([kept, refused, refused]), Finding::Hidden);
        assert_eq!(finding([refused, refused, refused]), refused);
        assert_eq!(finding([kept, kept, refused]), kept);
        assert_eq!(finding([kept, refused, Finding::Reached]), refused);
    }

    #[test]
    fn each_remedy_is_told_once() {
        let both = report(&[(Trick::Spoofed, Finding::Believed), (Trick::Doubled, Finding::Reached)]);
        assert_eq!(both.to_string().matches("proxy_set_header X-Forwarded-User").count(), 1);
    }

    #[test]
    fn a_forged_name_is_recognised_for_what_it_is() {
        assert!(cases::FORGED.starts_with("sidemint-"));
        assert_eq!(title_case("x_forwarded.user-id"), "X_Forwarded.User-Id");
    }
}

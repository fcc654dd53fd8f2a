//! The status page as HTML: no script, no image, no font; a state is a word and a sign, never a colour alone.

use std::fmt::Write as _;

use super::overview::{Overview, RouteRow, duration, span};
use crate::clock::Timestamp;
use crate::pacing::BreakerState;

/// The style, as it stands in the page: the policy of the page allows these bytes and no others.
pub(in crate::inbound) const STYLE: &str = include_str!("style.css");
/// Seconds after which a page may load itself anew.
const REFRESH: std::ops::RangeInclusive<u32> = 5..=3600;

/// One cell of a table.
enum Cell {
    Text(String),
    Number(String),
    State(State, String),
    Time(Timestamp),
}

#[derive(Clone, Copy)]
enum State {
    Good,
    Bad,
    Warning,
}

impl State {
    /// Class and sign.
    fn marks(self) -> (&'static str, char) {
        match self {
            Self::Good => ("good", '✓'),
            Self::Bad => ("bad", '✗'),
            Self::Warning => ("warn", '!'),
        }
    }
}

fn text(text: impl Into<String>) -> Cell {
    Cell::Text(text.into())
}

fn number(number: impl ToString) -> Cell {
    Cell::Number(number.to_string())
}

/// `text` where HTML would read some of it as markup.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"), // T-76: markup in a name
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

impl Cell {
    fn html(&self) -> String {
        match self {
            Self::Text(text) => format!("<td>{}</td>", escape(text)),
            Self::Number(text) => format!("<td class=\"n\">{}</td>", escape(text)),
            Self::State(state, text) => {
                let (class, sign) = state.marks();
                format!("<td class=\"{class}\">{sign} {}</td>", escape(text))
            }
            Self::Time(at) => format!("<td>{}</td>", time(*at)),
        }
    }
}

fn time(at: Timestamp) -> String {
    let text = at.to_rfc3339();
    format!("<time datetime=\"{text}\">{text}</time>")
}

/// A section with a table; nothing where there is nothing to tell. A head that begins with `#` is of numbers.
fn table(out: &mut String, id: &str, title: &str, caption: &str, heads: &[&str], rows: &[Vec<Cell>]) {
    if rows.is_empty() {
        return;
    }
    let heads: String = heads
        .iter()
        .map(|head| match head.strip_prefix('#') {
            Some(head) => format!("<th scope=\"col\" class=\"n\">{head}</th>"),
            None => format!("<th scope=\"col\">{head}</th>"),
        })
        .collect();
    let row = |row: &Vec<Cell>| ["<tr>", &row.iter().map(Cell::html).collect::<String>(), "</tr>\n"].concat();
    let rows: String = rows.iter().map(row).collect();
    // Writing into a text does not fail.
    let _infallible = write!(
        out,
        "<section>\n<h2 id=\"{id}\">{title}</h2>\n\
         <div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-labelledby=\"{id}\">\n<table>\n\
         <caption>{caption}</caption>\n<thead><tr>{heads}</tr></thead>\n<tbody>\n{rows}</tbody>\n</table>\n</div>\n</section>\n"
    );
}

/// The page. It loads itself anew where `query` asks for that.
pub(in crate::inbound) fn page(overview: &Overview, query: Option<&str>) -> String {
    let refresh = query.and_then(|query| query.strip_prefix("refresh=")?.parse().ok());
    let refresh = refresh.filter(|seconds| REFRESH.contains(seconds));
    let refresh = refresh
        .map_or_else(String::new, |seconds: u32| format!("<meta http-equiv=\"refresh\" content=\"{seconds}\">\n"));
    let state = if overview.status.ready { State::Good } else { State::Bad };
    let (class, sign) = state.marks();
    let mut out = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n{refresh}\
         <title>sidemint: {ready}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n\
         <header>\n<h1>sidemint</h1>\n<p class=\"summary {class}\">{sign} {summary}</p>\n\
         <p>{at} · <a href=\"/\">again</a> · <a href=\"/?refresh=30\">again every 30 seconds</a> · \
         <a href=\"/status.json\">the same as JSON</a></p>\n</header>\n<main>\n",
        ready = if overview.status.ready { "ready" } else { "not ready" },
        summary = escape(&overview.summary),
        at = time(overview.at),
    );
    tables(&mut out, overview);
    let _infallible = write!(
        out,
        "</main>\n<footer><p>Version {}, up for {}.</p></footer>\n</body>\n</html>\n",
        overview.version,
        duration(overview.uptime_seconds)
    );
    out
}

fn tables(out: &mut String, overview: &Overview) {
    let status = &overview.status;
    let rows: Vec<_> = status.reasons.iter().map(|own| vec![text(own.code), text(&*own.detail)]).collect();
    table(out, "reasons", "Not ready", "Why, and what to do", &["reason", "what to do"], &rows);
    let rows: Vec<_> = overview.cautions.iter().map(|own| vec![Cell::State(State::Warning, own.clone())]).collect();
    table(out, "cautions", "Look at this", "What is insecure or unusual in the configuration", &["caution"], &rows);
    let rows: Vec<_> = overview.routes.iter().map(route).collect();
    let heads = ["route", "answer", "provider", "#1 min", "#15 min", "#60 min", "#warm", "#refused", "#failed"];
    table(out, "routes", "Routes", "Requests; and of those of the last hour, shares and counts", &heads, &rows);
    providers(out, overview);
    keys(out, overview);
    rooms(out, overview);
    let rows = overview.failures.iter().map(|own| {
        let route = own.team.as_ref().map_or_else(|| own.route.clone(), |team| format!("{team}: {}", own.route));
        vec![
            Cell::Time(own.at),
            text(route),
            text(own.outcome),
            text(own.reason.clone().unwrap_or_default()),
            text(&*own.request_id),
        ]
    });
    let heads = ["time", "route", "outcome", "class", "request id"];
    table(out, "failures", "Failures", "The last 50 requests that failed", &heads, &rows.collect::<Vec<_>>());
}

fn route(route: &RouteRow) -> Vec<Cell> {
    let [minute, quarter, hour] = &route.last;
    let warm = match hour.sessions {
        0 => "–".to_owned(),
        all => format!("{} %", hour.warm * 100 / all),
    };
    let failed = if hour.failures == 0 { number(0) } else { Cell::State(State::Bad, hour.failures.to_string()) };
    vec![
        text(format!("{}{}", route.host.as_deref().unwrap_or_default(), route.path)),
        text(route.answer),
        text(&*route.provider),
        number(minute.requests),
        number(quarter.requests),
        number(hour.requests),
        number(warm),
        number(hour.refusals),
        failed,
    ]
}

fn providers(out: &mut String, overview: &Overview) {
    let ago = |minutes: usize| format!("{} ago", span(minutes));
    let rows = overview.status.providers.iter().zip(&overview.calls).map(|(own, calls)| {
        let breaker = match own.calls.breaker {
            BreakerState::Closed => Cell::State(State::Good, "calls are made".to_owned()),
            BreakerState::HalfOpen => Cell::State(State::Warning, "one call tries".to_owned()),
            BreakerState::Open => Cell::State(State::Bad, "no calls for now".to_owned()),
        };
        let failure = calls.last_failure.as_ref().map(|last| format!("{}, {}", last.class, ago(last.minutes)));
        vec![
            text(&*own.name),
            text(&*own.preset),
            breaker,
            number(own.calls.running),
            number(own.calls.waiting + own.limiter_waiting.unwrap_or(0)),
            number(calls.ok),
            number(calls.failed),
            text(calls.last_ok_minutes.map(ago).unwrap_or_default()),
            text(failure.unwrap_or_default()),
        ]
    });
    let heads = [
        "provider",
        "preset",
        "state",
        "#running",
        "#waiting",
        "#succeeded",
        "#failed",
        "last success",
        "last failure",
    ];
    table(out, "providers", "Providers", "Calls of the last hour", &heads, &rows.collect::<Vec<_>>());
}

fn keys(out: &mut String, overview: &Overview) {
    let status = &overview.status;
    let rows = status.keys().map(|(provider, key)| {
        let role = if key.signs { Cell::State(State::Good, "signs".to_owned()) } else { text("published") };
        vec![text(provider), text(&*key.kid), text(key.alg.name()), role, text(duration(key.age_seconds))]
    });
    let heads = ["provider", "key", "algorithm", "role", "age"];
    table(out, "keys", "Signing keys", "Keys of our own", &heads, &rows.collect::<Vec<_>>());
    let rows = status.identity.key_sets.iter().map(|set| {
        let state = if set.keys > 0 { State::Good } else { State::Bad };
        let fetched = set.fetched.map_or_else(|| text("never"), Cell::Time);
        vec![text(&*set.source), Cell::State(state, set.keys.to_string()), fetched]
    });
    let heads = ["source", "keys", "fetched"];
    table(out, "sets", "Key sets", "Keys by which identities are verified", &heads, &rows.collect::<Vec<_>>());
    let rows = status.certificates.iter().map(|own| {
        let days = own.expires.since(overview.at).as_secs() / 86_400;
        let left = match days {
            _ if own.expires <= overview.at => Cell::State(State::Bad, "expired".to_owned()),
            0..30 => Cell::State(State::Warning, format!("{days} days")),
            _ => Cell::State(State::Good, format!("{days} days")),
        };
        vec![text(own.listener), text(own.file), Cell::Time(own.expires), left]
    });
    let heads = ["listener", "file", "expires", "left"];
    table(out, "certificates", "Certificates", "When they expire", &heads, &rows.collect::<Vec<_>>());
}

fn rooms(out: &mut String, overview: &Overview) {
    let status = &overview.status;
    let cache = vec![
        number(status.sessions.cached),
        number(status.sessions.bytes),
        number(status.sessions.renewals_pending),
        number(status.identity.denied_users),
    ];
    let heads = ["#sessions", "#bytes", "#renewals pending", "#denied users"];
    table(out, "cache", "Sessions", "What is kept in memory", &heads, &[cache]);
    let rows = overview.tier.iter().map(|tier| {
        let state = if tier.up { (State::Good, "answers") } else { (State::Bad, "away: this replica works on alone") };
        vec![
            Cell::State(state.0, state.1.to_owned()),
            number(tier.replicas),
            number(format!("{} s", tier.clock_offset_seconds)),
            number(tier.gaps),
            number(tier.sign_outs_pending),
            text(tier.whole_seconds.map(duration).unwrap_or_default()),
        ]
    });
    let heads = ["state", "#replicas", "#clock offset", "#gaps", "#sign-outs pending", "whole for"];
    table(out, "tier", "Shared tier", "As this replica sees it", &heads, &rows.collect::<Vec<_>>());
    let rows = overview.teams.iter().map(|team| {
        let state = if team.up { (State::Good, "served") } else { (State::Bad, "mistakes in its file") };
        let mistake = text(team.mistake.clone().unwrap_or_default());
        vec![text(&*team.team), Cell::State(state.0, state.1.to_owned()), number(team.routes), mistake]
    });
    let caption = match overview.more_teams {
        0 => "Each by its file".to_owned(),
        more => format!("Those in trouble; {more} more are served"),
    };
    table(out, "teams", "Teams", &caption, &["team", "state", "#routes", "mistake"], &rows.collect::<Vec<_>>());
    let rows = status.deliveries.iter().map(|own| {
        let oldest = own.oldest_pending.map(|age| duration(age.as_secs()));
        vec![text(&*own.webhook), number(own.pending), text(oldest.unwrap_or_default()), number(own.dead)]
    });
    let heads = ["webhook", "#pending", "oldest", "#put aside"];
    let caption = status.queue.as_ref().map(|queue| {
        format!("{} of {} events, {} of {} bytes", queue.events, queue.most_events, queue.bytes, queue.most_bytes)
    });
    let caption = caption.as_deref().unwrap_or("Events on their way to the application");
    table(out, "webhooks", "Webhooks", caption, &heads, &rows.collect::<Vec<_>>());
}

#[cfg(test)]
mod tests {
    use super::*;

    /// T-76: names come from files of operators and of teams.
    #[test]
    fn what_looks_like_markup_stays_text() {
        let mut out = String::new();
        let cells: [fn(String) -> Cell; 3] = [text, |own| Cell::State(State::Bad, own), |own| Cell::Number(own)];
        let rows = cells.map(|cell| vec![cell("<script>alert(1)</script>\" onload='x'&amp;".to_owned())]);
        table(&mut out, "id", "Title", "Caption", &["head"], &rows);
        assert!(!out.contains("<script") && !out.contains("onload='"), "{out}");
        assert_eq!(out.matches("&lt;script&gt;alert(1)&lt;/script&gt;&quot; onload=&#39;x&#39;&amp;amp;").count(), 3);
    }

    #[test]
    fn the_style_is_small() {
        assert!(STYLE.len() < 6 * 1024, "{}", STYLE.len());
    }
}

//! `sidemint doctor`: sends what attackers send through the operator's own reverse proxy, and tells what got through.
//!
//! Only the operator can say how a proxy that we have never seen treats a forged header. So the cases are planned
//! ([`cases`]), sent to the one given address ([`probe`]), compared with the answer to an honest request ([`verdict`]),
//! and told with the remedy for that proxy ([`report`], [`remedies`]).

mod cases;
mod probe;
mod proxy;
mod remedies;
mod report;
mod verdict;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use http::header::{HOST, HeaderMap, HeaderName, HeaderValue};
use url::Url;

use super::{Failure, print, runtime};
use crate::clock::{Clock, SystemClock};
use crate::config::{Config, ConfigErrors, Environment, Route, RouteKind, Sources};
use crate::identity;
use crate::inbound::Outcome;
use crate::metrics::Metrics;
use crate::outbound::{Outbound, Services};

use cases::{Plan, Who};
use probe::{Probe, Seen};
use proxy::Proxy;
use report::{Report, Row};
use verdict::Finding;

#[derive(Debug, Args)]
#[command(after_help = "\
It asks as a visitor, who is not signed in, and as a signed-in user where --header or --header-file say how: copy the
cookie of your own session out of the browser. Without either, only the cases of a visitor are sent.

Each case is one GET to the given address. No other host is asked, no redirect is followed, and nothing is sent twice.
A forged user is always called \"sidemint-doctor\": where one gets through, the chat provider sees that user once.

Exit codes: 0 nothing got through; 1 something did, or a case could not be judged; 2 mistake in the command line or
the configuration.")]
pub(super) struct Options {
    /// The session route as a browser sees it, through the proxy
    #[arg(long, value_name = "URL")]
    through: String,
    /// Header that signs you in, such as `Cookie: …`; may be repeated. Other users of this machine see it: prefer --header-file
    #[arg(long = "header", value_name = "NAME: VALUE")]
    headers: Vec<String>,
    /// The same from a file, one header a line
    #[arg(long, value_name = "FILE")]
    header_file: Option<PathBuf>,
    /// Nothing needs to be sent to be signed in: the network does it
    #[arg(long, conflicts_with_all = ["headers", "header_file"])]
    signed_in: bool,
    /// The proxy, for its remedies; guessed from its answer otherwise
    #[arg(long)]
    proxy: Option<Proxy>,
    /// Route path in the configuration, if the proxy rewrites it [default: the URL's path, or the first session route]
    #[arg(long, value_name = "PATH")]
    route: Option<String>,
    /// Time between two requests
    #[arg(long, value_name = "SPAN", default_value = "100ms", value_parser = humantime::parse_duration)]
    pause: Duration,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(options: &Options, sources: &Sources, environment: &Environment) -> Result<(), Failure> {
    let url = address(&options.through)?;
    let sign_in = sign_in(options)?;
    let config = Config::load(sources, environment)?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    // What is looked at stands between clients and us; no proxy of ours is on that way.
    let outbound = Outbound::new(Arc::clone(&clock)).map_err(|mistake| Failure::Running(mistake.to_string()))?;
    let configured = Outbound::configured(&config.outbound, Arc::clone(&clock));
    let configured = configured.map_err(|mistake| ConfigErrors(vec![mistake]))?;
    let metrics = Arc::new(Metrics::new().map_err(|error| Failure::Running(error.to_string()))?);
    let services = Services { outbound: configured, clock: Arc::clone(&clock), metrics };
    let all = identity::Sources::configure(&config.identity, &config.routes, &services).map_err(ConfigErrors)?;
    let route = route(&config, options.route.as_deref(), url.path())?;
    let evidence = cases::evidence(&all.resolver(route), all.peers(), &sign_in);
    if evidence.is_empty() {
        return Err(Failure::Usage(format!("{}: no header carries identity there, so none can be forged", route.path)));
    }
    let signed_in = options.signed_in || !sign_in.is_empty();
    let who: &[Who] = match (options.signed_in, signed_in) {
        (true, _) => &[Who::User],
        (false, true) => &[Who::Visitor, Who::User],
        (false, false) => &[Who::Visitor],
    };
    let plan = cases::plan(who, &evidence)
        .map_err(|count| Failure::Usage(format!("{count} requests would be too many: fewer sources on the route")))?;
    let mut always = HeaderMap::new();
    if let Some(name) = &config.browser.require_header {
        always.insert(name.clone(), HeaderValue::from_static("1"));
    }
    let probe = Probe { outbound, clock, url: url.clone(), always, sign_in, pause: options.pause };
    let report = runtime(Some(1))?.block_on(examine(&probe, &plan, options.proxy))?;
    print(&if options.json { report.json() } else { report.to_string() })?;
    report.outcome().map_err(Failure::Running)
}

/// Sends every case of the plan and judges it.
async fn examine(probe: &Probe, plan: &Plan, named: Option<Proxy>) -> Result<Report, Failure> {
    let mut guessed = None;
    let mut rows = Vec::new();
    for part in &plan.parts {
        let (baseline, answered_by) = probe.ask(part.who, &HeaderMap::new()).await;
        guessed = guessed.or(answered_by);
        honest(part.who, &baseline, plan.parts.len() == 1).map_err(Failure::Running)?;
        if part.who == Who::Visitor {
            rows.push(Row::open_door(&baseline));
        }
        for case in &part.cases {
            let (seen, _) = probe.ask(part.who, &case.lines).await;
            rows.push(Row::of(case, &seen, Finding::of(part.who, case.trick, &seen, &baseline)));
        }
        // A login that ended meanwhile would make every answer look like a refusal.
        let (again, _) = probe.ask(part.who, &HeaderMap::new()).await;
        if again != baseline {
            let problem = "the honest request is not answered as it was at the beginning, so nothing can be compared: \
                           did the login end, or does the proxy limit requests? Try a longer --pause";
            return Err(Failure::Running(problem.to_owned()));
        }
    }
    report::mark_hidden(&mut rows);
    let (proxy, is_guess) = match (named, guessed) {
        (Some(proxy), _) => (proxy, false),
        (None, guessed) => (guessed.unwrap_or(Proxy::Other), true),
    };
    Ok(Report { address: probe.shown_address(), proxy, is_guess, requests: plan.requests(), rows })
}

/// Whether the answer to an honest request is one that others can be compared with. `alone` says that no user's answer
/// will show that this is the session route.
fn honest(who: Who, seen: &Seen, alone: bool) -> Result<(), String> {
    let is_comparable = match (who, seen) {
        (_, Seen::Session { .. })
        | (Who::Visitor, Seen::Refused(_, Outcome::Unauthorized) | Seen::Before(300..=399 | 401 | 403)) => true,
        // A login page, or any other.
        (Who::Visitor, Seen::Before(200..=299)) => !alone,
        _ => false,
    };
    match (who, seen) {
        _ if is_comparable => Ok(()),
        (_, Seen::Nothing(error)) => Err(format!("the address does not answer: {error}")),
        (Who::User, seen) => Err(format!(
            "with these headers the address answers {seen}, not with a session: is it the session route, and are you \
             signed in?"
        )),
        (Who::Visitor, seen) => Err(format!(
            "the address answers {seen} to a visitor, neither a refusal nor a login: is it the session route, and does \
             everything run?"
        )),
    }
}

/// The one address that is asked.
fn address(text: &str) -> Result<Url, Failure> {
    let refuse = |problem: &str| Err(Failure::Usage(format!("--through: {problem}")));
    let Ok(url) = Url::parse(text) else { return refuse("write an address, https://app.example.com/api/chat/session") };
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
        return refuse("write an http or https address");
    }
    if !url.username().is_empty() || url.password().is_some() {
        return refuse("put credentials into --header-file, not into the address");
    }
    if url.fragment().is_some() {
        return refuse("leave the part behind # away: it is never sent");
    }
    Ok(url)
}

/// The headers that sign in. Their values are secrets, so complaints do not repeat them.
fn sign_in(options: &Options) -> Result<HeaderMap, Failure> {
    let mut headers = HeaderMap::new();
    for line in &options.headers {
        add(&mut headers, line).map_err(|problem| Failure::Usage(format!("--header: {problem}")))?;
    }
    let Some(file) = &options.header_file else { return Ok(headers) };
    let refuse = |problem: String| Failure::Usage(format!("--header-file: {}: {problem}", file.display()));
    let text = std::fs::read_to_string(file).map_err(|error| refuse(error.to_string()))?;
    for (n, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        add(&mut headers, line).map_err(|problem| refuse(format!("line {}: {problem}", n + 1)))?;
    }
    Ok(headers)
}

fn add(headers: &mut HeaderMap, line: &str) -> Result<(), &'static str> {
    const WRITE: &str = "write NAME: VALUE, as in Cookie: session=…";
    let (name, value) = line.split_once(':').ok_or(WRITE)?;
    let name = HeaderName::from_bytes(name.trim().as_bytes()).map_err(|_| WRITE)?;
    let mut value =
        HeaderValue::from_str(value.trim()).map_err(|_| "the value has characters that no header may have")?;
    if name == HOST {
        return Err("Host is that of the address, and no other is asked");
    }
    value.set_sensitive(true);
    headers.append(name, value);
    Ok(())
}

/// The route that the address leads to.
fn route<'c>(config: &'c Config, wanted: Option<&str>, seen: &str) -> Result<&'c Route, Failure> {
    let mut sessions = config.routes.iter().filter(|route| route.kind == RouteKind::Session);
    let found = match wanted {
        Some(path) => sessions.find(|route| route.path == path),
        None => sessions.clone().find(|route| route.path == seen).or_else(|| sessions.next()),
    };
    found.ok_or_else(|| {
        let known: Vec<_> = sessions_of(config).collect();
        let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
        Failure::Usage(format!("no such route with answer = \"session\"; configured: {known}"))
    })
}

fn sessions_of(config: &Config) -> impl Iterator<Item = &str> {
    let sessions = config.routes.iter().filter(|route| route.kind == RouteKind::Session);
    sessions.map(|route| route.path.as_str())
}

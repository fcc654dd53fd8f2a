//! `sidemint mint`: one session to standard output.

use std::time::Duration;

use clap::Args;

use super::{Failure, blueprint, print, runtime, say};
use crate::clock::Stopwatch;
use crate::config::{Environment, Sources, did_you_mean};
use crate::identity::Identity;
use crate::lifecycle::Lifecycle;
use crate::provider::ProviderError;
use crate::session::{Answer, SessionError};
use crate::trace::Origin;

#[derive(Debug, Args)]
pub(super) struct Options {
    /// Subject of the user
    #[arg(long, value_name = "ID")]
    user: String,
    /// Display name of the user
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// E-mail address of the user
    #[arg(long, value_name = "ADDRESS")]
    email: Option<String>,
    /// Group of the user; may be repeated
    #[arg(long = "group", value_name = "GROUP")]
    groups: Vec<String>,
    /// What a request may add, where the definition declares inputs; may be repeated
    #[arg(long = "input", value_name = "NAME=VALUE", value_parser = input)]
    inputs: Vec<(String, String)>,
    /// Path of the route; the first one without it
    #[arg(long, value_name = "PATH")]
    route: Option<String>,
    /// Show every call, body and claim on standard error first; secrets are masked
    #[arg(long)]
    explain: bool,
    /// Show the same on standard output, and do nothing
    #[arg(long, conflicts_with = "explain")]
    dry_run: bool,
}

pub(super) fn run(options: &Options, sources: &Sources, environment: &Environment) -> Result<(), Failure> {
    let blueprint = blueprint(sources, environment)?;
    let groups = options.groups.join(",");
    let identity = Identity::of_operator(&options.user, options.name.as_deref())
        .map_err(|refusal| Failure::Usage(format!("--user: {refusal}")))?
        .with(options.email.as_deref(), &groups);
    let wanted = |path: &str| options.route.as_deref().is_none_or(|route| route == path);
    let Some(plan) = blueprint.plans().iter().find(|plan| wanted(&plan.route.path)) else {
        let known: Vec<_> = blueprint.plans().iter().map(|plan| plan.route.path.as_str()).collect();
        let meant = did_you_mean(options.route.as_deref().unwrap_or_default(), &known);
        return Err(Failure::Usage(format!("--route: no such route; configured: {}{meant}", known.join(", "))));
    };
    let inputs = plan.provider.inputs().of_operator(&options.inputs);
    let inputs = inputs.map_err(|fault| Failure::Usage(format!("--input: {fault}")))?;
    let sessions = blueprint.sessions(&Lifecycle::new());
    let key = plan.key(&identity, &inputs);
    if options.explain || options.dry_run {
        let told = sessions.explain(plan, &key).map_err(|error| Failure::Running(error.to_string()))?;
        if options.dry_run {
            return print(&told.to_string());
        }
        say(&told.to_string());
    }
    let runtime = runtime(Some(1))?;
    // A request waits no longer than the route says, and is told nothing more than that. Here the operator asks why.
    let watch = Stopwatch::start();
    let outcome = runtime.block_on(sessions.cold(&plan.with_patience(), &key, Origin::default()));
    if watch.elapsed() > plan.deadline {
        let [took, waits] = [watch.elapsed(), plan.deadline].map(|span| Duration::from_millis(millis(span)));
        let [took, waits] = [took, waits].map(humantime::format_duration);
        say(&format!(
            "note: this took {took}; a request to {} is answered after {waits}, without a session\n",
            plan.route.path
        ));
    }
    if let (true, Err(SessionError::Provider(error))) = (options.explain, &outcome) {
        show_answer(error);
    }
    let (entry, _) = outcome.map_err(|error| Failure::Running(format!("no session: {error}")))?;
    match &entry.answer {
        Answer::Body(body) => print(&format!("{}\n", String::from_utf8_lossy(body)))?,
        Answer::Whole(body, headers) => {
            for (name, value) in headers.iter() {
                print(&format!("{name}: {}\n", String::from_utf8_lossy(value.as_bytes())))?;
            }
            print(&format!("\n{}\n", String::from_utf8_lossy(body)))?;
        }
        Answer::TooLong => return Err(Failure::Running(format!("no session: {}", SessionError::TooLarge))),
        Answer::Incomplete => return Err(Failure::Running(format!("no session: {}", SessionError::Incomplete))),
        Answer::Headers(headers) => {
            // The rest belongs to the transport.
            for (name, value) in headers.iter().filter(|(name, _)| name.as_str().starts_with("x-chat-")) {
                print(&format!("{name}: {}\n", String::from_utf8_lossy(value.as_bytes())))?;
            }
        }
    }
    Ok(())
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

/// What the provider said, for the author of its definition. It goes to the operator's own terminal and nowhere else.
fn show_answer(error: &ProviderError) {
    const ENOUGH: usize = 2000;
    if let Some(answer) = &error.answer {
        let text: String = String::from_utf8_lossy(answer.expose()).chars().take(ENOUGH).collect();
        let shown = |c: char| if c.is_control() && c != '\n' { '\u{fffd}' } else { c };
        say(&format!("{} answered\n  {}\n", error.step, text.chars().map(shown).collect::<String>()));
    }
}

fn input(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("write NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

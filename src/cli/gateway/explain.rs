//! `sidemint gateway explain`: why a call is refused, or what the provider would get.

use std::io::Read as _;
use std::path::PathBuf;

use bytes::Bytes;
use clap::Args;

use crate::cli::{Failure, blueprint, print, runtime};
use crate::config::{Environment, Sources, did_you_mean};
use crate::gateway::caller::Caller;
use crate::gateway::explain::{NoQuestion, Question};

/// Bytes of a body at most: more than any operation takes.
const MOST: u64 = 64 * 1024 * 1024 + 1;

#[derive(Debug, Args)]
pub(in crate::cli) struct Options {
    /// Who calls, as in [gateway.callers.NAME]
    #[arg(long, value_name = "NAME")]
    caller: String,
    /// Which mount is called
    #[arg(long, value_name = "NAME")]
    provider: String,
    /// Method and path below the mount: 'POST /twirp/livekit.RoomService/CreateRoom'
    #[arg(value_name = "METHOD /PATH")]
    call: String,
    /// File with the body; - reads standard input
    #[arg(long, value_name = "FILE")]
    body: Option<PathBuf>,
    /// Content type of the body
    #[arg(long = "type", value_name = "TYPE", default_value = "application/json")]
    content_type: String,
    /// The user whom the call is made for, as in X-Chat-As-User
    #[arg(long = "as", value_name = "ID")]
    as_user: Option<String>,
}

pub(in crate::cli) fn run(options: &Options, sources: &Sources, environment: &Environment) -> Result<(), Failure> {
    let blueprint = blueprint(sources, environment)?;
    let Some(gateway) = blueprint.gateway() else {
        return Err(Failure::Usage("there is no [gateway] in the configuration".to_owned()));
    };
    let unknown = |option: &str, what: &str, name: &str, known: Vec<&str>| {
        let meant = did_you_mean(name, &known);
        Failure::Usage(format!("--{option}: no {what} \"{name}\"; configured: {}{meant}", known.join(", ")))
    };
    let caller = gateway.callers().iter().find(|own| own.name() == options.caller).ok_or_else(|| {
        unknown("caller", "caller", &options.caller, gateway.callers().iter().map(Caller::name).collect())
    })?;
    let mount = gateway.mount(&options.provider).ok_or_else(|| {
        let known = gateway.mounts().iter().map(|mount| mount.name()).collect();
        unknown("provider", "mount", &options.provider, known)
    })?;
    let body = options.body.as_ref().map(read).transpose()?;
    let question = Question::new(&options.call, body, &options.content_type, options.as_user.as_deref());
    let question = question.map_err(|problem| Failure::Usage(said(problem).to_owned()))?;
    let told = runtime(Some(1))?.block_on(gateway.explain(caller, mount, &question));
    print(&told.to_string())?;
    told.refusal().map_or(Ok(()), |refusal| Err(Failure::Running(format!("it would be refused: {refusal}"))))
}

fn read(path: &PathBuf) -> Result<Bytes, Failure> {
    let mut body = Vec::new();
    let outcome = if path.as_os_str() == "-" {
        std::io::stdin().take(MOST).read_to_end(&mut body)
    } else {
        std::fs::File::open(path).and_then(|file| file.take(MOST).read_to_end(&mut body))
    };
    match outcome {
        Ok(_bytes) => Ok(body.into()),
        Err(error) => Err(Failure::Usage(format!("--body: {}: {error}", path.display()))),
    }
}

fn said(problem: NoQuestion) -> &'static str {
    match problem {
        NoQuestion::Call => "write the call as 'METHOD /path', below the mount",
        NoQuestion::Type => "--type: not a content type",
        NoQuestion::User => "--as: holds what cannot stand in a header",
    }
}

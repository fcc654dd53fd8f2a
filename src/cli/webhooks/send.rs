//! `sidemint webhooks send`: posts an event as the provider would, signed with the configured secret.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use clap::Args;
use http::{HeaderMap, HeaderValue, Method, header};
use url::Url;

use super::wire::Request;
use super::{configured, wire};
use crate::cli::healthcheck::reachable;
use crate::cli::{Failure, blueprint, print, print_bytes, runtime};
use crate::clock::{Clock as _, SystemClock};
use crate::config::{Environment, Listen, Sources};
use crate::outbound::{Call, Outbound};
use crate::webhook::scheme::Draft;

/// The whole question and answer take this long at most.
const PATIENCE: Duration = Duration::from_secs(15);

#[derive(Debug, Args)]
pub(in crate::cli) struct Options {
    /// Name of the webhook in the configuration
    name: String,
    /// The body. - reads standard input
    #[arg(long, value_name = "FILE")]
    file: PathBuf,
    /// Where it is posted to, instead of the listener of webhooks
    #[arg(long, value_name = "URL")]
    to: Option<Url>,
    /// Print the request as on the wire, and post nothing; `webhooks verify` reads it
    #[arg(long, conflicts_with = "to")]
    print: bool,
}

pub(super) fn run(options: &Options, sources: &Sources, environment: &Environment) -> Result<(), Failure> {
    let blueprint = blueprint(sources, environment)?;
    let webhook = configured(&blueprint, &options.name)?;
    let body = wire::read(&options.file)
        .map_err(|problem| Failure::Usage(format!("--file {}: {problem}", options.file.display())))?;
    let id = format!("msg_{}", SystemClock.now().as_millis());
    let draft = Draft { id: &id, at: SystemClock.now(), body: &body };
    let envelope = webhook.sign(&draft).map_err(|problem| Failure::Usage(format!("cannot sign: {problem}")))?;
    let config = webhook.config();
    let listen = blueprint.config().webhooks.as_ref().map(|webhooks| &webhooks.server.listen);
    let mut url = match (&options.to, listen) {
        (Some(url), _) => url.clone(),
        (None, Some(Listen::Tcp(address))) => {
            let url = format!("http://{}{}", reachable(*address), config.path());
            url.parse().map_err(|error| Failure::Usage(format!("{url}: {error}")))?
        }
        (None, _) => {
            return Err(Failure::Usage("the listener of webhooks has no port; say where with --to".to_owned()));
        }
    };
    url.set_query(envelope.query.as_deref());
    if options.print {
        return show(&url, envelope.headers, body);
    }
    let headers = envelope.headers;
    let call = Call { method: Method::POST, url, headers, body: Some(Bytes::from(body)) };
    let outbound = Outbound::new(Arc::new(SystemClock)).map_err(|mistake| Failure::Running(mistake.to_string()))?;
    let deadline = SystemClock.moment().plus(PATIENCE);
    let reply = runtime(Some(1))?
        .block_on(outbound.send(call, deadline))
        .map_err(|error| Failure::Running(format!("no answer: {error}")))?;
    print(format!("{} {}", reply.status, String::from_utf8_lossy(&reply.body)).trim_end())?;
    print("\n")?;
    if reply.status == 200 { Ok(()) } else { Err(Failure::Running(String::new())) }
}

/// The request as it would be sent.
fn show(url: &Url, headers: HeaderMap, body: Vec<u8>) -> Result<(), Failure> {
    let authority = url.authority();
    let target = url.as_str().split_once(authority).map_or("/", |(_, target)| target);
    let mistake = |what: &str| Failure::Usage(format!("{what} cannot be written: {url}"));
    let mut all = HeaderMap::new();
    all.insert(header::HOST, HeaderValue::from_str(authority).map_err(|_| mistake("the host"))?);
    all.extend(headers);
    let target = target.parse().map_err(|_| mistake("the target"))?;
    print_bytes(&Request { method: Method::POST, target, headers: all, body: body.into() }.to_bytes())
}

//! `sidemint webhooks verify`: which check a captured request fails.

use std::path::PathBuf;

use clap::Args;

use super::wire::Request;
use super::{configured, wire};
use crate::cli::{Failure, blueprint, print, say};
use crate::clock::{Clock as _, SystemClock, Timestamp};
use crate::config::{Environment, Sources};
use crate::webhook::refusal::{Reason, Refusal};

#[derive(Debug, Args)]
pub(in crate::cli) struct Options {
    /// Name of the webhook in the configuration
    name: String,
    /// The request as on the wire, HTTP/1.1: head, empty line, body. - reads standard input
    #[arg(long, value_name = "FILE")]
    file: PathBuf,
    /// The time at which it is judged, in seconds since 1970 [default: now]
    #[arg(long, value_name = "SECONDS", allow_negative_numbers = true)]
    at: Option<i64>,
}

pub(super) fn run(options: &Options, sources: &Sources, environment: &Environment) -> Result<(), Failure> {
    let blueprint = blueprint(sources, environment)?;
    let webhook = configured(&blueprint, &options.name)?;
    let file = |problem: String| Failure::Usage(format!("--file {}: {problem}", options.file.display()));
    let (request, note) = wire::read(&options.file).and_then(|bytes| Request::parse(&bytes)).map_err(file)?;
    if let Some(note) = note {
        say(&note);
    }
    let at = options.at.map_or_else(|| SystemClock.now(), Timestamp::from_seconds);
    let head = request.head();
    let judged = match webhook.handshake(&head) {
        Some(answer) => answer.map(|_| ()).map_err(Refusal::from),
        None => webhook.judge(&head, request.body.clone(), at).map(|proven| {
            if !webhook.scheme().takes(head.headers) || std::str::from_utf8(&proven.body).is_err() {
                say("note: it is proven, and the service refuses it with 415: content type, coding or characters\n");
            }
        }),
    };
    match judged {
        Ok(()) => print("ok\n"),
        Err(refusal) => {
            let told = match refusal {
                Refusal::Unproven(reason) => reason.into(),
                Refusal::TooLarge => "too_large",
            };
            print(&format!("{told}\n"))?;
            Err(Failure::Running(hint(refusal).to_owned()))
        }
    }
}

/// What to look at.
fn hint(refusal: Refusal) -> &'static str {
    match refusal {
        Refusal::TooLarge => "the body, unpacked, is larger than max_body_bytes",
        Refusal::Unproven(reason) => match reason {
            Reason::MissingSignature | Reason::MissingTimestamp | Reason::MissingAuthorization => {
                "a header of the scheme is missing, empty or there twice: see the definition (sidemint presets NAME)"
            }
            Reason::BadFormat | Reason::BadTimestamp | Reason::Malformed => {
                "a header of the scheme is not written as the scheme writes it: is this the right preset?"
            }
            Reason::Stale | Reason::Future | Reason::Expired | Reason::NotYetValid => {
                "signed at another time: judge an old capture with --at SECONDS, and look at both clocks"
            }
            Reason::Mismatch | Reason::BadSignature => {
                "no configured secret makes this signature of these bytes: another secret, or something changed the body on \
                 its way (or the address, where that is signed)"
            }
            Reason::HashMismatch => "the body is not the one whose hash was signed: something changed it on its way",
            Reason::HashMissing => "what is signed says nothing of the body",
            Reason::UnknownKey => "the request names a key that is not configured",
            Reason::ExpMissing | Reason::BadAlgorithm => "the provider does not sign so: who sent this?",
            Reason::BadId => "the id is missing, there twice or none",
            Reason::BadBody => "the body does not unpack, or is not what its content type says",
        },
    }
}

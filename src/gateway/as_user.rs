//! For whom a call is made: whether the operation and the caller allow that, whom the caller names, and where the provider is
//! told. A call that must be made for a user is never made for none.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use http::{HeaderMap, HeaderName, HeaderValue};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use regex_lite::Regex;

use super::refusal::Refusal;
use crate::config::ActsAs;
use crate::decode::{form, percent};
use crate::definition::{Mistake, Mistakes, whole};
use crate::identity::{Assertions, Identity};
use crate::outbound::Call;
use crate::provider;
use crate::provider::gateway::{AsUser as Written, AsUserRule, Gateway, IdEncoding, IdKind};

/// The header that names the user.
pub const AS_USER: HeaderName = HeaderName::from_static("x-chat-as-user");
/// The header with the user's own assertion: a token, alone.
pub const ASSERTION: HeaderName = HeaderName::from_static("x-chat-user-assertion");

/// Everything but RFC 3986 «unreserved».
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
/// What the provider's own ids look like where the definition does not say.
const OWN_ID: &str = "[A-Za-z0-9_.@:-]{1,256}";

/// How calls of one provider are made for users.
#[derive(Debug)]
pub struct AsUser {
    written: Written,
    sent_as: Option<SentAs>,
    header: Option<HeaderName>,
    /// What the provider's own ids look like, where callers say those.
    own_id: Option<Regex>,
}

/// Where an SDK says the user.
#[derive(Debug)]
enum SentAs {
    Header(HeaderName),
    Query(String),
}

/// The user of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// As the caller named it: for the log, hashed.
    pub named: String,
    /// As it is written into the call.
    pub written: String,
}

/// What of a request is about its user.
#[derive(Clone, Copy)]
pub struct Asked<'r> {
    /// Whether the operation is made for a user.
    pub rule: AsUserRule,
    /// Whether the caller may make calls for one.
    pub acts_as: ActsAs,
    /// The query, as sent.
    pub query: Option<&'r str>,
    /// Every header line.
    pub headers: &'r HeaderMap,
}

impl std::fmt::Debug for Asked<'_> {
    /// Headers and queries hold keys.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Asked").field("rule", &self.rule).field("acts_as", &self.acts_as).finish_non_exhaustive()
    }
}

impl AsUser {
    /// Compiles what a definition says. Keys of mistakes stand below its `[gateway]`.
    pub fn compile(section: &Gateway) -> Result<Self, Mistakes> {
        let written = section.as_user.clone().unwrap_or_default();
        let mut mistakes = Mistakes::default();
        let mut header = |member: &str, text: &str| {
            let name = HeaderName::try_from(text);
            mistakes.note(name.map_err(|_error| {
                Mistake::new(format!("as_user.{member}").as_str(), format!("\"{text}\" is not a header name"))
            }))
        };
        let own = written.header.as_deref().and_then(|text| header("header", text));
        let sent_as = written.sent_as.as_deref().and_then(|text| match text.strip_prefix("query:") {
            Some(name) => Some(SentAs::Query(name.to_owned())),
            None => header("sent_as", text).map(SentAs::Header),
        });
        let own_id = (written.id == IdKind::Provider).then(|| {
            let compiled = whole(written.pattern.as_deref().unwrap_or(OWN_ID));
            mistakes.note(compiled.map_err(|mistake| mistake.within("as_user.pattern")))
        });
        mistakes.or(Self { written, sent_as, header: own, own_id: own_id.flatten() })
    }

    /// Whether callers say ids of the provider's own, of which no assertion of a user tells anything.
    pub fn takes_own_ids(&self) -> bool {
        self.own_id.is_some()
    }

    /// The user for whom a call is made, if it is made for one.
    pub async fn user(
        &self,
        asked: &Asked<'_>,
        provider: &provider::Gateway,
        assertions: Option<&Assertions>,
    ) -> Result<Option<User>, Refusal> {
        let Some(named) = self.named(asked)? else {
            // G-17: call without a user
            return if asked.rule == AsUserRule::Required { Err(Refusal::AsUserMissing) } else { Ok(None) };
        };
        // G-16: operation that is made for nobody
        if asked.rule == AsUserRule::Forbidden {
            return Err(Refusal::AsUserDenied);
        }
        let subject = match asked.acts_as {
            ActsAs::None => return Err(Refusal::AsUserDenied), // G-16: caller without users
            ActsAs::Any => named.clone(),
            ActsAs::Proven => proven(&named, asked.headers, assertions).await?,
        };
        let id = match &self.own_id {
            Some(own) => Some(subject).filter(|id| own.is_match(id)), // G-16: pattern of an id
            None => {
                let subject = Identity::of_operator(&subject, None).ok();
                subject.and_then(|user| provider.user_id(user.subject()))
            }
        };
        let id = id.ok_or(Refusal::AsUserDenied)?;
        Ok(Some(User { named, written: self.encoded(&id).into_owned() }))
    }

    /// The user whom a request names. What is said twice must be the same.
    fn named(&self, asked: &Asked<'_>) -> Result<Option<String>, Refusal> {
        let ours = line(asked.headers, &AS_USER)?;
        let sent = self.sent(asked)?.map(|text| self.decoded(text).ok_or(Refusal::AsUserDenied)).transpose()?;
        match (ours, sent) {
            // G-16: two users
            (Some(ours), Some(sent)) if ours != sent => Err(Refusal::AsUserDenied),
            (ours, sent) => Ok(ours.or(sent).filter(|id| !id.is_empty())),
        }
    }

    /// What stands where an SDK says the user.
    fn sent(&self, asked: &Asked<'_>) -> Result<Option<String>, Refusal> {
        Ok(match &self.sent_as {
            None => None,
            Some(SentAs::Header(name)) => line(asked.headers, name)?,
            Some(SentAs::Query(name)) => {
                let pairs = form::pairs(asked.query.unwrap_or_default().as_bytes()).ok_or(Refusal::TargetInvalid)?;
                let mut values = pairs.into_iter().filter(|(own, _)| own == name).map(|(_, value)| value);
                let first = values.next();
                if values.next().is_some() {
                    return Err(Refusal::QueryDenied);
                }
                first
            }
        })
    }

    /// An id that an SDK wrote as the provider reads it.
    fn decoded(&self, text: String) -> Option<String> {
        let bytes = match self.written.encode {
            IdEncoding::Text => return Some(text),
            IdEncoding::Percent => return percent::decode(text.as_bytes()).map(Cow::into_owned),
            IdEncoding::Base64 => STANDARD.decode(text),
            IdEncoding::Base64url => URL_SAFE_NO_PAD.decode(text),
        };
        String::from_utf8(bytes.ok()?).ok()
    }

    fn encoded<'i>(&self, id: &'i str) -> Cow<'i, str> {
        match self.written.encode {
            IdEncoding::Text => Cow::Borrowed(id),
            IdEncoding::Percent => utf8_percent_encode(id, ENCODED).into(),
            IdEncoding::Base64 => STANDARD.encode(id).into(),
            IdEncoding::Base64url => URL_SAFE_NO_PAD.encode(id).into(),
        }
    }

    /// Tells the provider the user, where that is in a header or in the query. A body was written with it.
    pub fn put(&self, call: &mut Call, user: &User) -> Result<(), Refusal> {
        if let Some(name) = &self.header {
            let value = HeaderValue::try_from(&user.written).map_err(|_text| Refusal::AsUserDenied)?;
            call.headers.insert(name, value);
        }
        if let Some(name) = &self.written.query {
            let encode = |text| utf8_percent_encode(text, ENCODED);
            let pair = format!("{}={}", encode(name), encode(&user.written));
            let query = call.url.query().filter(|query| !query.is_empty());
            let query = query.map_or_else(|| pair.clone(), |query| format!("{query}&{pair}"));
            call.url.set_query(Some(&query));
        }
        Ok(())
    }
}

/// What chat user ids are made of for the user who is named, where an assertion of that user comes along.
async fn proven(named: &str, headers: &HeaderMap, assertions: Option<&Assertions>) -> Result<String, Refusal> {
    let token = line(headers, &ASSERTION)?.ok_or(Refusal::AsUserDenied)?;
    let assertions = assertions.ok_or(Refusal::AsUserDenied)?;
    let (subject, chat_subject) =
        Box::pin(assertions.subject(&token)).await.map_err(|_reason| Refusal::AsUserDenied)?;
    // G-16: subject of the assertion
    if subject == named || chat_subject == named { Ok(chat_subject) } else { Err(Refusal::AsUserDenied) }
}

/// The only line of a header, as text.
fn line(headers: &HeaderMap, name: &HeaderName) -> Result<Option<String>, Refusal> {
    let mut lines = headers.get_all(name).iter();
    match (lines.next(), lines.next()) {
        (None, _) => Ok(None),
        (Some(line), None) => {
            let text = std::str::from_utf8(line.as_bytes()).map_err(|_bytes| Refusal::HeaderInvalid)?;
            Ok(Some(text.to_owned()))
        }
        _ => Err(Refusal::HeaderInvalid),
    }
}

//! Reads identity from the JSON body that a proven caller sent: the member `user`, and nothing beside it.
//!
//! Everything that two readers of JSON could see differently is refused: members that come twice or that are unknown,
//! and values of another type. What else the body holds is for the route's inputs.

use std::borrow::Cow;
use std::sync::Arc;

use http::header::{CONTENT_TYPE, HeaderMap};
use serde::Deserialize;

use crate::identity::claims::object;
use crate::identity::user::profile::Profile;
use crate::identity::user::text::{self, Medium};
use crate::identity::{Evidence, PeerProof, Refusal};

/// The member that names the user.
pub(in crate::identity) const MEMBER: &str = "user";

/// Reads the identity that a body tells. The proof is not looked at: having it is the point.
pub(super) fn read(_proof: PeerProof, evidence: &Evidence<'_>) -> Result<Arc<Profile>, Refusal> {
    let body = evidence.body.filter(|_| is_json(evidence.headers)).ok_or(Refusal::Absent)?;
    user(body)?.ok_or(Refusal::Absent)?.check().map(Arc::new)
}

/// The user in a body, which is an object.
fn user(body: &[u8]) -> Result<Option<User>, Refusal> {
    let mut members = object(body).ok_or(Refusal::Body)?;
    // What is derived would take a list as well.
    let user = members.remove(MEMBER).map(|user| if user.is_object() { Ok(user) } else { Err(Refusal::Body) });
    user.transpose()?.map(serde_json::from_value).transpose().map_err(|_of_another_type| Refusal::Body)
}

/// Whether the body is JSON, or says nothing of what it is. Inputs may also come as a form, which has no place for a user.
fn is_json(headers: &HeaderMap) -> bool {
    let media = |line: &http::HeaderValue| {
        let text = line.to_str().ok()?;
        Some(text.split(';').next()?.trim().eq_ignore_ascii_case("application/json"))
    };
    headers.get_all(CONTENT_TYPE).iter().all(|line| media(line) == Some(true))
}

/// The user, as written. Empty is absent; null is a mistake.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct User {
    id: String,
    #[serde(default)]
    name: String,
    #[serde(default)]
    email: String,
    #[serde(default)]
    avatar: String,
    #[serde(default)]
    groups: Vec<String>,
}

impl User {
    fn check(self) -> Result<Profile, Refusal> {
        let Self { id: subject, name, email, avatar, mut groups } = self;
        text::subject(&subject, Medium::Value)?;
        groups.retain(|group| !group.trim().is_empty());
        if groups.len() > text::MAX_GROUPS || groups.iter().any(|group| !text::is_group(group)) {
            return Err(Refusal::Body);
        }
        Ok(Profile {
            issuer: None,
            subject,
            name: text::display_name(&name).map(Cow::into_owned),
            email: text::email(email.as_bytes()).map(str::to_owned),
            avatar: text::avatar(&avatar).map(str::to_owned),
            groups,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_user(body: &[u8]) -> Result<Option<Profile>, Refusal> {
        user(body)?.map(User::check).transpose()
    }

    #[test]
    fn a_user_is_read_whole() {
        let body = br#"{"room":"a","user":{"id":"u,1","name":"J\u00f6rg  B","email":"j@example.org",
            "avatar":"https://example.org/j.png","groups":["a","","b,c"]},"more":[[1]]}"#;
        let profile = read_user(body).expect("good").expect("a user");
        assert_eq!(profile.subject, "u,1");
        assert_eq!(profile.name.as_deref(), Some("J\u{f6}rg B"));
        assert_eq!(profile.email.as_deref(), Some("j@example.org"));
        assert_eq!(profile.avatar.as_deref(), Some("https://example.org/j.png"));
        assert_eq!(profile.groups, ["a", "b,c"]);
        let bare = read_user(br#"{"user":{"id":"u1","email":"none","avatar":"http://x/y","name":" "}}"#);
        let bare = bare.expect("good").expect("a user");
        assert!(bare.email.is_none() && bare.avatar.is_none() && bare.name.is_none());
    }

    #[test]
    fn a_body_without_a_user_has_none() {
        for body in ["{}", " {} ", r#"{"room":"a"}"#, r#"{"User":{"id":"a"}}"#, r#"{"a":{"user":{"id":"a"}}}"#] {
            assert!(matches!(read_user(body.as_bytes()), Ok(None)), "{body}");
        }
    }

    #[test]
    fn what_readers_could_see_differently_is_refused() {
        for body in [
            "",
            "[]",
            "null",
            r#"{"user":{"id":"a"}"#,
            r#"{"user":{"id":"a"}} x"#,
            r#"{"user":{"id":"a"}}{"user":{"id":"b"}}"#,
            r#"{"user":{"id":"a"},"user":{"id":"b"}}"#,
            r#"{"user":{"id":"a"},"us\u0065r":{"id":"b"}}"#,
            r#"{"user":{"id":"a","id":"a"}}"#,
            r#"{"user":{"id":"a","\u0069d":"b"}}"#,
            r#"{"user":{"id":"a","role":"admin"}}"#,
            r#"{"user":{"id":1}}"#,
            r#"{"user":{"id":null}}"#,
            r#"{"user":{"id":["a"]}}"#,
            r#"{"user":{"id":"a","name":1}}"#,
            r#"{"user":{"id":"a","name":null}}"#,
            r#"{"user":{"id":"a","groups":"x"}}"#,
            r#"{"user":{"id":"a","groups":[1]}}"#,
            r#"{"user":{"id":"a","groups":{}}}"#,
            r#"{"user":{"name":"a"}}"#,
            r#"{"user":{}}"#,
            r#"{"user":["a","b",null,null,[]]}"#,
            r#"{"user":"a"}"#,
            r#"{"user":null}"#,
            r#"{"user":{"id":"a"},"more":1,"more":1}"#,
            r#"{"more":{"a":1,"a":2}}"#,
            r#"{"user":{"id":"\ud800"}}"#,
            "{'user':{'id':'a'}}",
        ] {
            assert!(matches!(read_user(body.as_bytes()), Err(Refusal::Body)), "{body}");
        }
        assert!(matches!(read_user(b"{\"user\":{\"id\":\"\xff\"}}"), Err(Refusal::Body)));
        let deep = format!("{{\"user\":{}", "[".repeat(5000));
        assert!(matches!(read_user(deep.as_bytes()), Err(Refusal::Body)));
    }

    #[test]
    fn an_id_is_kept_byte_for_byte_or_refused() {
        for (id, refusal) in [
            (" alice", Refusal::Character),
            ("alice ", Refusal::Character),
            ("", Refusal::Absent),
            ("null", Refusal::Absent),
            ("{user}", Refusal::Template),
            ("ro\u{200b}ot", Refusal::Character),
        ] {
            let body = serde_json::json!({ "user": { "id": id } }).to_string();
            assert_eq!(read_user(body.as_bytes()).err(), Some(refusal), "{id}");
        }
        let long = serde_json::json!({ "user": { "id": "a", "groups": ["x".repeat(256)] } }).to_string();
        assert_eq!(read_user(long.as_bytes()).err(), Some(Refusal::Body));
        let control = br#"{"user":{"id":"a","groups":["x\u0001"]}}"#;
        assert_eq!(read_user(control).err(), Some(Refusal::Body));
        let many = serde_json::json!({ "user": { "id": "a", "groups": vec!["x"; 257] } }).to_string();
        assert_eq!(read_user(many.as_bytes()).err(), Some(Refusal::Body));
    }

    #[test]
    fn only_json_names_a_user() {
        let typed = |types: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for own in types {
                headers.append(CONTENT_TYPE, http::HeaderValue::from_static(own));
            }
            is_json(&headers)
        };
        assert!(typed(&[]) && typed(&["application/json"]) && typed(&["Application/JSON; charset=utf-8"]));
        assert!(!typed(&["text/plain"]) && !typed(&["application/x-www-form-urlencoded"]) && !typed(&[""]));
        assert!(!typed(&["application/json", "text/plain"]));
    }
}

//! What a body is, by its content type. Other spellings than the plain ones are other types.

use http::HeaderValue;

use crate::provider::gateway::BodyType;

/// The type of a body that says this of itself; `None` where that is no type with rules.
pub(super) fn of(content_type: Option<&HeaderValue>) -> Option<BodyType> {
    let text = content_type?.to_str().ok()?;
    let (essence, parameters) = text.split_once(';').map_or((text, None), |(essence, rest)| (essence, Some(rest)));
    let is = |name: &str| essence.trim_end_matches([' ', '\t']).eq_ignore_ascii_case(name);
    let is_utf8 = parameters.is_none_or(is_utf8);
    // A type such as application/json-patch+json is JSON that means something else.
    match () {
        () if is("application/json") => is_utf8.then_some(BodyType::Json), // G-06: charset
        () if is("application/x-www-form-urlencoded") => is_utf8.then_some(BodyType::Form),
        () if is("application/protobuf") || is("application/x-protobuf") => {
            parameters.is_none().then_some(BodyType::Protobuf)
        }
        () => None,
    }
}

fn is_utf8(parameters: &str) -> bool {
    let parameters = parameters.trim_matches([' ', '\t']).to_ascii_lowercase();
    matches!(parameters.as_str(), "charset=utf-8" | "charset=\"utf-8\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// G-06.
    #[test]
    fn a_type_has_one_spelling() {
        for text in [
            "application/json",
            "Application/JSON",
            "application/json;charset=utf-8",
            "application/json ; charset=\"UTF-8\"",
        ] {
            assert_eq!(of(Some(&HeaderValue::from_static(text))), Some(BodyType::Json), "{text}");
        }
        for (text, kind) in [
            ("application/x-www-form-urlencoded; charset=utf-8", BodyType::Form),
            ("application/protobuf", BodyType::Protobuf),
        ] {
            assert_eq!(of(Some(&HeaderValue::from_static(text))), Some(kind));
        }
        for text in [
            "",
            "application/json, text/plain",
            "text/json",
            "application/json-patch+json",
            "application/merge-patch+json",
            "application/json;charset=utf-16",
            "application/json;charset=utf-8;charset=utf-16",
            "application/json;",
            "json",
            "application/json; boundary=x",
            "application/x-msgpack",
            "application/protobuf; messageType=\"x\"",
            "application/x-www-form-urlencoded; charset=utf-7",
            "multipart/form-data; boundary=x",
        ] {
            assert_eq!(of(Some(&HeaderValue::from_static(text))), None, "{text}");
        }
        assert_eq!(of(None), None);
    }
}

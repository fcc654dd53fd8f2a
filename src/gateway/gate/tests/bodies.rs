//! Bodies: what must, may and must not be in them, in every type.

use http::header::CONTENT_TYPE;
use http::{HeaderValue, Method, Uri};

use super::{Call, Granted, Head, Made, Reading, Refusal, Target, sample};

const FORM: &str = "application/x-www-form-urlencoded";
const PROTO: &str = "application/protobuf";

fn send(line: &str, content_type: &str, body: &[u8]) -> Result<Made, Refusal> {
    Call { line, headers: &[("content-type", content_type)], body, ..Call::default() }.make()
}

fn json(line: &str, body: &str) -> Result<String, Refusal> {
    send(line, "application/json", body.as_bytes()).map(|made| made.body.expect("a body"))
}

/// G-05: levels with rules are read once and written anew; what is deeper keeps its text.
#[test]
fn json_is_written_anew() {
    for (sent, written) in [
        (r#"{"room":"a"}"#, r#"{"room":"a"}"#),
        (r#" { "\u0072oom" : "\u0061" , "n":1.0e2 } "#, r#"{"room":"\u0061","n":1.0e2}"#),
        (
            r#"{"room":"a","big":123456789012345678901234567890,"deep":{"a" : [1, {"a":1,"a":2}]}}"#,
            r#"{"room":"a","big":123456789012345678901234567890,"deep":{"a" : [1, {"a":1,"a":2}]}}"#,
        ),
        (r#"{"room":12,"users":{"x":{"name":null}}}"#, r#"{"room":12,"users":{"x":{"name":null}}}"#),
        (
            r#"{"room":"a","users":[{"name":"\ud83d\ude00"},7,{}]}"#,
            r#"{"room":"a","users":[{"name":"\ud83d\ude00"},7,{}]}"#,
        ),
        (r#"{"room":"a","a\"b\\":"c"}"#, r#"{"room":"a","a\"b\\":"c"}"#),
    ] {
        assert_eq!(json("POST /rooms", sent).as_deref(), Ok(written), "{sent}");
    }
}

/// G-05: whatever a lenient reader could see otherwise is refused.
#[test]
fn json_that_readers_see_in_two_ways_is_refused() {
    let levels = |n: usize| format!(r#"{{"room":"a","x":{}{}}}"#, "[".repeat(n), "]".repeat(n));
    assert!(json("POST /rooms", &levels(64)).is_ok());
    for body in [
        r#"{"room":"a","room":"b"}"#,
        r#"{"room":"a","\u0072oom":"b"}"#,
        r#"{"room":"a","x":1,"x":1}"#,
        r#"{"room":"a","users":{"u":1,"u":2}}"#,
        r#"{"room":"a"} x"#,
        r#"{"room":"a",}"#,
        r#"{"room":"a"}{}"#,
        "{'room':'a'}",
        r#"{room:"a"}"#,
        r#"{"room":"a","x":01}"#,
        r#"{"room":"a","x":NaN}"#,
        r#"{"room":"a" "x":1}"#,
        r#"{"room":"a"/**/}"#,
        r#"{"room":"a","x":"
"}"#,
        r#"{"room":"\ud800"}"#,
        r#"{"room":"a","\ud800":1}"#,
        r#"{"room":"a","x\u0000y":1}"#,
        r#"{"room"}"#,
        r#"{"room":"a""#,
        r#"[{"room":"a"}]"#,
        r#""room""#,
        "null",
        " ",
        &levels(65),
        &"{\"room\":".repeat(9_000),
    ] {
        assert_eq!(json("POST /rooms", body), Err(Refusal::BodyInvalid), "{}", body.get(..80).unwrap_or(body));
    }
    for body in [
        r#"{"room":"a","Room":"b"}"#,
        r#"{"ROOM":"b"}"#,
        r#"{"room":"a","PERMISSION":{}}"#,
        r#"{"room":"a","permi\u017fsion":{}}"#,
        r#"{"room":"a","users":{"x":{"Role":1}}}"#,
    ] {
        assert_eq!(json("POST /rooms", body), Err(Refusal::BodyDenied), "{body}");
    }
}

/// G-03, G-18: a parameter is one id, of a kind that every reader sees alike.
#[test]
fn parameters_of_bodies_are_ids() {
    for body in [
        "{}",
        r#"{"x":"a"}"#,
        r#"{"room":null}"#,
        r#"{"room":true}"#,
        r#"{"room":""}"#,
        r#"{"room":".."}"#,
        r#"{"room":"a/b"}"#,
        r#"{"room":"a\\b"}"#,
        r#"{"room":"a\n"}"#,
        r#"{"room":["a"]}"#,
        r#"{"room":{"a":1}}"#,
        r#"{"room":1.5}"#,
        r#"{"room":1e3}"#,
        r#"{"room":-0}"#,
        r#"{"room":9007199254740993}"#,
    ] {
        assert_eq!(json("POST /rooms", body), Err(Refusal::BodyInvalid), "{body}");
    }
    let made = send("POST /broadcast", "application/json", br#"{"room":"r-a","rooms":["r-b","r-a"]}"#).expect("made");
    assert_eq!(made.parameters.iter().map(|(_, value)| value.as_str()).collect::<Vec<_>>(), ["r-a", "r-b"]);
    assert_eq!(json("POST /broadcast", r#"{"room":"r-a","rooms":["other"]}"#), Err(Refusal::BodyInvalid));
    assert_eq!(json("POST /broadcast", r#"{"rooms":[]}"#), Err(Refusal::BodyInvalid));
    assert!(json("POST /broadcast", r#"{"rooms":{"x":"r-a"}}"#).is_ok());
    // A lenient reader takes one value for a list of one.
    for body in [r#"{"room":"r-a","rooms":"other"}"#, r#"{"room":"r-a","rooms":7}"#, r#"{"room":"r-a","rooms":true}"#] {
        assert_eq!(json("POST /broadcast", body), Err(Refusal::BodyInvalid), "{body}");
    }
    assert!(json("POST /broadcast", r#"{"room":"r-a","rooms":null}"#).is_ok());
    // What a proof names is what path, query and body name.
    for (line, body) in [("POST /rooms/a/mute", r#"{"room":"b"}"#), ("POST /rooms?room=b", r#"{"room":"a"}"#)] {
        assert_eq!(json(line, body), Err(Refusal::BodyInvalid), "{line}");
    }
    for (line, body) in [
        ("POST /rooms/a/mute", r#"{"room":"a"}"#),
        ("POST /rooms/a/mute", "{}"),
        ("POST /rooms?room=a", r#"{"room":"a"}"#),
    ] {
        assert!(json(line, body).is_ok(), "{line}");
    }
}

/// G-18: a parameter that stands in several fields has the value of each, and a field may be two parameters.
#[test]
fn a_parameter_may_stand_in_several_fields() {
    let is_mine = |content_type: &'static str, body: &'static [u8]| {
        let headers = [("content-type", content_type)];
        let call = Call { line: "POST /moves", headers: &headers, body, granted: Granted::Rooms, ..Call::default() };
        call.make().map(|made| made.parameters)
    };
    let named = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    for (content_type, here, elsewhere, twice) in [
        (
            "application/json",
            &br#"{"from":"mine-1","to":"mine-2"}"#[..],
            &br#"{"from":"mine-1","to":"other"}"#[..],
            &br#"{"from":"mine-1","to":"mine-2","to":"mine-3"}"#[..],
        ),
        (FORM, b"from=mine-1&to=mine-2", b"from=mine-1&to=other", b"from=mine-1&to=mine-2&to=mine-3"),
        (PROTO, b"\x0a\x06mine-1\x1a\x06mine-2", b"\x0a\x06mine-1\x1a\x05other", b"\x0a\x01a\x1a\x01b\x1a\x01b"),
    ] {
        let mut found = is_mine(content_type, here).expect("made");
        found.sort();
        assert_eq!(found, [named("from", "mine-1"), named("room", "mine-1"), named("room", "mine-2")]);
        assert_eq!(is_mine(content_type, elsewhere), Err(Refusal::ParameterDenied), "{content_type}");
        assert_eq!(is_mine(content_type, twice), Err(Refusal::BodyInvalid), "{content_type}");
    }
}

/// G-19: what an operation forbids is in none of its types.
#[test]
fn forbidden_members_are_refused() {
    for body in [
        r#"{"room":"a","permission":{}}"#,
        r#"{"room":"a","permission":null}"#,
        r#"{"room":"a","permi\u0073sion":1}"#,
        r#"{"room":"a","users":{"x":{"role":"admin"}}}"#,
        r#"{"room":"a","users":[{"name":"x"},{"role":"admin"}]}"#,
    ] {
        assert_eq!(json("POST /rooms", body), Err(Refusal::BodyDenied), "{body}");
    }
    for body in [
        "room=a&permission=1",
        "room=a&permission[x]=1",
        "room=a&%70ermission=",
        "room=a&Permission=1",
        "room=a& permission=1",
    ] {
        assert_eq!(send("POST /rooms", FORM, body.as_bytes()), Err(Refusal::BodyDenied), "{body}");
    }
    assert_eq!(send("POST /rooms", PROTO, b"\x0a\x01a\x22\x00"), Err(Refusal::BodyDenied));
    // An item of a list alone is not a member of an object.
    let notes = |notes: &str| json("POST /broadcast", &format!(r#"{{"room":"r-a","notes":{notes}}}"#)).map(|_| ());
    assert_eq!(notes(r#"[{"x":1},{"secret":1}]"#), Err(Refusal::BodyDenied));
    assert_eq!(notes(r#"[{"hidden":1}]"#), Err(Refusal::BodyDenied), "what holds for everything holds for items");
    assert_eq!(notes(r#"{"secret":{"secret":1},"data":{"secret":1}}"#), Ok(()));
    assert_eq!(notes(r#"{"data":{"hidden":1}}"#), Err(Refusal::BodyDenied));
    // One rule is about one call of the group.
    assert!(json("POST /rooms", r#"{"room":"a","loud":1}"#).is_ok());
    assert_eq!(json("POST /rooms/a/mute", r#"{"loud":1}"#), Err(Refusal::BodyDenied));
}

/// G-19: `only` leaves nothing else.
#[test]
fn members_that_are_not_listed_are_refused() {
    for body in [
        r#"{"room":"a"}"#,
        r#"{"room":"a","text":{"x":[1]},"to":[{"id":1},{}]}"#,
        r#"{"room":"a","to":{"x":{"id":{"y":1}}}}"#,
    ] {
        assert!(json("POST /notes", body).is_ok(), "{body}");
    }
    for body in [
        r#"{"room":"a","other":1}"#,
        r#"{"room":"a","to":"everybody"}"#,
        r#"{"room":"a","to":null}"#,
        r#"{"room":"a","to":[1]}"#,
        r#"{"room":"a","to":[{"id":1,"role":2}]}"#,
        r#"{"room":"a","Text":1}"#,
    ] {
        assert_eq!(json("POST /notes", body), Err(Refusal::BodyDenied), "{body}");
    }
}

/// G-18: what is ours is put in, whatever was sent.
#[test]
fn forced_members_are_ours() {
    for (sent, written) in [
        (r#"{"room":"r-a"}"#, r#"{"room":"r-a","app_id":"mine","scope":{"tenant":7}}"#),
        (
            r#"{"app_id":"other","room":"r-a","scope":{"x":1,"tenant":[8]}}"#,
            r#"{"app_id":"mine","room":"r-a","scope":{"x":1,"tenant":7}}"#,
        ),
        (
            r#"{"app_id":{"a":1,"a":2},"room":"r-a","scope":{}}"#,
            r#"{"app_id":"mine","room":"r-a","scope":{"tenant":7}}"#,
        ),
    ] {
        assert_eq!(json("POST /broadcast", sent).as_deref(), Ok(written), "{sent}");
    }
    for body in [
        r#"{"room":"r-a","scope":null}"#,
        r#"{"room":"r-a","scope":[]}"#,
        r#"{"room":"r-a","scope":"x"}"#,
        r#"{"room":"r-a","app_id":1,"app_id":2}"#,
    ] {
        assert_eq!(json("POST /broadcast", body), Err(Refusal::BodyInvalid), "{body}");
    }
    assert_eq!(json("POST /broadcast", r#"{"room":"r-a","APP_ID":"other"}"#), Err(Refusal::BodyDenied));
}

/// G-10: the user of a call is put into it by us alone.
#[test]
fn the_user_is_ours_to_say() {
    let call = |body: &'static str, user| {
        Call { line: "POST /rooms/a/messages", body: body.as_bytes(), user, ..Call::default() }
            .make()
            .map(|made| made.body)
    };
    let body = |text: &str| Ok(Some(text.to_owned()));
    assert_eq!(call(r#"{"text":"hi"}"#, Some("al\"ice")), body(r#"{"text":"hi","senderId":"al\"ice"}"#));
    assert_eq!(call(r#"{"senderId":"bob","text":"hi"}"#, Some("alice")), body(r#"{"senderId":"alice","text":"hi"}"#));
    assert_eq!(call("", Some("alice")), body(r#"{"senderId":"alice"}"#));
    assert_eq!(call(r#"{"text":"hi"}"#, None), body(r#"{"text":"hi"}"#));
    assert_eq!(call("", None), Ok(None));
    assert_eq!(call(r#"{"senderId":"bob"}"#, None), Err(Refusal::AsUserDenied));
    assert_eq!(call(r#"{"SenderId":"bob"}"#, Some("alice")), Err(Refusal::BodyDenied));
    // Nor does another type of body bring one.
    for body in ["room=a&senderId=bob", "room=a&senderid=bob", "room=a&senderId[]=bob"] {
        assert_eq!(send("POST /rooms", FORM, body.as_bytes()), Err(Refusal::BodyDenied), "{body}");
    }
    for content_type in ["application/json", FORM, PROTO] {
        assert_eq!(send("PUT /files/a", content_type, b"{}"), Err(Refusal::TypeDenied), "{content_type}");
    }
}

/// G-06: bodies have the types of the operation, and no encoding.
#[test]
fn bodies_of_other_types_are_refused() {
    for content_type in [
        "text/plain",
        "application/msgpack",
        "application/json; charset=utf-16",
        "multipart/form-data; boundary=x",
        FORM,
    ] {
        assert_eq!(send("POST /notes", content_type, br#"{"room":"a"}"#), Err(Refusal::TypeDenied), "{content_type}");
    }
    for name in ["gzip", "identity", "br"] {
        let headers = [("content-encoding", name), ("content-type", "application/json")];
        let call = Call { line: "POST /notes", headers: &headers, body: br#"{"room":"a"}"#, ..Call::default() };
        assert_eq!(call.make(), Err(Refusal::TypeDenied), "{name}");
    }
    for body in
        [&b"\xef\xbb\xbf{}"[..], b"\xff\xfe{\0}\0", b"\xfe\xff\0{\0}", b"{\0}\0", b"\0{\0}", b"{\"room\":\"a\0\"}"]
    {
        assert_eq!(send("POST /notes", "application/json", body), Err(Refusal::TypeDenied), "{}", body.escape_ascii());
    }
    assert_eq!(send("POST /notes", "application/json", b"{\"room\":\"\xff\"}"), Err(Refusal::BodyInvalid));
    assert_eq!(send("GET /users", "application/json", b"{}"), Err(Refusal::BodyInvalid));
    let made = send("PUT /files/a", "image/png", b"\x89PNG").expect("anything");
    assert_eq!(made.body, None, "it is sent on as it comes");
}

/// G-05: forms have each field with a rule once, under its own name.
#[test]
fn forms_are_written_anew() {
    let form = |body: &str| send("POST /rooms", FORM, body.as_bytes()).map(|made| made.body.expect("a body"));
    assert_eq!(form("room=a+b&&x=%26&x=2").as_deref(), Ok("room=a+b&x=%26&x=2"));
    for body in
        ["room=a&room=b", "room=a&%72oom=b", "room[]=a", "ROOM=a", "room=a/b", "room=%", "x=1", "room=a&room[x]=b"]
    {
        assert_eq!(form(body), Err(Refusal::BodyInvalid), "{body}");
    }
    let many = format!("room=a{}", "&x=1".repeat(1000));
    assert_eq!(form(&many), Err(Refusal::BodyInvalid));
}

/// G-05: protobuf has each field with a rule once, as a string, and tags in their only form.
#[test]
fn protobuf_is_read_as_others_read_it() {
    let proto = |body: &[u8]| send("POST /rooms", PROTO, body).map(|made| made.parameters);
    for body in [
        &b"\x0a\x01a"[..],
        b"\x0a\x01a\x12\x03\x0a\x01b\x18\x96\x01",
        b"\x15\0\0\0\0\x0a\x01a",
        b"\x0a\x01a\x11\0\0\0\0\0\0\0\0",
    ] {
        assert_eq!(proto(body), Ok(vec![("room".to_owned(), "a".to_owned())]), "{}", body.escape_ascii());
    }
    for body in [
        &b"\x0a\x01a\x0a\x01a"[..],   // twice
        b"\x08\x01",                  // not a string
        b"\x0a\x01a\x08\x01",         // both
        b"\x8a\x00\x01a",             // a padded tag
        b"\x0a\x81\x00a",             // a padded length
        b"\x8a\x80\x80\x80\x10\x01a", // a tag beyond 32 bits
        b"\x0a\x05a",                 // too short
        b"\x0b\x0c",                  // a group
        b"\x0a\x01a\x0e",             // no kind
        b"\x02\x01a",                 // no number
        b"\x0a\x01\xff",              // no text
        b"\x0a\x00",                  // no id
        b"\x0a\x02..",                // nor this
        b"\x10\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f",
        b"\x10",
        b"\x12\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
    ] {
        assert_eq!(proto(body), Err(Refusal::BodyInvalid), "{}", body.escape_ascii());
    }
    // A message without fields has no bytes, and no room.
    assert_eq!(proto(b""), Err(Refusal::BodyInvalid));
}

/// G-22: a length that is said is refused before a byte is read.
#[test]
fn bodies_have_a_length() {
    let body = format!(r#"{{"room":"a","x":"{}"}}"#, "x".repeat(256 * 1024));
    assert_eq!(json("POST /rooms", &body), Err(Refusal::BodyTooLarge));
    let gate = sample::gate().expect("a gate");
    let head = |path: &'static str, content_type: &'static str, length| {
        let (uri, method) =
            (Uri::from_static(path), if path.starts_with("/files") { Method::PUT } else { Method::POST });
        let target = Target::of(&uri).expect("a target");
        let headers = [(CONTENT_TYPE, HeaderValue::from_static(content_type))].into_iter().collect();
        let head = Head { method: &method, target: &target, headers: &headers, body: Some(length) };
        gate.head(&head, &Granted::All).map(|matched| matched.reading(false))
    };
    for (path, content_type, most, reading) in [
        ("/rooms", "application/json", 256 * 1024, Reading::Whole(256 * 1024)),
        ("/files/a", "image/png", 1024 * 1024, Reading::Streamed(1024 * 1024)),
    ] {
        assert_eq!(head(path, content_type, Some(most)), Ok(reading));
        assert_eq!(head(path, content_type, None), Ok(reading));
        assert_eq!(head(path, content_type, Some(most + 1)), Err(Refusal::BodyTooLarge));
    }
    assert_eq!(head("/rooms", "text/plain", Some(0)), Ok(Reading::Nothing));
}

//! What must hold for any request: the call that arrives is one granted operation, with the parameters that were checked.

use proptest::prelude::*;
use tonic_prost::prost::{self, Message as _};

use super::{Call, Granted, Refusal};
use crate::gateway::fuzzing::{judge, sample};

/// Texts that parsers stumble over, and parts of what is granted.
fn piece() -> impl Strategy<Value = String> {
    let known = [
        "users",
        "rooms",
        "apps",
        "a%201",
        "a 1",
        "mine",
        "mute",
        "messages",
        "files",
        "broadcast",
        "me",
        "room",
        "limit",
    ];
    let odd = [
        "", ".", "..", "%2e", "%2e%2e", "%2f", "%5c", "\\", "%25", "%", "%00", ";", "@", ":", "//", "/", "?", "&", "=",
        "#", "+", "%ff", "%c3%b6",
    ];
    prop_oneof![
        3 => proptest::sample::select(known.to_vec()).prop_map(str::to_owned),
        2 => proptest::sample::select(odd.to_vec()).prop_map(str::to_owned),
        1 => "[!-~]{0,3}",
    ]
}

fn target() -> impl Strategy<Value = String> {
    let path = proptest::collection::vec(proptest::collection::vec(piece(), 1..3), 1..5);
    let path =
        path.prop_map(|parts| format!("/{}", parts.iter().map(|part| part.concat()).collect::<Vec<_>>().join("/")));
    let query = proptest::collection::vec(piece(), 0..6).prop_map(|parts| parts.concat());
    (path, query, any::<bool>()).prop_map(|(path, query, has)| if has { format!("{path}?{query}") } else { path })
}

/// JSON in which some members are those that rules name.
fn json(depth: u32) -> BoxedStrategy<String> {
    let names = [
        "room",
        "\\u0072oom",
        "Room",
        "app_id",
        "scope",
        "tenant",
        "senderId",
        "users",
        "role",
        "permission",
        "x",
        "rooms",
    ];
    let leaf = proptest::sample::select(vec![
        "1", "\"a\"", "\"r-a\"", "null", "true", "1.50", "\"..\"", "\"mine\"", "-0", "[]", "{}",
    ]);
    let leaf = leaf.prop_map(str::to_owned).boxed();
    if depth == 0 {
        return leaf;
    }
    let member = (proptest::sample::select(names.to_vec()), json(depth - 1));
    let object = proptest::collection::vec(member.prop_map(|(name, value)| format!("\"{name}\":{value}")), 0..4);
    let object = object.prop_map(|members| format!("{{{}}}", members.join(",")));
    let list = proptest::collection::vec(json(depth - 1), 0..3).prop_map(|items| format!("[{}]", items.join(" , ")));
    prop_oneof![4 => object, 1 => list, 1 => leaf].boxed()
}

/// A message as providers know it, and others that have more fields.
#[derive(Clone, PartialEq, prost::Message)]
#[prost(prost_path = "tonic_prost::prost")]
struct Message {
    #[prost(string, tag = "1")]
    room: String,
    #[prost(string, repeated, tag = "2")]
    names: Vec<String>,
    #[prost(sint64, optional, tag = "3")]
    number: Option<i64>,
    #[prost(bytes = "vec", optional, tag = "4")]
    permission: Option<Vec<u8>>,
    #[prost(fixed64, optional, tag = "5")]
    time: Option<u64>,
    #[prost(float, optional, tag = "6")]
    share: Option<f32>,
    #[prost(message, optional, boxed, tag = "536870911")]
    inner: Option<Box<Message>>,
}

fn message() -> impl Strategy<Value = Message> {
    let names = proptest::collection::vec(".{0,3}", 0..3);
    let rest = (any::<Option<i64>>(), proptest::option::weighted(0.2, any::<Vec<u8>>()), any::<Option<u64>>());
    ("[a-z./]{0,4}", names, rest, any::<bool>()).prop_map(|(room, names, (number, permission, time), nests)| {
        let own = Message { room, names, number, permission, time, share: None, inner: None };
        let inner = nests.then(|| Box::new(own.clone()));
        Message { inner, share: nests.then_some(0.5), ..own }
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// G-01, G-02, G-03, G-04, G-18: judged by a router that knows nothing of ours.
    #[test]
    fn whatever_arrives_is_one_granted_operation(
        method in proptest::sample::select(vec!["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH"]),
        target in target(),
        body in prop_oneof![Just(String::new()), json(3)],
        user in proptest::option::of("[a-z]{1,4}"),
        mine in any::<bool>(),
    ) {
        prop_assume!(target.parse::<http::Uri>().is_ok());
        let line = format!("{method} {target}");
        let granted = if mine { Granted::Rooms } else { Granted::All };
        let call = Call { line: &line, body: body.as_bytes(), user: user.as_deref(), granted, ..Call::default() };
        if let Ok(made) = sample::make(&call.sample(), &call.granted) {
            judge::operation(&made);
            if made.operation != "file.put" {
                judge::body(&made, body.as_bytes(), user.as_deref());
            }
            let rooms: Vec<_> = made.parameters.iter().filter(|(name, _)| name == "room").collect();
            prop_assert!(!mine || (!rooms.is_empty() && rooms.iter().all(|(_, room)| room.starts_with("mine"))));
        }
    }

    /// G-05, G-19: what prost writes and reads.
    #[test]
    fn protobuf_is_what_prost_sees(message in message(), cut in any::<usize>(), flip in any::<(bool, usize, u8)>()) {
        let mut bytes = message.encode_to_vec();
        let post = |bytes: &[u8]| {
            let headers = [("content-type", "application/protobuf")];
            Call { line: "POST /rooms", headers: &headers, body: bytes, ..Call::default() }.make()
        };
        let is_id = !matches!(message.room.as_str(), "" | "." | "..") && !message.room.contains('/');
        let expected = match (&message.permission, is_id) {
            (Some(_), _) => Err(Refusal::BodyDenied),
            (None, true) => Ok(vec![("room".to_owned(), message.room.clone())]),
            (None, false) => Err(Refusal::BodyInvalid),
        };
        prop_assert_eq!(post(&bytes).map(|made| made.parameters), expected);
        // And of any bytes that pass, prost sees no forbidden field and the same room.
        bytes.truncate(cut % (bytes.len() + 1));
        if let (true, Some(byte)) = (flip.0, bytes.get_mut(flip.1 % message.encoded_len().max(1))) {
            *byte ^= flip.2;
        }
        if let (Ok(made), Ok(read)) = (post(&bytes), Message::decode(bytes.as_slice())) {
            prop_assert_eq!(made.parameters, vec![("room".to_owned(), read.room)]);
            prop_assert_eq!(read.permission, None);
        }
    }
}

//! Canaries: what identifies a call or proves one is in no line, no metric and no error.

use serde_json::json;

use super::fixture::{Fixture, SECRET, Setup};
use crate::fakes::http::Script;

/// G-13: secrets, keys, paths, queries, headers and bodies stay where they belong.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_of_a_call_is_found_where_it_does_not_belong() {
    let fixture = Fixture::start().await;
    let echo = Script::text(401, "text/plain", format!("CANARYanswer {SECRET}"));
    fixture.provider.next("/v1/rooms/CANARYroom", echo);
    let header = [("X-Request-Key", "CANARYheader"), ("X-Other", "CANARYother")];
    let mut told = Vec::new();
    for (method, target) in [
        ("GET", "/rooms/CANARYroom"),
        ("GET", "/rooms?limit=CANARYquery"),
        ("GET", "/rooms?CANARYname=1"),
        ("GET", "/CANARYpath"),
        ("DELETE", "/rooms/CANARYroom"),
        ("GET", "/CANARY/../x"),
    ] {
        told.push(fixture.send(method, target, &header, b"").await);
    }
    told.push(fixture.json("POST", "/rooms", "{\"room\":\"CANARYbody\"}").await);
    told.push(fixture.json("POST", "/rooms", "{\"room\":\"CANARYbody\",\"room\":\"CANARYtwice\"}").await);
    for answer in &told {
        let heads = format!("{:?}", answer.headers);
        assert!(!answer.text().contains("CANARY") && !heads.contains("CANARY"), "{answer:?}");
    }
    let lines = fixture.service.log_lines(told.len()).await;
    assert_eq!(lines.len(), told.len());
    let ops = fixture.service.ops("/metrics").await;
    for text in [fixture.service.log(), ops.text().to_owned()] {
        assert!(!text.contains("CANARY"), "{text}");
    }
}

/// Parameters are shown where the operator wants it, and nothing else is.
#[tokio::test(flavor = "multi_thread")]
async fn parameters_are_shown_where_the_operator_wants_it() {
    let overrides = vec![("log.gateway_params", "true".to_owned())];
    let fixture = Setup { overrides, ..Setup::default() }.start().await;
    assert_eq!(fixture.json("PUT", "/rooms/a", "{\"room\":\"b \\\"c\\\"\",\"x\":\"CANARY\"}").await.status, 200);
    let line = &fixture.service.log_lines(1).await[0];
    assert_eq!(line["parameters"], json!(["room=a", "room=b \"c\""]), "{line}");
    assert!(!fixture.service.log().contains("CANARY"));
    assert_eq!(line["outcome"], json!("ok"));
}

//! The canary of the gateway: keys, users, paths, queries and bodies are words that stand nowhere else, and none of them reaches
//! the log or a metric, whether a call is made or refused.

use super::fixture::{Fixture, OTHER, SECRET, SHOP};

#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_was_sent_reaches_the_log_or_a_metric() {
    let fixture = Fixture::start().await;
    let [shop, other, provider, unknown] =
        [SHOP, OTHER, SECRET, "CANARYunknown0123456789abcdefghijklmnopqrstuvw"].map(|key| format!("Bearer {key}"));
    for key in ["", &shop, &other, &provider, &unknown] {
        for (method, target, body) in [
            ("GET", "/rooms/CANARYroom", ""),
            ("GET", "/rooms?limit=CANARYlimit", ""),
            ("GET", "/CANARYpath?CANARYquery=CANARYvalue", ""),
            ("POST", "/rooms", "{\"room\":\"CANARYroom\",\"text\":\"CANARYtext\"}"),
            ("POST", "/rooms", "{\"room\":\"CANARYroom\", CANARYbroken"),
            ("DELETE", "/rooms/CANARYroom", ""),
        ] {
            let headers = [
                ("Authorization", key),
                ("Content-Type", "application/json"),
                ("X-Chat-As-User", "CANARYuser"),
                ("X-Chat-User-Assertion", "CANARYassertion"),
                ("X-Request-Id", "CANARYrequest"),
                ("User-Agent", "CANARYagent"),
                ("Cookie", "CANARYcookie"),
            ];
            let answer = fixture.raw(method, target, &headers[..], body.as_bytes()).await;
            assert!(!answer.text().contains("CANARY"), "{}", answer.text());
            fixture.raw(method, target, &headers[..2], body.as_bytes()).await;
        }
    }
    fixture.service.log_lines(60).await;
    let told = [fixture.service.log(), fixture.service.ops("/metrics").await.text().to_owned()];
    for text in told {
        assert!(text.contains("shop"), "the caller is told");
        assert_eq!(text.match_indices("CANARY").next(), None);
    }
}

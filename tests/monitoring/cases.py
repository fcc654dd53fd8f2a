"""For each alert a case in which it fires, and one beside it in which it only nearly does.

A series is written as Prometheus' unit tests do (`0+2x60`: from 0 in steps of 2, sixty times), a minute a value: for the job in
trouble, and for the one that is not. None: the job does not have it.
"""

import dataclasses


@dataclasses.dataclass
class Case:
    alert: str
    severity: str
    at: str
    series: dict
    # Labels beside namespace and job.
    labels: dict = dataclasses.field(default_factory=dict)
    # Alerts that fire as well: name, severity, and labels beside namespace.
    others: tuple = ()
    # Nothing but the series above, not even sidemint_build_info.
    alone: bool = False
    # Labels beside those above, where namespace and job are gone.
    bare: bool = False

    def expected(self):
        own = {} if self.bare else {"namespace": "prod", "job": "loud"}
        yield self.alert, self.severity, own | self.labels
        for alert, severity, labels in self.others:
            yield alert, severity, {"namespace": "prod"} | labels


def requests(outcome):
    return f'sidemint_requests_total{{route="/session", outcome="{outcome}"}}'


def sessions(how):
    return f'sidemint_sessions_total{{route="/session", how="{how}"}}'


def calls(outcome):
    return f'sidemint_provider_calls_total{{provider="chat", step="mint", outcome="{outcome}"}}'


def breaker(pod):
    return f'sidemint_breaker_state{{provider="chat", pod="{pod}"}}'


def fetches(outcome):
    return f'sidemint_key_set_fetches_total{{source="login", outcome="{outcome}"}}'


def hooks(outcome):
    return f'sidemint_webhook_requests_total{{name="chat", outcome="{outcome}"}}'


def refused(reason):
    return f'sidemint_identity_refusals_total{{reason="{reason}"}}'


def served(outcome):
    return f'sidemint_gateway_requests_total{{provider="chat", caller="shop", operation="room.list", outcome="{outcome}"}}'


def denied(code):
    return f'sidemint_gateway_refusals_total{{provider="chat", caller="shop", code="{code}"}}'


CHAT, POD = {"provider": "chat"}, {"pod": "a", "instance": "a:9090"}
HOOK, LOGIN = {"name": "chat"}, {"source": "login"}
KEYS, FETCHED = 'sidemint_key_set_keys{source="login"}', 'sidemint_key_set_fetched_timestamp_seconds{source="login"}'
EXPIRY = 'sidemint_tls_expiry_timestamp_seconds{listener="server", file="certificate"}'
SLOW = "SidemintErrorBudgetSlow"

CASES = [
    # Both stop being scraped; one comes back in time.
    Case("SidemintAbsent", "critical", "20m", {"sidemint_build_info": ("1x10 stale", "1x10 stale _x2 1x20")}, alone=True),
    # Nothing was ever scraped.
    Case("SidemintAbsent", "critical", "20m", {"up": ("0x30", None)}, alone=True, bare=True),
    Case("SidemintNotReady", "critical", "15m", {'sidemint_ready{pod="a"}': ("0x30", "1x30"), 'sidemint_ready{pod="b"}': ("0x30", "1x30")}),
    # A restart of one pod is quiet.
    Case(
        "SidemintNotReady",
        "warning",
        "15m",
        {'sidemint_ready{pod="a"}': ("0x30", "0x8 1x30"), 'sidemint_ready{pod="b"}': ("1x30", "1x30")},
        labels=POD,
    ),
    # 2 % fail, and 0.5 %: more than the budget, but not at a rate that wakes anybody. Refusals count on neither side.
    Case(
        "SidemintErrorBudgetFast",
        "critical",
        "75m",
        {
            requests("ok"): ("0+980x90", "0+995x90"),
            requests("provider_unavailable"): ("0+20x90", "0+5x90"),
            requests("unauthorized"): ("0+9000x90", "0+9000x90"),
        },
        others=((SLOW, "warning", {"job": "loud"}),),
    ),
    # It was bad within the hour, and is over: nobody is woken any more.
    Case(
        SLOW,
        "warning",
        "75m",
        {requests("ok"): ("0+980x90", "0+1000x90"), requests("internal"): ("0+20x60 1200x30", "0+0x90")},
    ),
    Case(SLOW, "warning", "400m", {requests("ok"): ("0+990x420", "0+995x420"), requests("draining"): ("0+10x420", "0+5x420")}),
    Case(
        "SidemintConnectionsFull",
        "warning",
        "15m",
        {"sidemint_connections": ("91x30", "90x30"), "sidemint_connections_limit": ("100x30", "100x30")},
        labels=POD,
    ),
    Case(
        "SidemintCacheTooSmall",
        "info",
        "130m",
        {
            'sidemint_cache_evictions_total{cache="sessions"}': ("0+2x150", "0+1x150"),
            sessions("minted"): ("0+80x150", "0+80x150"),
            sessions("renewed"): ("0+20x150", "0+20x150"),
        },
    ),
    Case("SidemintFilesStuck", "warning", "10m", {"sidemint_files_stuck": ("1x30", "0x2 1x3 0x30")}, labels=POD),
    Case("SidemintTeamDown", "warning", "10m", {'sidemint_team_up{team="shop"}': ("0x30", "0x3 1x30")}, labels={"team": "shop"}),
    Case("SidemintLogLost", "warning", "10m", {"sidemint_log_lines_dropped_total": ("0x5 7x30", "7x30")}),
    Case(
        "SidemintVersions",
        "info",
        "130m",
        {'sidemint_build_info{version="2", pod="b"}': ("1x150", "1x90 stale")},
    ),
    Case(
        "SidemintProviderCredential",
        "critical",
        "15m",
        {calls("credential_rejected"): ("0+1x30", "0x30"), calls("rejected"): ("0x30", "0+9x30")},
        labels=CHAT,
    ),
    # Two of three pods, seen half open now and then; and one of two.
    Case(
        "SidemintProviderDown",
        "warning",
        "10m",
        {breaker("a"): ("2 1 1 2 1 1 2 1 1 2 1", "2x30"), breaker("b"): ("2x30", "0x30"), breaker("c"): ("0x30", None)},
        labels=CHAT,
    ),
    Case("SidemintProviderLimit", "warning", "25m", {'sidemint_limiter_refused_total{provider="chat"}': ("0+1x30", "0+5x3 15x30")}, labels=CHAT),
    Case("SidemintProviderLimit", "warning", "25m", {calls("rate_limited"): ("0+1x30", "0x30")}, labels=CHAT),
    # A queue for moments is quiet.
    Case("SidemintProviderBusy", "warning", "20m", {'sidemint_calls_waiting{provider="chat"}': ("3x30", "3 0 3 3 0 3 0 3 3 3 0 3 0 3 0 3 3 0 3 0 3")}, labels=CHAT),
    Case("SidemintProviderBusy", "warning", "20m", {'sidemint_calls_refused_total{provider="chat"}': ("0+1x30", "0x30")}, labels=CHAT),
    Case(
        "SidemintRenewalsFail",
        "warning",
        "25m",
        {
            sessions("stale"): ("0+6x30", "0+4x30"),
            sessions("hit"): ("0+90x30", "0+92x30"),
            sessions("minted"): ("0+4x30", "0+4x30"),
            sessions("renewed"): ("0x30", "0+500x30"),
        },
    ),
    Case("SidemintSecretRejected", "warning", "10m", {'sidemint_credentials_rejected_total{provider="chat"}': ("0x5 1x30", "1x30")}, labels=CHAT),
    Case("SidemintSecretRejected", "warning", "10m", {'sidemint_tls_rejected_total{listener="server"}': ("0x5 1x30", "0x30")}, labels={"listener": "server"}),
    Case(
        "SidemintSecretRejected",
        "warning",
        "10m",
        {"sidemint_peer_secrets_rejected_total": ("0x5 1x30", "0x30"), "sidemint_deny_list_rejected_total": ("0x30", "0x30")},
    ),
    Case(
        "SidemintSecretRejected",
        "warning",
        "10m",
        {"sidemint_peer_secrets_rejected_total": ("0x30", "0x30"), "sidemint_deny_list_rejected_total": ("0x5 1x30", "0x30")},
    ),
    # Time begins at 0: 80,000 s are less than a day, 500,000 s less than a week.
    Case("SidemintCertificateExpires", "critical", "70m", {EXPIRY: ("80000x90", "700000x90")}, labels={"listener": "server", "file": "certificate"}),
    Case("SidemintCertificateExpires", "warning", "70m", {EXPIRY: ("500000x90", "700000x90")}, labels={"listener": "server", "file": "certificate"}),
    # No keys, and none to be had; no keys because none was asked for yet.
    Case(
        "SidemintKeySetStale",
        "critical",
        "30m",
        {KEYS: ("0x60", "0x60"), FETCHED: ("0x60", "0x60"), fetches("connect"): ("0+1x60", "0x60"), fetches("ok"): ("0x60", "0x60")},
        labels=LOGIN,
    ),
    # Old keys that cannot be fetched; and keys that are as old because their issuer says that they are good for a day.
    Case(
        "SidemintKeySetStale",
        "warning",
        "90m",
        {KEYS: ("2x120", "2x120"), FETCHED: ("60x120", "60x120"), fetches("connect"): ("0+1x120", "0x120"), fetches("ok"): ("1x120", "1x120")},
        labels=LOGIN,
    ),
    # Two a minute together; and one a minute, and many that only are not signed in.
    Case(
        "SidemintSpoofing",
        "warning",
        "25m",
        {refused("alias"): ("0+1x30", "0+1x30"), refused("duplicate"): ("0+1x30", "0x30"), refused("absent"): ("0x30", "0+900x30")},
    ),
    Case("SidemintPeersInsecure", "warning", "70m", {"sidemint_insecure_peers": ("1x90", "0x90")}),
    Case(
        "SidemintWebhookUnavailable",
        "critical",
        "20m",
        {hooks("accepted"): ("0+94x30", "0+96x30"), hooks("store_error"): ("0+6x30", "0+4x30")},
        labels=HOOK,
    ),
    Case(
        "SidemintWebhookRefused",
        "warning",
        "20m",
        {hooks("accepted"): ("0+85x30", "0+80x30"), hooks("mismatch"): ("0+15x30", "0+9x30"), hooks("duplicate"): ("0x30", "0+11x30")},
        labels=HOOK,
    ),
    Case("SidemintWebhookClock", "warning", "15m", {'sidemint_webhook_clock_skew_seconds{name="chat"}': ("-61x30", "60x30")}, labels=HOOK),
    Case("SidemintWebhookIdConflicts", "warning", "10m", {'sidemint_webhook_id_conflicts_total{name="chat"}': ("0x5 1x30", "1x30")}, labels=HOOK),
    Case("SidemintWebhookQueueFull", "warning", "10m", {"sidemint_webhook_queue_fill_percent": ("81x30", "80x30")}, labels=POD),
    Case("SidemintWebhookQueueNotDurable", "warning", "20m", {"sidemint_webhook_queue_durable": ("0x30", "1x30")}),
    Case(
        "SidemintWebhookTargetDown",
        "warning",
        "15m",
        {'sidemint_webhook_target_up{name="chat", target="to"}': ("0x30", "0x8 1x30")},
        labels=HOOK | {"target": "to"},
    ),
    Case("SidemintWebhookLate", "warning", "10m", {'sidemint_webhook_oldest_pending_seconds{name="chat"}': ("301x30", "300x30")}, labels=HOOK),
    Case("SidemintWebhookDead", "warning", "10m", {'sidemint_webhook_dead{name="chat"}': ("1x30", "0x30")}, labels=HOOK),
    Case("SidemintWebhookLost", "warning", "10m", {'sidemint_webhook_expired_total{name="chat"}': ("0x5 2x30", "2x30")}, labels=HOOK),
    Case(
        "SidemintGatewayCredential",
        "critical",
        "15m",
        {
            denied("provider_credentials"): ("0+1x30", "0x30"),
            # Of these failures no other alert speaks.
            served("failed"): ("0+1x30", "0x30"),
            denied("provider_timeout"): ("0x30", "0+9x30"),
        },
        labels=CHAT,
    ),
    Case(
        "SidemintGatewayFails",
        "warning",
        "20m",
        {served("ok"): ("0+94x30", "0+96x30"), served("failed"): ("0+3x30", "0+4x30"), served("server_error"): ("0+3x30", "0x30")},
        labels=CHAT,
    ),
    Case(
        "SidemintGatewayRefuses",
        "warning",
        "25m",
        {
            denied("operation_denied"): ("0+2x30", "0+1x30"),
            denied("caller_rate_limited"): ("0x30", "0+9x30"),
        },
        labels={"caller": "shop", "code": "operation_denied"},
    ),
    Case("SidemintGatewayScrubbed", "warning", "10m", {'sidemint_gateway_scrubbed_total{provider="chat"}': ("0x5 1x30", "1x30")}, labels=CHAT),
    Case("SidemintSharedDown", "warning", "10m", {"sidemint_shared_up": ("0x30", "0x3 1x30"), 'sidemint_shared_up{pod="b"}': ("1x30", "1x30")}),
    Case("SidemintSharedClock", "warning", "15m", {"sidemint_shared_clock_offset_seconds": ("-3x30", "2x30")}),
    Case("SidemintSharedGaps", "warning", "40m", {"sidemint_shared_gaps_total": ("0x5 9x60", "0x5 2x60"), 'sidemint_shared_gaps_total{pod="b"}': (None, "0x5 2x60")}),
    Case("SidemintSharedSignOutsPending", "warning", "20m", {"sidemint_shared_signouts_pending": ("1x30", "1x9 0x30")}),
    Case(
        "SidemintSharedForged",
        "warning",
        "10m",
        {
            'sidemint_shared_unopened_total{reason="forged"}': ("0x5 1x30", "0x30"),
            'sidemint_shared_unopened_total{reason="key"}': ("0x30", "0x5 9x30"),
        },
    ),
]

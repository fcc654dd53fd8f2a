"""Libraries that sign or verify webhooks, as webhooks.mjs: the same orders and answers. `standardwebhooks`, `slack` and `twilio`."""
import base64
import json
import sys
from datetime import datetime, timezone
from urllib.parse import parse_qs

import standardwebhooks.webhooks
from slack_sdk.signature import Clock, SignatureVerifier
from standardwebhooks import Webhook, WebhookVerificationError
from twilio.request_validator import SIGNATURE_SETTINGS_HEADER, RequestValidator, get_signature_algorithm

FORM = "application/x-www-form-urlencoded"


def at(now):
    """A clock that stands at this second."""

    class Stopped(datetime):
        @classmethod
        def now(cls, tz=None):
            return datetime.fromtimestamp(now, tz)

    return Stopped


class StoppedClock(Clock):
    def __init__(self, now):
        self.time = now

    def now(self):
        return self.time


class Form(dict):
    """Fields of a form as web frameworks give them: every value of a name."""

    def getall(self, name):
        return self[name]


def form(text):
    return Form(parse_qs(text, keep_blank_values=True))


class StandardWebhooks:
    def sign(self, secret, id, now, body, **_):
        # It takes the parts of a time for those of UTC.
        time = datetime.fromtimestamp(now, timezone.utc)
        signature = Webhook(secret).sign(id, time, body)
        return {
            "headers": {
                "content-type": "application/json", "webhook-id": id, "webhook-timestamp": str(now),
                "webhook-signature": signature,
            }
        }

    def verify(self, secret, headers, body, now, **_):
        standardwebhooks.webhooks.datetime = at(now)
        try:
            Webhook(secret).verify(body, headers, json_parse=False)
            return True
        # What is no list of versions and base64 at all ends in an error of Python.
        except (WebhookVerificationError, ValueError):
            return False


class Slack:
    def sign(self, secret, now, body, **_):
        signature = SignatureVerifier(secret).generate_signature(timestamp=str(now), body=body)
        return {
            "headers": {
                "content-type": "application/json", "x-slack-signature": signature, "x-slack-request-timestamp": str(now),
            }
        }

    def verify(self, secret, headers, body, now, **_):
        return SignatureVerifier(secret, StoppedClock(now)).is_valid_request(body, headers)


class Twilio:
    def sign(self, secret, url, body="", form_text=None, algorithm="HMAC_SHA1", **_):
        validator = RequestValidator(secret)
        headers = {}
        if algorithm != "HMAC_SHA1":
            headers[SIGNATURE_SETTINGS_HEADER.lower()] = f"key=shared_1,algorithm={algorithm}"
        if form_text is not None:
            headers["content-type"] = FORM
            signed, parameters = url, form(form_text)
        else:
            headers["content-type"] = "application/json"
            hashed = f"bodySHA256={validator.compute_hash(body)}"
            signed, parameters = f"{url}{'&' if '?' in url else '?'}{hashed}", {}
        headers["x-twilio-signature"] = validator.compute_signature(signed, parameters, algorithm)
        return {"headers": headers, "url": signed}

    def verify(self, secret, headers, body, url, **_):
        lower = {name.lower(): value for name, value in headers.items()}
        algorithm = get_signature_algorithm(lower.get(SIGNATURE_SETTINGS_HEADER.lower()))
        parameters = form(body.decode()) if lower["content-type"] == FORM else body.decode()
        try:
            return RequestValidator(secret).validate(url, parameters, lower.get("x-twilio-signature", ""), algorithm)
        # It takes text without a hash in the address for a form.
        except TypeError:
            return False


LIBRARIES = {"standardwebhooks": StandardWebhooks, "slack": Slack, "twilio": Twilio}


def main():
    order = json.load(sys.stdin)
    library = LIBRARIES[order["library"]]()
    if "sign" in order:
        wanted = order["sign"]
        if "form" in wanted:
            wanted["form_text"] = wanted.pop("form")
        return library.sign(**wanted)
    verdicts = []
    for case in order["verify"]:
        body = base64.b64decode(case["body_base64"])
        given = {"headers": case["headers"], "body": body, "now": case.get("now"), "url": case.get("url")}
        verdicts.append(any([library.verify(secret, **given) for secret in case["secrets"]]))
    return verdicts


json.dump(main(), sys.stdout)

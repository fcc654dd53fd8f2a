"""Whether an OpenAPI document is one, and which answers are not as it describes them."""

import json
import sys

from jsonschema import Draft202012Validator
from openapi_spec_validator import validate
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

order = json.load(sys.stdin)
document = order["document"]
validate(document)
registry = Registry().with_resource("urn:document", Resource.from_contents(document, default_specification=DRAFT202012))


def schema_at(*place):
    pointer = "/".join(part.replace("~", "~0").replace("/", "~1") for part in place)
    return Draft202012Validator({"$ref": f"urn:document#/{pointer}"}, registry=registry)


wrong = []
for answer in order["answers"]:
    method, status, body = answer["method"], answer["status"], answer["body"]
    place = ["paths", order["path"], method, "responses", status]
    described = document["paths"][order["path"]][method]["responses"].get(status)
    if described is None:
        wrong.append(f"{method} {status}: not described")
        continue
    unknown = set(answer["headers"]) - {name.lower() for name in described["headers"]}
    if unknown:
        wrong.append(f"{method} {status}: {sorted(unknown)}")
    if ("content" in described) != (body is not None):
        wrong.append(f"{method} {status}: {body}")
    elif body is not None:
        wrong += [f"{method} {status}: {error.message}" for error in schema_at(*place, "content", "application/json", "schema").iter_errors(body)]
json.dump(wrong, sys.stdout)

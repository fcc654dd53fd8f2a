#!/usr/bin/env python3
"""Reads the YAML documents `yaml`, and holds those of Kubernetes itself against its schemas, without unknown fields.

Prints `{"documents": [ … ], "complaints": [ … ]}`."""

import json
import sys

import kubernetes_validate
import yaml

VERSION = "1.37"
OWN = ("networking.k8s.io/", "apps/", "v1")


def complaints_about(document):
    if not document.get("apiVersion", "").startswith(OWN):
        return []
    try:
        kubernetes_validate.validate(document, VERSION, strict=True)
    except Exception as error:  # whatever it raises, the document did not pass
        return [f"{document['kind']} {list(getattr(error, 'path', []))}: {getattr(error, 'message', error)}"]
    return []


def main():
    documents = list(yaml.safe_load_all(json.load(sys.stdin)["yaml"]))
    complaints = [text for document in documents for text in complaints_about(document)]
    json.dump({"documents": documents, "complaints": complaints}, sys.stdout)


if __name__ == "__main__":
    main()

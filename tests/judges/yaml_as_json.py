"""A YAML file as JSON."""

import json
import sys

import yaml

with open(json.load(sys.stdin)["path"]) as file:
    json.dump(yaml.safe_load(file), sys.stdout)

"""Signs a request with the Python example of docs/identity/peers.md, word for word."""

import json
import pathlib
import re
import sys

page = pathlib.Path(__file__).parents[2] / "docs/identity/peers.md"
example = re.search(r"```python\n(.*?)```", page.read_text(), re.S).group(1)
scope = {}
exec(example, scope)
asked = json.load(sys.stdin)
signature = scope["sign"](
    asked["key"].encode(),
    asked["method"],
    asked["host"],
    asked["target"],
    asked["body"].encode(),
    asked["headers"],
    asked["time"],
)
json.dump({"signature": signature}, sys.stdout)

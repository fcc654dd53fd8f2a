"""Whether a text is written in a language, as tree-sitter's grammar has it: the places where it is not."""

import importlib
import json
import sys

from tree_sitter import Language, Parser


def errors(node):
    if node.is_error or node.is_missing:
        yield f"{node.start_point.row + 1}:{node.start_point.column + 1}: {node.type}"
    for child in node.children if node.has_error else []:
        yield from errors(child)


order = json.load(sys.stdin)
grammar = importlib.import_module(f"tree_sitter_{order['language']}")
tree = Parser(Language(grammar.language())).parse(order["text"].encode())
json.dump({"errors": list(errors(tree.root_node)), "nodes": tree.root_node.descendant_count}, sys.stdout)

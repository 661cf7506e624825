"""A node: the words of its first port in lower case, joined by hyphens."""

import json
import re

from componentize_py_types import Err
from wit_world import exports
from wit_world.exports.node import OfferedKind
from wit_world.imports.node_types import NodeFault, NodeOutput
from wit_world.imports.types import Entry


class Node(exports.Node):
    def describe(self):
        schema = json.dumps({"type": "object"})
        return [OfferedKind("slug", "Words in lower case, joined by hyphens.", schema, ["text"], ["text"])]

    def run(self, input):
        if input.kind != "slug":
            raise Err(NodeFault(f"there is no kind {input.kind}; there is: slug"))
        words = re.findall("[a-z0-9]+", input.ports[0].value.lower())
        return NodeOutput([Entry("text", "-".join(words))], [])

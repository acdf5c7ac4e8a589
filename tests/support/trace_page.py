"""What is in a page of reference trace, read from the file itself."""

import base64
import html.parser
import json
from typing import NamedTuple

import numpy as np


class Page(NamedTuple):
    """A page's data."""

    trace: dict
    numbers: np.ndarray  # float32, of all tensors end to end
    tags: list  # every tag of the file, in order

    def array(self, number):
        """What the page has of a tensor."""
        tensor = self.trace["tensors"][number]
        size = int(np.prod(tensor["sizes"]))
        return self.numbers[tensor["offset"] :][:size].reshape(tensor["sizes"])

    def events(self, name, label=None):
        """The events of a function, or the one with a label."""
        found = [event for event in self.trace["events"] if event["name"] == name]
        return found if label is None else [event for event in found if event["label"] == label]

    def tensor(self, event, name, *roles):
        """The number of the tensor that an event has under a name."""
        uses = [use for role in roles or ("results", "kept", "variables", "inputs") for use in event[role]]
        return next(use["tensor"] for use in uses if use["name"] == name)


class Scripts(html.parser.HTMLParser):
    """The text of every script by its id, and all tags."""

    def __init__(self):
        super().__init__()
        self.found, self.id, self.tags = {}, None, []

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.id = dict(attributes).get("id", "") if tag == "script" else None

    def handle_data(self, data):
        if self.id is not None:
            self.found[self.id] = self.found.get(self.id, "") + data


def read_page(path):
    """The Page in a file."""
    scripts = Scripts()
    scripts.feed(path.read_text(encoding="utf-8"))
    numbers = np.frombuffer(base64.b64decode(scripts.found["values"]), "<f4")
    return Page(json.loads(scripts.found["trace"]), numbers, scripts.tags)

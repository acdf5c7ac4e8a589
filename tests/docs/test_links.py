"""Every link between the documents leads to a file that is there, and every anchor to a heading."""

import re

import pytest

from tests.docs.blocks import ROOT

NAMES = ("README", "READING", "CONTRIBUTING", "CHANGELOG", "DECISIONS", "PROOF", "reference/README")
DOCUMENTS = [*(ROOT / f"{name}.md" for name in NAMES), *sorted((ROOT / "docs").glob("*.md"))]
FENCED = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)


def anchors(text):
    """The anchors that GitHub gives a text's headings: "Two commands" is #two-commands."""
    headings = re.findall(r"^#+ (.*)$", FENCED.sub("", text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def broken(document, text):
    """The links of a text in a document's place that lead nowhere."""
    for link in re.findall(r"\]\(([^)\s]+)\)", FENCED.sub("", text)):
        path, _, anchor = link.partition("#")
        if re.match(r"[a-z]+:", link):
            continue
        target = document.parent / path if path else document
        if not target.exists() or (anchor and anchor not in anchors(target.read_text())):
            yield link


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(document):
    assert list(broken(document, document.read_text())) == []


def test_broken_links_are_found():
    text = "[a](README.md) [b](nowhere.md) [c](README.md#two-commands) [d](README.md#two-comands) [e](#f)"
    assert list(broken(ROOT / "README.md", text)) == ["nowhere.md", "README.md#two-comands", "#f"]


def test_the_index_lists_every_chapter():
    index = (ROOT / "docs" / "README.md").read_text()
    chapters = {path.name for path in (ROOT / "docs").glob("*.md")} - {"README.md"}
    assert set(re.findall(r"^\| \[.*?\]\((\S+?)\)", index, re.MULTILINE)) == chapters

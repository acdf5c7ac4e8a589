"""CITATION.cff has what its format asks for, and says the version that the package has."""

from pathlib import Path

import yaml

import minigpt

HERE = Path(__file__).parents[2]


def test_the_citation_is_complete_and_of_this_version():
    content = yaml.safe_load((HERE / "CITATION.cff").read_text(encoding="utf-8"))
    assert content["cff-version"] == "1.2.0"
    assert {"authors", "message", "title"} <= set(content)  # what the schema of 1.2.0 requires
    assert all({"name", "family-names"} & set(author) for author in content["authors"])
    assert content["version"] == minigpt.__version__
    assert content["license"] == "MIT"
    for reference in content["references"]:
        assert {"authors", "title", "type"} <= set(reference)

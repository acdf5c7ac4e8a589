"""Every command, program and printed line of README.md and docs/ is true: each is carried out, in small."""

import pytest

from tests.docs import place
from tests.docs.blocks import DOCUMENTS
from tests.docs.session import carry_out


@pytest.fixture(scope="module")
def everything(tmp_path_factory):
    root = tmp_path_factory.mktemp("everything")
    place.everything(root)
    return root


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_all_that_a_document_says_can_be_done(document, tmp_path, everything):
    carry_out(document, place.place_of(document, tmp_path / "place", everything))

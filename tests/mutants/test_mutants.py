"""The proofs are as sharp as they claim: every small mistake in ops, optim and model is noticed."""

import pytest

from tests.mutants.judge import FILES, trials, verdict
from tests.mutants.mutate import mutants

EXAMPLE = '''\
"""Not to be touched."""

def f(x, n):
    """Nor this: 1 + 1."""
    y = x.sum(axis=-1) - 2 * n  # nor this
    return -y if n > 0 else y
'''


@pytest.mark.parametrize("subject", FILES)
def test_every_mutant_is_noticed(subject, tmp_path):
    found = trials(subject, tmp_path)
    assert found.survivors == []
    assert found.wrongly_listed == []
    assert found.by_proof


def test_a_mutant_that_changes_nothing_survives(tmp_path):
    source = FILES["gelu"].read_text()
    assert verdict("gelu", source.replace("0.5 * x * (1 + squash)", "0.5 * x * (squash + 1)"), tmp_path) == ""
    assert (
        verdict("gelu", source.replace("0.5 * x * (1 + squash)", "x * (1 + squash)"), tmp_path)
        == "check_value"
    )


def test_what_is_done_to_an_example():
    assert [mutant.name for mutant in mutants(EXAMPLE)] == [
        "f: y = (x.sum(axis=-1) + (2 * n))",
        "f: y = (1.00001 * x.sum(axis=-1) - (2 * n))",
        "f: y = (x.sum(axis=-1) - 1.00001 * (2 * n))",
        "f: y = x.sum(axis=-1)",
        "f: y = (-(2 * n))",
        "f: y = (1.00001 * x.sum(axis=-1)) - 2 * n",
        "f: y = x - 2 * n",
        "f: y = x.mean(axis=-1) - 2 * n",
        "f: y = x.sum() - 2 * n",
        "f: y = x.sum(axis=(1)) - 2 * n",
        "f: y = x.sum(axis=-2) - 2 * n",
        "f: y = x.sum(axis=-1) - ((2) / n)",
        "f: y = x.sum(axis=-1) - (1.00001 * (2 * n))",
        "f: y = x.sum(axis=-1) - (2)",
        "f: y = x.sum(axis=-1) - n",
        "f: y = x.sum(axis=-1) - 3 * n",
        "f: y = x.sum(axis=-1) - 2.00002 * n",
        "f: return -y if True else y",
        "f: return -y if False else y",
        "f: return -y if (n >= (0)) else y",
        "f: return -y if (n <= (0)) else y",
        "f: return -y if n > 1 else y",
        "f: return y if n > 0 else y",
    ]

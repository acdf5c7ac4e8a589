"""Where steps lie on an axis, how noise becomes a line, and where a frame ends."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minigpt import ConfigError
from minigpt.history.axes import place
from minigpt.history.frames import frame_of_losses, top_of_norms
from minigpt.history.references import corpus_of, other_tokens
from minigpt.history.run import read_run
from minigpt.history.smooth import mean_around, stretches, usual_width
from tests.support.logs import start, write_main_log, write_metrics


def test_tokens_and_hours_are_sums_over_the_steps_until_then(tmp_path):
    history = read_run(write_metrics(tmp_path, 10))
    assert place(history, "step")([0, 4]).tolist() == [0, 4]
    assert place(history, "tokens")([0, 1, 4, 10, 99]).tolist() == [0, 64, 256, 640, 640]
    assert place(history, "hours")([0, 10]) == pytest.approx([0, 10 * 0.032 / 3600])


def test_a_change_of_the_tokens_in_a_step_counts_from_there(tmp_path):
    write_metrics(tmp_path, 4)
    write_metrics(tmp_path, 6, first=5, tokens_per_second=4000.0)
    assert place(read_run(tmp_path), "tokens")([4, 5, 6]).tolist() == [256, 384, 512]


def test_a_run_that_goes_on_from_another_begins_where_that_ended(tmp_path):
    history = read_run(write_metrics(tmp_path, 20, first=11))
    assert place(history, "tokens")([10, 11]).tolist() == [640, 704]


def test_llm_c_s_log_needs_to_be_told_the_tokens_and_knows_no_hours(tmp_path):
    history = read_run(write_main_log(tmp_path / "main.log", 10))
    with pytest.raises(ConfigError, match="give --tokens-per-step"):
        place(history, "tokens")
    assert place(history, "tokens", 100)([0, 9]).tolist() == [0, 900]
    with pytest.raises(ConfigError, match="holds no times"):
        place(history, "hours")


@given(st.lists(st.floats(-1e3, 1e3) | st.just(np.nan), max_size=40), st.integers(0, 8))
def test_means_are_those_of_the_numbers_around(values, half):
    values = np.array(values)
    found = mean_around(values, 2 * half + 1)
    for i, mean in enumerate(found):
        reach = min(half, i)
        around = values[i - reach : i + reach + 1]
        around = around[np.isfinite(around)]
        assert (np.isnan(mean) and not len(around)) or mean == pytest.approx(around.mean(), abs=1e-8)


@given(st.integers(0, 5000))
def test_the_usual_width_is_odd_and_a_fiftieth(n):
    width = usual_width(n)
    assert width % 2 == 1
    assert width == 1 if n < 100 else abs(width - n / 50) <= 1


@given(st.integers(0, 500), st.integers(1, 60))
def test_stretches_cover_everything_once(n, most):
    starts, ends = stretches(n, most)
    assert len(starts) == min(n, most)
    covered = [i for start, end in zip(starts, ends, strict=True) for i in range(start, end)]
    assert covered == list(range(n))
    assert all(end > start for start, end in zip(starts, ends, strict=True))


def test_a_frame_leaves_a_high_beginning_out_but_no_gentle_one():
    steps = np.arange(1000)
    steep = 3 + 8 * np.exp(-steps / 5)
    low, top, above = frame_of_losses([(steps, steep)])
    assert (low, above) == (steep.min(), True)
    assert 3 < top < 4
    gentle = 9 - steps / 1000
    assert frame_of_losses([(steps, gentle)]) == (gentle.min(), 9, False)
    assert frame_of_losses([(steps[:0], gentle[:0])]) is None


def test_the_top_of_norms_is_below_their_spikes():
    norms = np.ones(100)
    assert top_of_norms(norms) == 1
    norms[3] = 50
    assert top_of_norms(norms) == 1
    norms[3] = 2
    assert top_of_norms(norms) == 2


@pytest.mark.parametrize(
    ("data", "tokenizer", "n_vocab", "corpus"),
    [
        ("fineweb10B/*.bin", None, 50257, "fineweb"),
        ("/data/edu_fineweb10B", "gpt2", 50257, "fineweb-edu"),
        ("OpenWebText/train.bin", None, 50257, "openwebtext"),
        ("books/*.bin", None, 50257, None),
        ("fineweb/*.txt", "train", 50257, None),
        ("fineweb/*.bin", None, 32000, None),
    ],
)
def test_gpt2_s_losses_belong_beside_its_tokens_of_known_texts(tmp_path, data, tokenizer, n_vocab, corpus):
    write_metrics(tmp_path, 3)
    parts = {"recipe": {"tokenizer": tokenizer, "data": data}, "model": {"n_vocab": n_vocab}}
    (tmp_path / "starts.jsonl").write_text(start(**parts) + "\n")
    assert corpus_of(read_run(tmp_path)) == corpus


def test_of_a_bare_log_no_text_is_known(tmp_path):
    history = read_run(write_main_log(tmp_path / "fineweb" / "main.log", 3))
    assert corpus_of(history) is None
    assert not other_tokens(history)

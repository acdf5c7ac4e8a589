"""Loading takes the model's memory and a little more, in every format: no file is in memory as a whole."""

import sys
from functools import partial

import pytest

import minigpt
from bench.weights import once
from minigpt.weights import FORMATS
from tests.support import bundles

CONFIG = minigpt.GPTConfig(n_layer=2, n_head=12, n_embd=516, n_ctx=64, n_vocab=6000)
A_LITTLE = 8e6  # bytes: pieces of a megabyte, modules that are imported late


def openai(path, config, params):
    bundles.write_bundle(path / "model.ckpt", bundles.openai_names(params))


WRITERS = {format: partial(minigpt.save_weights, format=format) for format in FORMATS}


@pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")
@pytest.mark.parametrize("format", ["openai", *WRITERS])
def test_a_model_is_in_memory_once(tmp_path, format):
    params = minigpt.init_params(CONFIG)
    (WRITERS | {"openai": openai})[format](tmp_path / "model", CONFIG, params)
    path = tmp_path / "model" / "model.ckpt.index" if format == "openai" else tmp_path / "model"
    peak = once("load", path)["peak"]
    assert params.buffer.nbytes <= peak <= params.buffer.nbytes + A_LITTLE

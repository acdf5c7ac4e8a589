"""The prediction of a step's memory against what the stand-in's arrays hold; running out of it."""

import gc

import numpy as np
import pytest

import minigpt
from minigpt import memory
from minigpt.cli import main
from minigpt.memory import how, largest_batch, resident_bytes, step_bytes
from tests.support.device_memory import METER

pytestmark = pytest.mark.emulation

OF_64 = minigpt.GPTConfig(n_layer=2, n_head=1, n_embd=64, n_ctx=18, n_vocab=67)
OTHERS = minigpt.GPTConfig(n_layer=3, n_head=3, n_embd=24, n_ctx=20, n_vocab=165)
ONE_LAYER = minigpt.GPTConfig(n_layer=1, n_head=3, n_embd=24, n_ctx=9, n_vocab=65)
MANY_WORDS = minigpt.GPTConfig(n_layer=1, n_head=2, n_embd=16, n_ctx=9, n_vocab=2000)
LT, CUDNN = {"products": "cublaslt"}, {"attention": "cudnn"}
CASES = [
    (ONE_LAYER, 3, 7, "float32", 1, {}), (OTHERS, 3, 20, "float32", 1, {}), (OTHERS, 2, 9, "bfloat16", 2, {}),
    (OF_64, 1, 17, "bfloat16", 1, {}), (OF_64, 1, 17, "float32", 1, {}),
    (MANY_WORDS, 2, 9, "bfloat16", 3, {}),
    (OTHERS, 2, 9, "bfloat16", 2, LT), (ONE_LAYER, 3, 7, "float32", 1, LT),
    (OTHERS, 3, 20, "bfloat16", 1, CUDNN), (OF_64, 1, 17, "bfloat16", 1, LT | CUDNN),
    (OTHERS, 3, 1, "bfloat16", 1, CUDNN),
]  # fmt: skip
LOSSES = 12  # bytes at most: a part's loss, their sum, and the last


def batch(config, B, T):
    tokens = np.random.default_rng(0).integers(0, config.n_vocab, (B, T))
    return tokens, tokens


def trained(config, dtype, **ways):
    return minigpt.Trainer(config, minigpt.init_params(config), device="cupy", dtype=dtype, **ways)


@pytest.mark.parametrize(("config", "B", "T", "dtype", "parts", "ways"), CASES)
def test_the_peak_of_a_step_is_as_predicted(bench, config, B, T, dtype, parts, ways):
    if "products" in ways:  # its workspace is made once in a process, and here counted anew
        bench.module("cublaslt").workspace.cache_clear()
    gc.collect()
    before = METER.live
    trainer = trained(config, dtype, **ways)
    resident = resident_bytes(config, dtype)
    assert METER.live - before == sum(resident.values()) - resident.get("weights in bfloat16", 0)
    trainer.step_in_parts([batch(config, B, T)] * parts)
    METER.restart()
    trainer.step_in_parts([batch(config, B, T)] * parts)
    predicted = step_bytes(config, B, T, dtype, parts=parts, **ways)
    fixed, others = predicted.pop("cublasLt's workspace", 0), sum(predicted.values())
    assert abs(METER.peak - before - fixed - others) <= 0.001 * others


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("head", [8, 12, 64, 128, 136])
@pytest.mark.parametrize("T", [1, 8])
def test_attention_is_predicted_to_go_as_it_goes(bench, dtype, head, T):
    config = minigpt.GPTConfig(1, 2, 2 * head, 8, 11)
    tiles, cudnn = bench.module("attention_forward"), bench.module("cudnn_attention")
    otherwise = "tiles" if tiles.supports(head, dtype) else "scores"
    assert how(config, T, dtype) == otherwise
    assert how(config, T, dtype, "scores") == "scores"
    supported = cudnn.supports(cudnn.Shape(1, T, 2, head), dtype)
    assert how(config, T, dtype, "cudnn") == ("cudnn" if supported else otherwise)


def test_the_constants_are_the_kernels(bench):
    assert bench.module("attention_forward").HEAD == memory.TILES
    assert bench.module("operations").PAD == memory.PAD
    assert bench.module("layernorm").STRIPS == memory.MOST_ROWS
    assert bench.module("column_sum").STRIPS == memory.MOST_STRIPS
    assert bench.module("cublaslt").WORKSPACE == memory.LT_WORKSPACE


@pytest.fixture
def short(bench, monkeypatch):
    """short(n): the device has n more bytes than what is already held by others, all of them for arrays."""
    monkeypatch.setattr(memory, "OTHERS", 0)
    monkeypatch.setattr(METER, "limit", METER.limit)
    gc.collect()

    def limit(n):
        others, METER.limit = METER.live, METER.live + n
        seen = memory.gpu_memory
        available = lambda: seen()._replace(available=seen().available - others)  # noqa: E731
        monkeypatch.setattr(memory, "gpu_memory", available)

    return limit


def test_the_largest_batch_that_is_named_fits_and_no_larger_one(short):
    available = sum(step_bytes(OTHERS, 5, 20, "float32").values()) + LOSSES + 1000
    short(available)
    assert largest_batch(OTHERS, 20, "float32", available) == 5
    trainer = trained(OTHERS, "float32")
    trainer.step(*batch(OTHERS, 5, 20))
    with pytest.raises(MemoryError) as raised:
        trainer.step(*batch(OTHERS, 6, 20))
    said = str(raised.value)
    needed = sum(step_bytes(OTHERS, 6, 20, "float32").values())
    assert f"a batch of 6 x 20 tokens in float32 takes {memory.gigabytes(needed)} at its peak" in said
    assert said.endswith("fits is 5")
    assert "\n" not in said
    trainer.step(*batch(OTHERS, 5, 20))  # nothing is lost


def test_of_the_reference_operations_no_peak_is_predicted(short):
    def full(*arrays):
        raise MemoryError("Out of memory")

    short(sum(step_bytes(OTHERS, 5, 20, "float32").values()) + LOSSES + 1000)
    trainer = minigpt.Trainer(OTHERS, minigpt.init_params(OTHERS), device="cupy", ops="reference")
    trainer.ops.embedding_forward = full
    with pytest.raises(MemoryError, match="is too large for the reference operations; seen: ") as raised:
        trainer.step(*batch(OTHERS, 6, 20))
    needed = memory.gigabytes(sum(step_bytes(OTHERS, 6, 20, "float32").values()))
    said = f"with ops fast it takes {needed} at its peak as predicted, and the largest batch that fits is 5"
    assert str(raised.value).endswith(said)


def test_a_model_that_does_not_fit_at_all(short):
    short(sum(resident_bytes(OTHERS, "float32").values()) - 1)
    with pytest.raises(MemoryError, match=r"in use when no more .* not even a batch of 1 fits$"):
        trained(OTHERS, "float32")


def test_the_command_says_it_in_one_line(short, tmp_path, capsys):
    (tmp_path / "text.txt").write_text("the cat sat on the mat. " * 40)
    short(300_000)
    code = main(
        f"train --data {tmp_path}/text.txt --tokenizer train --n-layer 1 --n-head 2 --n-embd 16 --context 8 "
        f"--n-vocab 270 --batch-size 64 --tokens-per-step 512 --steps 2 --device cupy --sample-every 0 "
        f"--out {tmp_path}/run".split()
    )
    (error,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("minigpt:")]
    assert code == 1
    assert error.startswith("minigpt: out of memory: a batch of 64 x 8 tokens in float32 takes ")
    assert "the largest batch that fits is " in error
    assert error.endswith("; use a smaller model, context or batch")
    assert "Traceback" not in error

"""--products and --attention: whole steps by cublasLt and cuDNN, on stand-ins, and what is refused."""

import dataclasses
import sys

import pytest

import minigpt
from minigpt import kernels
from minigpt.errors import ConfigError
from minigpt.options import Recipe
from minigpt.recipe import resolved
from tests.kernels.cuda.test_step import OF_64, OTHERS, PLAIN_BLOCKS, Given, launches, within_budget
from tests.support.cuda import fake_cublaslt, fake_cudnn
from tests.support.device_array import LAUNCHES

LT, CUDNN, SCORES = {"products": "cublaslt"}, {"attention": "cudnn"}, {"attention": "scores"}
NARROW = dataclasses.replace(OTHERS, D=1)  # three channels: nothing lies as cublasLt wants it
CASES = [
    ("bf16", OF_64, "fused", 1, LT | CUDNN),
    *((mode, OTHERS, "fused", parts, LT) for mode in ("fp32", "tf32", "bf16") for parts in (1, 2)),
    *((mode, OTHERS, "plain", 1, LT) for mode in ("fp32", "bf16")),
    *(("bf16", OTHERS, "fused", 1, CUDNN), ("bf16", NARROW, "fused", 1, LT | CUDNN)),
    *(("fp32", OTHERS, "fused", 1, SCORES), ("bf16", OF_64, "fused", 1, SCORES)),
]


@pytest.mark.parametrize(("mode", "sizes", "blocks", "parts", "ways"), CASES)
def test_loss_and_gradients_are_within_the_budget_of_their_precision(bench, mode, sizes, blocks, parts, ways):
    given = Given(bench, sizes, mode, **ways, **(PLAIN_BLOCKS if blocks == "plain" else {}))
    within_budget(given, mode, parts)


def test_two_runs_are_the_same_bits(bench):
    ends = []
    for _ in range(2):
        given = Given(bench, OTHERS, "bf16", **LT, **CUDNN)
        losses = [given.step(lr=1e-2).loss for _ in range(2)]
        ends.append((losses, given.bits()))
    assert ends[0] == ends[1]


def test_a_window_of_one_token(bench):
    given = Given(bench, dataclasses.replace(OTHERS, T=1), "bf16", **CUDNN)
    within_budget(given, "bf16")


# What the device is given to do ----------------------------------------------------------------------------


@pytest.mark.emulation
@pytest.mark.parametrize(("ways", "forward", "backward"), [({}, 10, 19), (LT, 7, 15), (LT | CUDNN, 7, 13)])
def test_launches_a_layer(bench, ways, forward, backward):
    one, two = (launches(bench, n_layer, **ways) for n_layer in (1, 2))
    assert two[0] - one[0] == forward
    assert two[1] - one[1] == backward
    assert one[2] == two[2]


@pytest.mark.emulation
def test_who_does_what(bench):
    LAUNCHES.clear()
    Given(bench, dataclasses.replace(OTHERS, L=1), "bf16", **LT, **CUDNN).step()
    counted = {name: LAUNCHES.count(name) for name in LAUNCHES}
    epilogues = {"product BIAS": 3, "product GELU_AUX_BIAS": 1, "product DGELU": 1, "product BGRADA": 2}
    assert {name: counted.get(name) for name in epilogues} == epilogues
    assert counted["sdpa"] == counted["sdpa_backward"] == 1
    assert not counted.keys() & {"bias_add", "residual_add", "bias_gelu_forward", "column_sum_strips"}


@pytest.mark.emulation
def test_without_any_algorithm_the_first_table_does_it(bench, monkeypatch):
    monkeypatch.setattr(fake_cublaslt, "REFUSE", {"BIAS", "GELU_AUX_BIAS", "DGELU", "BGRADA"})
    bench.module("cublaslt").plan_of.cache_clear()
    for mode in ("fp32", "bf16"):
        within_budget(Given(bench, OTHERS, mode, **LT), mode, parts=2)
    bench.module("cublaslt").plan_of.cache_clear()


# What is refused -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("chosen", "message"),
    [
        ({"products": "mkl"}, "products must be cublas or cublaslt: found 'mkl'"),
        ({"attention": "flash"}, "attention must be one of tiles, scores, cudnn: found 'flash'"),
        (
            {"device": "numpy", **LT},
            "products cublaslt is for device cupy and ops fast: found numpy and fast",
        ),
        ({"name": "reference", **SCORES}, r"attention scores is for .* found cupy and reference"),
        ({"dtype": "float32", **CUDNN}, "attention cudnn is for dtype bfloat16: found float32"),
    ],
)
def test_a_choice_that_cannot_be_is_refused(chosen, message):
    usual = {"name": "fast", "dtype": "float32", "device": "cupy"}
    with pytest.raises(ConfigError, match=message):
        kernels.table(**usual | chosen)
    recipe = {field: value for field, value in (usual | chosen).items() if field != "name"}
    with pytest.raises(ConfigError, match=message):
        resolved(Recipe(ops=(usual | chosen)["name"], **recipe))


@pytest.mark.emulation
@pytest.mark.parametrize(
    ("library", "module", "chosen", "choice"),
    [
        ("nvmath.bindings", "cublaslt", LT, "products cublaslt"),
        ("cudnn", "cudnn_attention", CUDNN, "attention cudnn"),
    ],
)
def test_a_library_that_is_missing_is_named(bench, monkeypatch, library, module, chosen, choice):
    monkeypatch.setitem(sys.modules, library, None)  # as if it were not installed
    monkeypatch.delitem(sys.modules, f"minigpt.kernels.cuda.{module}", raising=False)
    with pytest.raises(ConfigError, match=rf"^{choice}: .*{library}.*; pip install 'minigpt\[cupy-more\]'$"):
        kernels.table("fast", "bfloat16", device="cupy", **chosen)


@pytest.mark.emulation
def test_a_library_that_does_not_start_is_named(bench, monkeypatch):
    def fails():
        raise RuntimeError("no\nsymbol")

    monkeypatch.setattr(fake_cudnn, "create_handle", fails)
    bench.module("cudnn_attention").handle.cache_clear()
    config = minigpt.GPTConfig(1, 1, 16, 8, 11)
    with pytest.raises(ConfigError, match=r"^attention cudnn: no symbol; pip install"):
        minigpt.Trainer(config, minigpt.init_params(config), device="cupy", dtype="bfloat16", **CUDNN)

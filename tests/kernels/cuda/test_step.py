"""A whole training step on the stand-in for CuPy: every kernel, every product, every buffer, as on a GPU."""

import dataclasses

import ml_dtypes
import numpy as np
import pytest

import minigpt
from minigpt import kernels, model
from minigpt.arrays import Flat
from minigpt.comm import Alone
from minigpt.config import OptimizerConfig
from minigpt.train import new_state, train_step
from reference.diff.causes import first_failing
from reference.diff.compare import examine
from reference.llmc import Sizes
from reference.llmc.names import label
from reference.llmc.parameters import to_hub
from tests.support.device_array import LAUNCHES, WAITS
from tests.support.questions import inputs
from tests.support.tables import reference_table

# heads of 64, for which the tiles are cut, and others; rows, columns and vocabulary off every tile
TWO_OF_64 = Sizes(L=1, H=2, D=64, V=67, N=20, B=2, T=17)
OF_64 = Sizes(L=2, H=1, D=64, V=67, N=18, B=2, T=17)
OTHERS = Sizes(L=2, H=3, D=8, V=65, N=9, B=3, T=7)
MODES = {"fp32": ("float32", False), "tf32": ("float32", True), "bf16": ("bfloat16", False)}
PLAIN_BLOCKS = {"block_forward": model.block_forward, "block_backward": model.block_backward}
CASES = [  # of two heads of 64 one is enough: emulation takes its time
    *(("bf16", TWO_OF_64, "fused", 1), ("bf16", OF_64, "fused", 2), ("bf16", OF_64, "plain", 1)),
    *((mode, OTHERS, blocks, parts) for mode in MODES for blocks in ("fused", "plain") for parts in (1, 2)),
]


class Given:
    """A model on the device, the table for it, and a batch."""

    def __init__(self, bench, sizes, mode="bf16", products="cublas", attention="tiles", **entries):
        dtype, tf32 = MODES[mode]
        self.question = inputs(sizes, seed=1, ignored=True)
        self.config = minigpt.GPTConfig(sizes.L, sizes.H, sizes.H * sizes.D, sizes.N, sizes.V)
        self.params = Flat.pack(to_hub(self.question.params), "float32")
        device = self.params.like(bench.cupy.asarray(self.params.buffer))
        self.state = new_state(device)
        ways = {"products": products, "attention": attention}
        self.table = bench.module("").table(kernels.REFERENCE, dtype=dtype, tf32=tf32, **ways)
        vars(self.table).update(entries)
        self.batch = self.table.upload((self.question.tokens, self.question.targets))

    def step(self, parts=1, **optimizer):
        """One step on parts copies of the batch, which is the step on one."""
        settings = OptimizerConfig(**optimizer)
        batches = [self.batch] * parts
        self.state, report = train_step(self.config, settings, self.table, Alone(), self.state, batches)
        return report

    def bits(self):
        """Parameters and moments."""
        return [x.get().tobytes() for x in (self.state.params.buffer, self.state.first, self.state.second)]


def within_budget(given, mode, parts=1):
    """Hold loss and gradients of a step to the budget of their precision."""
    report = given.step(parts)
    found = {f"grads.{name}": gradient.get() for name, gradient in given.state.grads.items()}
    rows, notes, _ = examine(given.question, found | {"loss": np.array(report.loss)}, mode, causes=False)
    assert first_failing(rows) is None, label(first_failing(rows).key)
    assert len(rows) == 1 + len(found)
    assert not any("not compared" in note for note in notes)


@pytest.mark.parametrize(("mode", "sizes", "blocks", "parts"), CASES)
def test_loss_and_gradients_are_within_the_budget_of_their_precision(bench, mode, sizes, blocks, parts):
    within_budget(Given(bench, sizes, mode, **(PLAIN_BLOCKS if blocks == "plain" else {})), mode, parts)


def test_logits_are_those_of_every_token_and_none_besides(bench):
    given = Given(bench, OTHERS, "fp32")
    params = given.table.weights(given.state.params)
    logits, _ = model.forward(given.config, given.table, params, given.batch[0])
    assert logits.shape == (OTHERS.B, OTHERS.T, OTHERS.V)
    rows, _, _ = examine(given.question, {"logits": logits.get()}, "fp32", causes=False)
    assert first_failing(rows) is None


def test_ten_steps_take_the_references_course(bench):
    given = Given(bench, OTHERS, "fp32")
    state = new_state(Flat.pack(given.params, "float64"))
    batch = given.question.tokens, given.question.targets
    for _ in range(10):
        found = given.step(lr=1e-2)
        state, expected = train_step(
            given.config, OptimizerConfig(lr=1e-2), reference_table(), Alone(), state, [batch]
        )
        assert abs(found.loss - expected.loss) < 1e-4
    assert found.loss < 2  # from log 65 = 4.2


@pytest.mark.parametrize(("mode", "sizes"), [("fp32", OTHERS), ("bf16", OF_64)])
def test_two_runs_are_the_same_bits(bench, mode, sizes):
    ends = []
    for _ in range(2):
        given = Given(bench, sizes, mode)
        losses = [given.step(lr=1e-2).loss for _ in range(2)]
        ends.append((losses, given.bits()))
    assert ends[0] == ends[1]


def test_a_gradient_that_is_no_number_changes_nothing(bench):
    given = Given(bench, OTHERS)
    given.step(lr=1e-2)
    given.state.params["ln_f.bias"][3] = np.inf
    before = given.bits()
    assert not given.step(lr=1e-2).verdict.accepted
    assert given.bits() == before


# What the device is given to do ----------------------------------------------------------------------------


def launches(bench, n_layer, mode="bf16", **ways):
    """How many launches forward, backward and update take."""
    given = Given(bench, dataclasses.replace(OF_64, L=n_layer), mode, **ways)
    config, table, params = given.config, given.table, given.table.weights(given.state.params)
    LAUNCHES.clear()
    logits, tape = model.forward(config, table, params, given.batch[0])
    forward = len(LAUNCHES)
    _, tail = table.cross_entropy_forward(logits, given.batch[1])
    LAUNCHES.clear()
    gradients = model.backward(config, table, table.cross_entropy_backward(1.0, tail), tape)
    table.collect(gradients, into=given.state.grads, add=False)
    backward = len(LAUNCHES)
    LAUNCHES.clear()
    given.step()
    return forward, backward, len(LAUNCHES) - forward - backward


@pytest.mark.emulation
def test_launches_a_layer_and_a_step(bench):
    one, two = (launches(bench, n_layer) for n_layer in (1, 2))
    assert two[0] - one[0] <= 12  # a layer forward
    assert two[1] - one[1] <= 20  # and backward
    assert one[2] == two[2] <= 5 + 5  # the loss and its mean over parts; norm, AdamW, weights rounded


@pytest.mark.emulation
def test_a_step_waits_for_two_numbers(bench):
    given = Given(bench, OTHERS)
    WAITS.clear()
    given.step(parts=3)
    assert WAITS == ["float", "float"]


def test_memory_behind_the_token_table_is_left_alone(bench):
    """Of a table that ends its buffer no more columns are made than there are tokens."""
    operations, gemm, cupy = bench.module("operations"), bench.module("gemm"), bench.cupy
    rng = np.random.default_rng(0)
    x, wte = (rng.normal(size=size).astype(ml_dtypes.bfloat16) for size in ((1, 5, 64), (67, 64)))
    logits, cache = operations.unembedding_forward(cupy.asarray(x), cupy.asarray(wte), compute=gemm.FULL)
    expected = x.astype(np.float64) @ wte.astype(np.float64).T
    assert np.abs(logits.get().astype(np.float64) - expected).max() < 2**-8 * np.abs(expected).max()
    whole = operations.whole_rows(logits)
    assert whole.shape == (1, 5, 128)
    whole[..., 67:] = cupy.asarray(np.zeros((1, 5, 61), ml_dtypes.bfloat16))
    dx, _ = operations.unembedding_backward(operations.Scaled(whole, 0.5), cache, compute=gemm.FULL)
    expected = 0.5 * logits.get().astype(np.float64) @ wte.astype(np.float64)
    assert np.abs(dx.get().astype(np.float64) - expected).max() < 2**-8 * np.abs(expected).max()

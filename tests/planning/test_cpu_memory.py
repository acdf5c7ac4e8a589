"""What a step is predicted to hold on cores, against what it holds: the tape's arrays, and the whole peak."""

import tracemalloc

import numpy as np
import pytest

from minigpt import GPTConfig, Trainer, init_params
from minigpt.kernels import table
from minigpt.kernels.cpu.crew import Crew
from minigpt.kernels.cpu.team import Team
from minigpt.model import forward
from minigpt.planning.cpu_memory import heads_at_work, layer_bytes, resident_bytes, step_bytes, tape_bytes

TABLES = [("fast", "float32"), ("reference", "float32"), ("reference", "float64")]
SHAPES = {  # L, H, C, V, B, T
    "long": (2, 4, 64, 1000, 2, 256),
    "many words": (2, 4, 64, 9000, 4, 64),
    "one layer": (1, 2, 64, 300, 16, 64),
    "many layers": (6, 4, 64, 97, 8, 64),
    "many channels": (2, 4, 256, 500, 1, 16),
}


def asked(shape, dtype):
    """A model, its parameters, tokens and targets."""
    L, H, C, V, B, T = shape
    config = GPTConfig(L, H, C, T, V)
    return config, np.random.default_rng(0).integers(0, V, (2, B, T))


def owners(value):
    """The arrays that own the memory of all arrays in tuples and lists: id -> array."""
    if isinstance(value, (tuple, list)):
        return {key: array for one in value for key, array in owners(one).items()}
    if not isinstance(value, np.ndarray):
        return {}
    while isinstance(value.base, np.ndarray):
        value = value.base
    return {id(value): value}


def held(value, known):
    """Bytes of all arrays in a value that are not known already."""
    return sum(array.nbytes for key, array in owners(value).items() if key not in known)


@pytest.mark.parametrize(("ops", "dtype"), TABLES)
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_the_tape_holds_what_is_predicted_to_the_byte(shape, ops, dtype):
    config, (tokens, _) = asked(shape, dtype)
    params = init_params(config, dtype=dtype)
    logits, tape = forward(config, table(ops, dtype, 1), params, tokens)
    known, size, (B, T) = owners([tokens, params.buffer]), logits.itemsize, tokens.shape
    assert held([logits, *tape], known) == sum(tape_bytes(config, B, T, size, ops).values())
    assert held(tape[1], known) == sum(layer_bytes(config, B, T, size, ops).values())


@pytest.mark.parametrize(("ops", "dtype"), TABLES)
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_a_steps_peak_is_predicted_within_a_twentieth(shape, ops, dtype):
    config, batch = asked(shape, dtype)
    tracemalloc.start()
    try:
        trainer = Trainer(config, init_params(config, dtype=dtype), ops=ops, threads=1)
        trainer.step(*batch)  # what is made once and kept
        resident = tracemalloc.get_traced_memory()[0]
        tracemalloc.reset_peak()
        trainer.step(*batch)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    (B, T), size = batch[0].shape, np.dtype(dtype).itemsize
    always = sum(resident_bytes(config, size).values())
    assert resident == pytest.approx(always, rel=0.01, abs=300_000)
    predicted = sum(step_bytes(config, B, T, size, ops).values())
    assert predicted == pytest.approx(peak, rel=0.05)
    assert predicted - always == pytest.approx(peak - resident, rel=0.05)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("shape", [(2, 4, 512, 97, 1, 16), (2, 4, 256, 11000, 8, 64)])
def test_a_step_in_parts_is_predicted_too(shape, threads):
    """What is added to an earlier part's gradients is made beside them first. Too large for workers."""
    config, batch = asked(shape, "float32")
    parts = [tuple(batch)] * 2
    tracemalloc.start()
    try:
        trainer = Trainer(config, init_params(config), threads=threads)
        trainer.step_in_parts(parts)
        resident = tracemalloc.get_traced_memory()[0]
        tracemalloc.reset_peak()
        trainer.step_in_parts(parts)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    predicted = sum(step_bytes(config, *shape[4:], 4, "fast", threads, len(parts)).values())
    always = sum(resident_bytes(config, 4).values())
    assert predicted == pytest.approx(peak, rel=0.05)
    assert predicted - always == pytest.approx(peak - resident, rel=0.1)


@pytest.mark.parametrize("T", [1, 16, 64, 256, 1024])
@pytest.mark.parametrize("threads", [1, 2, 5])
@pytest.mark.parametrize(("B", "H"), [(1, 1), (4, 12), (7, 3), (64, 25), (12, 12), (18, 8), (20, 2)])
def test_attention_works_on_as_many_heads_at_once_as_its_units_have(B, H, T, threads):
    crew = Crew(Team(threads), B, T, 10**6, H)  # of so many channels that every thread has its share
    sizes = [max(((s.stop - s.start) * (h.stop - h.start) for s, h in own), default=0) for own in crew.units]
    assert sum(sizes) <= heads_at_work(B, H, T, threads) <= max(sizes) * threads
    assert heads_at_work(B, H, T, threads) % max(sizes) == 0

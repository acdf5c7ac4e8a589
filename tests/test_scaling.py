"""Scale on paper: its parts against simulations and counts made otherwise, its sum against measured runs."""

import dataclasses
import json
import math
import re
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.scaling.__main__ import Options, counted, main
from bench.scaling.forecast import BATCHES, efficiency, forecast
from bench.scaling.picture import described
from minigpt.config import PRESETS
from minigpt.flops import llmc_flops_per_token, llmc_params
from minigpt.gpus import MACHINES
from minigpt.model import param_shapes
from minigpt.planning import compute, exchange
from minigpt.planning.figures import CALIBRATION, FIGURES, OURS, check, mfu, predicted, share_of
from minigpt.planning.step import Plan, exposed_seconds, step, timeline

ROOT = Path(__file__).parents[1]
DOCUMENT = (ROOT / "docs" / "scaling.md").read_text()
H100, GPT2 = MACHINES["h100"], PRESETS["gpt2"]
FREE = dataclasses.replace(H100, bus=math.inf, network=math.inf)


# Against what was measured ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("figure", "seconds"), [row[:2] for row in check()], ids=lambda x: getattr(x, "model", "")
)
def test_runs_that_gave_no_share_are_predicted_within_a_tenth(figure, seconds):
    assert seconds == pytest.approx(figure.seconds, rel=0.1)


def test_each_machine_takes_one_share_and_checks_others():
    assert len(check()) == len(FIGURES) + len(OURS) - len(set(CALIBRATION.values()))
    for figure in set(CALIBRATION.values()):
        assert predicted(figure, share_of(figure)) == pytest.approx(figure.seconds)
        assert 0 < share_of(figure) < 1


def test_mfu_and_work_are_as_published():
    assert [round(100 * mfu(figure)) for figure in FIGURES] == [56, 58, 61, 38, 47]
    assert llmc_params(GPT2) == 124_475_904  # as llm.c prints it
    assert llmc_flops_per_token(GPT2, 1024) == pytest.approx(803e6, rel=1e-3)


# The exchange ----------------------------------------------------------------------------------------------


def simulated_ring(values):
    """All-reduce by a ring, chunk by chunk: the sums on each rank, rounds, and chunks that each has sent."""
    n, rounds, sent = len(values), 0, 0
    held = [list(row) for row in values]
    for phase in ("reduce", "gather"):
        for turn in range(n - 1):
            first = 0 if phase == "reduce" else 1
            moving = [(rank, (rank - turn + first) % n) for rank in range(n)]
            news = [((rank + 1) % n, chunk, held[rank][chunk]) for rank, chunk in moving]
            for rank, chunk, value in news:
                held[rank][chunk] = value + (held[rank][chunk] if phase == "reduce" else 0)
            rounds, sent = rounds + 1, sent + 1
    return held, rounds, sent


@pytest.mark.parametrize("n", range(2, 9))
def test_a_ring_takes_as_long_as_one_that_is_carried_out(n):
    held, rounds, sent = simulated_ring([[rank * n + chunk for chunk in range(n)] for rank in range(n)])
    assert held == [[sum(rank * n + chunk for rank in range(n)) for chunk in range(n)]] * n
    size = 1e9
    seconds = exchange.CALL + rounds * exchange.HOP + sent * size / n / H100.bus
    assert exchange.all_reduce_seconds(size, n, H100) == pytest.approx(seconds)


def test_eight_h100_exchange_gradients_as_long_as_calculated_by_hand():
    for model, milliseconds in (("gpt2", 2.4), ("gpt2-xl", 29)):  # 370 GB/s, float32
        size = 4 * compute.params(PRESETS[model])
        assert 1e3 * exchange.all_reduce_seconds(size, 8, H100) == pytest.approx(milliseconds, rel=0.03)


SIZES, NODES = st.floats(1, 1e11), st.sampled_from([1, 2, 4, 8, 16, 64, 256, 1024])


@given(size=SIZES, ranks=NODES, way=st.sampled_from(exchange.WAYS), gpu=st.sampled_from(sorted(MACHINES)))
def test_no_way_beats_the_wires_and_scattering_is_half_of_a_ring(size, ranks, way, gpu):
    machine = MACHINES[gpu]
    found = exchange.all_reduce_seconds(size, ranks, machine, way)
    scatter = exchange.scatter_seconds(size, ranks, machine, way)
    if ranks == 1:
        assert found == scatter == 0
        return
    nodes = max(1, ranks // machine.node)
    leaving = 2 * size * (nodes - 1) / nodes / (machine.node * machine.network)
    inside = 2 * size * (1 - 1 / min(ranks, machine.node)) / machine.bus
    assert found >= max(leaving, inside)
    assert found <= 2 * scatter * (1 + 1e-12)
    assert exchange.all_reduce_seconds(2 * size, ranks, machine, way) > found


def test_two_levels_pass_a_shard_between_nodes(monkeypatch):
    for latency in ("CALL", "HOP", "FAR_HOP"):
        monkeypatch.setattr(exchange, latency, 0)
    size, port = 1e9, exchange.WIRE * H100.network
    seconds = 2 * size * 7 / 8 / H100.bus + 2 * size / 8 * 3 / 4 / port  # four nodes of eight
    assert exchange.all_reduce_seconds(size, 32, H100, "two-level") == pytest.approx(seconds)
    assert exchange.scatter_seconds(size, 32, H100, "two-level") == pytest.approx(seconds / 2)


def test_two_levels_save_a_ring_its_hops_and_never_the_network_its_bytes():
    small, large = 1e3, 1e11
    for kind in (exchange.all_reduce_seconds, exchange.scatter_seconds):
        assert kind(large, 1024, H100, "two-level") > kind(large, 1024, H100, "nccl")
    flat, two = (exchange.scatter_seconds(small, 1024, H100, way) for way in exchange.WAYS)
    hops = 7 * exchange.HOP + 127 * exchange.FAR_HOP
    assert two == pytest.approx(hops + 2 * exchange.CALL, rel=1e-3)
    assert flat == pytest.approx(896 * exchange.HOP + 127 * exchange.FAR_HOP + exchange.CALL, rel=1e-3)


BUCKETS = st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=8)


@given(buckets=BUCKETS)
def test_what_is_exposed_is_the_longest_queue(buckets):
    ready, takes = sorted(at for at, _ in buckets), [duration for _, duration in buckets]
    end = ready[-1]
    queues = [at + sum(takes[place:]) for place, at in enumerate(ready)]
    assert exposed_seconds(ready, takes, end) == pytest.approx(max(queues) - end)


def test_the_tied_table_cannot_hide_and_blocks_can():
    ready, takes, end = timeline(GPT2, H100, 8, 0.139, Plan(64))
    assert ready == sorted(ready)
    assert ready[-1] == ready[-2] == end
    assert exposed_seconds(ready, takes, end) == pytest.approx(takes[-1] + takes[-2])  # the rest has gone out
    sent = sum(takes) - 13 * (exchange.CALL + 14 * exchange.HOP)  # all the bytes, in 13 calls
    assert sent == pytest.approx(4 * compute.params(GPT2) * 2 * 7 / 8 / H100.bus)


# The step --------------------------------------------------------------------------------------------------


def test_traffic_of_the_products_is_what_the_shapes_say():
    C = GPT2.n_embd
    block = [s for name, s in param_shapes(GPT2).items() if name.startswith("h.0.") and len(s) == 2]
    sides = sum(sum(shape) for shape in block) // C
    products = {name: arrays for name, arrays in compute.BLOCK.items() if name.startswith("products")}
    assert list(products.values()) == [sides] * 3
    one, two = (compute.micro_step_bytes(GPT2, n, "bfloat16") for n in (1024, 2048))
    assert 2 * one - two == 2 * 3 * compute.params(GPT2)  # weights, and nothing else, are there once
    assert compute.micro_step_bytes(GPT2, 1024, "float32") == 2 * one


def test_with_free_wires_ranks_lose_only_what_each_repeats(monkeypatch):
    for latency in ("CALL", "HOP", "FAR_HOP"):
        monkeypatch.setattr(exchange, latency, 0)
    for zero in (0, 1):
        plan = Plan(1, zero=zero)  # a window at a time everywhere: no micro-batch gets smaller
        one, many = (step(GPT2, FREE, 0.6, n, 512, plan) for n in (1, 512))
        assert many.compute == pytest.approx(one.compute / 512)
        assert many.update == pytest.approx(one.update / (512 if zero else 1))
        assert many.exposed == 0


@given(
    ranks=st.sampled_from([1, 2, 4, 8, 16, 128, 512, 1024]),
    rows=st.integers(1, 2048),
    most=st.integers(1, 64),
)
def test_every_window_is_trained_on_once(ranks, rows, most):
    found = step(GPT2, H100, 0.6, ranks, rows, Plan(most))
    assert (found is None) == bool(rows % ranks)
    if found:
        assert found.batch * found.parts * ranks == rows
        assert found.batch <= most
        assert found.seconds == found.compute + found.exposed + found.update


def test_zero_1_moves_the_same_bytes_and_hides_fewer():
    plain, sharded = (step(GPT2, H100, 0.6, 8, 512, Plan(64, zero=zero)) for zero in (0, 1))
    assert sharded.exposed > plain.exposed
    moved = [timeline(GPT2, H100, 8, 0.1, Plan(64, zero=zero))[1] for zero in (0, 1)]
    gather = exchange.scatter_seconds(4 * compute.params(GPT2), 8, H100)
    calls = exchange.CALL * (13 - 14) + 7 * exchange.HOP * (2 * 13 - 14)
    assert sum(moved[0]) == pytest.approx(sum(moved[1]) + gather + calls)


def test_growing_batches_keep_ranks_busier_than_sharing_one_out():
    found = ask()
    strong = [efficiency(found.one, many) for many in found.strong if many]
    weak = [efficiency(found.one, many) for many in found.weak]
    assert strong == sorted(strong, reverse=True)
    assert strong[0] == 1
    assert all(0.9 < grown <= 1 for grown in weak)
    assert weak[-2] > 2 * strong[-1]


def ask(ranks="1,2,4,...,1024", gpu="h100", **choices):
    """A forecast of gpt2, as the command line would ask for it."""
    machine = MACHINES[gpu]
    plan = {"zero": 0, "gradients": "float32", "way": "nccl"} | choices
    return forecast("gpt2", gpu, machine, counted(ranks, machine.node), None, None, plan)


# The document and the command line -------------------------------------------------------------------------

BLOCKS = re.findall(r"```\n\$ python -m bench.scaling ?(.*)\n((?:.*\n)*?)```", DOCUMENT)


@pytest.mark.parametrize(
    ("arguments", "shown"), BLOCKS, ids=[arguments or "plain" for arguments, _ in BLOCKS]
)
def test_the_document_shows_what_the_program_prints(arguments, shown, capsys):
    assert main(arguments.split()) == 0
    assert capsys.readouterr().out == shown
    assert max(map(len, shown.splitlines())) <= 110


def test_the_document_has_a_table_the_check_and_the_picture():
    assert {arguments for arguments, _ in BLOCKS} >= {"", "--check"}
    assert DOCUMENT.count("$ python -m bench.scaling") == len(BLOCKS)
    picture = (ROOT / "docs" / "scaling.svg").read_text().replace("&quot;", '"')
    assert described(ask()) in picture


def test_a_picture_is_drawn(tmp_path):
    for name in ("a.svg", "a.png"):
        assert main(["--ranks", "1,8,512,1024", "--plot", str(tmp_path / name)]) == 0
    assert described(ask("1,8,512,1024")) in (tmp_path / "a.svg").read_text().replace("&quot;", '"')
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")


def test_without_matplotlib_what_to_install_is_said(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert main(["--plot", "a.svg"]) == 2
    assert "pip install 'minigpt[plot]'" in capsys.readouterr().err


def test_json_holds_the_forecast(capsys):
    assert main(["--ranks", "8,16", "--json", "--price", "2"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["ranks"] == [8, 16]
    assert found["machine"]["price"] == 2
    assert found["strong"][0] == dataclasses.asdict(ask("8").strong[0])


@pytest.mark.parametrize("gpu", MACHINES)
@pytest.mark.parametrize("model", BATCHES)
def test_every_model_on_every_machine_is_answered(model, gpu, capsys):
    code = main(["--model", model, "--gpu", gpu, "--ranks", "1,8,64"])
    out, error = capsys.readouterr()
    too_large = (model, gpu) == ("gpt2-xl", "4090")
    assert (code, error.count("\n"), bool(out)) == ((2, 1, False) if too_large else (0, 0, True))
    assert max(map(len, out.splitlines()), default=0) <= 110


WRONG = {
    "--model gpt5": "--model: expected one of gpt2, .*, found 'gpt5'",
    "--gpu tpu": "--gpu: expected one of h100, .*, found 'tpu'",
    "--ranks 1,x": "--ranks: expected whole numbers and commas, found 'x'",
    "--ranks 0": "--ranks must be between 1 and 1024: found 0",
    "--ranks 2048": "--ranks must be between 1 and 1024: found 2048",
    "--ranks 1,...": r"--ranks: expected a number after ..., found '1,\.\.\.'",
    "--ranks ...,8": r"found '\.\.\.'",
    "--ranks 12": "--ranks: a node has 8; expected whole nodes beyond one, found 12",
    "--tokens-per-step 1000": "--tokens-per-step: expected a multiple of the context, 1024: found 1000",
    "--tokens-per-step 0": "--tokens-per-step must be between 1",
    "--batch-size 0": "--batch-size must be between 1",
    "--zero 2": "--zero must be between 0 and 1: found 2",
    "--gradients int8": "--gradients: expected one of bfloat16, float32, found 'int8'",
    "--way star": "--way: expected one of nccl, two-level, found 'star'",
    "--gigabits 0": "--gigabits must be at least 0.001",
    "--price nan": "--price must be at least 0",
    "--plot a.gif": "--plot: expected a file that ends in .svg or .png, found 'a.gif'",
    "--plot /nowhere/a.svg": "/nowhere/a.svg",
}


@pytest.mark.parametrize("arguments", WRONG)
def test_bad_input_is_one_clear_line(arguments, capsys):
    assert main(arguments.split()) == 2
    error = capsys.readouterr().err
    assert re.search(WRONG[arguments], error)
    assert error.count("\n") == 1


def test_options_are_documented():
    assert {field.name for field in dataclasses.fields(Options)} >= {"model", "gpu", "ranks", "json", "plot"}
    assert counted("1,2,4,...,1024", 8) == [2**power for power in range(11)]
    assert counted("3,...,13", 1) == [3, 6, 12, 13]

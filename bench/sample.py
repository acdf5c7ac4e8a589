"""python -m bench.sample: writing with GPT-2 124M, batch 1, beside transformers with its cache, in turn.

Prefill is the time to the first token after a prompt; decode is the time of each token after it. Both write
the same number of tokens after the same prompt, greedily, in float32, on the same number of threads, each
with its cache of keys and values; who goes first changes from round to round. The weights are random: the
work is the same. Reading all weights once from memory is the floor of decode.
"""

import collections
import dataclasses
import os
import statistics
import time
from pathlib import Path

import numpy as np
import threadpoolctl
import torch
import transformers
import tyro

import minigpt
from bench.record import save_record
from minigpt import kernels
from minigpt.choice import Choice, Dice
from minigpt.decode import Decoder
from minigpt.model import block_forward
from minigpt.reading import block_read
from minigpt.sample import begin, draws

CONFIG = minigpt.PRESETS["gpt2"]
ROW = "{:14s}{prefill_ms:9.0f} ms prefill{decode_ms:9.1f} ms a token{tokens_per_second:8.1f} tokens/s"
REST = 0.5  # seconds between two runs: the threads of the one before spin for a while


@dataclasses.dataclass(frozen=True)
class Options:
    """Time prefill and decode against transformers."""

    prompt: int = 512
    """Tokens of the prompt."""
    tokens: int = 64
    """Tokens to write."""
    repeats: int = 5
    """Rounds; each measures everything once."""
    threads: int = 2
    """Threads of each."""
    save: bool = False
    """Keep the result in bench/records."""


def writer_of_ours(params, threads):
    """A function: prompt and count to the ids, the time of each, and the bytes of the cache."""
    ops = kernels.table("fast", "float32", threads)
    decoder = Decoder(CONFIG, ops, params)

    def run(prompt, n):
        times, ids = [time.perf_counter()], []
        with ops.session():
            begun = begin(decoder, [prompt])
            for (drawn,) in draws(decoder, begun, n, Choice(0.0), [Dice(0)]):
                ids.append(drawn.id)
                times.append(time.perf_counter())
        return ids, np.diff(times), begun.cache.nbytes

    return run


class Clock(transformers.generation.streamers.BaseStreamer):
    """Notes when tokens come: first the prompt, before it is read."""

    def __init__(self):
        self.times = []

    def put(self, value):
        self.times.append(time.perf_counter())

    def end(self):
        pass


def model_of(params):
    """The same model in transformers."""
    words = {"n_layer": CONFIG.n_layer, "n_head": CONFIG.n_head, "n_embd": CONFIG.n_embd}
    model = transformers.GPT2LMHeadModel(transformers.GPT2Config(**words)).eval()
    state = {f"transformer.{name}": torch.from_numpy(param.copy()) for name, param in params.items()}
    model.load_state_dict(state, strict=False)  # the head is wte again
    return model


def writer_of_transformers(model):
    """The same of transformers' greedy generate."""

    def run(prompt, n):
        clock, tokens = Clock(), torch.tensor([prompt])
        with torch.no_grad():
            out = model.generate(
                tokens,
                attention_mask=torch.ones_like(tokens),
                max_new_tokens=n,
                min_new_tokens=n,
                do_sample=False,
                use_cache=True,
                return_dict_in_generate=True,
                pad_token_id=50256,
                streamer=clock,
            )
        layers = out[-1].layers  # the cache: its name in the output changes
        size = sum(layer.keys.nbytes + layer.values.nbytes for layer in layers)
        return out.sequences[0, len(prompt) :].tolist(), np.diff(clock.times), size

    return run


def read_bandwidth(n_bytes, threads):
    """Bytes a second at which one pass over an array of this size goes, by whichever of two ways is quicker:
    BLAS's product with a vector, on as many threads, or a dot product a row.
    """
    matrix, vector = np.ones((n_bytes // 4 // 1024, 1024), np.float32), np.ones(1024, np.float32)
    seconds = []
    for count, read in ((threads, np.matmul), (1, np.vecdot)):
        time.sleep(REST)
        with threadpoolctl.threadpool_limits(count, "blas"):
            for _ in range(5):
                start = time.perf_counter()
                read(matrix, vector)
                seconds.append(time.perf_counter() - start)
    return matrix.nbytes / min(seconds)


def measure(writers, prompt, options):
    """{name: (prefill seconds, decode seconds, cache bytes)}, of each round; the ids must be the same."""
    seconds, sizes = {name: ([], []) for name in writers}, {}
    for turn in range(1 + options.repeats):
        written = {}
        for name in sorted(writers, reverse=turn % 2):
            time.sleep(REST)
            written[name], times, sizes[name] = writers[name](prompt, options.tokens)
            if turn:  # the first warms up
                seconds[name][0].append(times[0])
                seconds[name][1].append(statistics.median(times[1:]))
        if len({tuple(ids) for ids in written.values()}) > 1:
            raise RuntimeError(f"the two do not write the same: {written}")
    return {name: (*seconds[name], sizes[name]) for name in writers}


class Timed:
    """An ops table that notes how long each operation takes; products by the shapes of their weights.

    Its blocks call one operation after the other: a table may read through a block in one, a little faster.
    """

    block_read, block_forward = staticmethod(block_read), staticmethod(block_forward)

    def __init__(self, table):
        self.table, self.seconds = table, collections.Counter()

    def __getattr__(self, name):
        operation = getattr(self.table, name)
        if not name.endswith("_forward"):
            return operation

        def timed(*arguments):
            start = time.perf_counter()
            result = operation(*arguments)
            shape = "" if name != "linear_forward" else " {} x {}".format(*arguments[1].shape)
            self.seconds[name.removesuffix("_forward") + shape] += time.perf_counter() - start
            return result

        return timed


def profile(params, prompt, options):
    """Milliseconds a token of decode in each operation; "the rest" is attention, choosing and Python."""
    ops = Timed(kernels.table("fast", "float32", options.threads))
    decoder = Decoder(CONFIG, ops, params)
    with ops.session():
        begun = begin(decoder, [prompt])
        ops.seconds.clear()
        start = time.perf_counter()
        for _ in draws(decoder, begun, options.tokens, Choice(0.0), [Dice(0)]):
            pass
        ops.seconds["the rest"] = time.perf_counter() - start - ops.seconds.total()
    n = options.tokens - 1  # the first token is chosen from what the prompt gave
    return {name: 1e3 * seconds / n for name, seconds in ops.seconds.most_common()}


def main():
    options = tyro.cli(Options, description=__doc__)
    torch.set_num_threads(options.threads)
    load = os.getloadavg()[0]  # of the last minute: what others did on this machine
    params = minigpt.init_params(CONFIG)
    prompt = np.random.default_rng(0).integers(0, CONFIG.n_vocab, options.prompt).tolist()
    model = model_of(params)
    writers = {
        "minigpt": writer_of_ours(params, options.threads),
        "transformers": writer_of_transformers(model),
    }
    measured = measure(writers, prompt, options)
    weights = params.buffer.nbytes - params["wpe.weight"].nbytes
    floor = weights / read_bandwidth(weights, options.threads)
    results = {
        "load_before": load,
        "transformers": transformers.__version__,
        "transformers_attention": model.config._attn_implementation,
        "dtype": {"minigpt": str(params.buffer.dtype), "transformers": str(model.dtype)},
        "floor_ms": 1e3 * floor,
    }
    rows = {}
    for name, (prefill, decode, cache_bytes) in measured.items():
        decoded = statistics.median(decode)
        rows[name] = {
            "prefill_ms": 1e3 * statistics.median(prefill),
            "decode_ms": 1e3 * decoded,
            "tokens_per_second": 1 / decoded,
            "of_read_bandwidth": floor / decoded,
            "cache_bytes": cache_bytes,
            "rounds_prefill_ms": [1e3 * seconds for seconds in prefill],
            "rounds_decode_ms": [1e3 * seconds for seconds in decode],
        }
        share = f"{floor / decoded:6.0%} of the read bandwidth, cache {cache_bytes / 1e6:.1f} MB"
        print(ROW.format(name, **rows[name]) + share)
    results["rows"] = rows
    for name in ("prefill_ms", "decode_ms"):
        ratio = rows["transformers"][name] / rows["minigpt"][name]
        results[f"transformers_over_minigpt_{name}"] = ratio
        print(f"transformers / minigpt, {name}: {ratio:.2f}")
    results["decode_by_operation_ms"] = profile(params, prompt, options)
    for name, milliseconds in results["decode_by_operation_ms"].items():
        print(f"{milliseconds:9.2f} ms a token  {name}")
    if options.save:
        print(save_record(Path(__file__).parent / "records", "sample", dataclasses.asdict(options), results))


if __name__ == "__main__":
    main()

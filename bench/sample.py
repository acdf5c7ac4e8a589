"""python -m bench.sample: writing with GPT-2 124M, batch 1, beside transformers with its cache, in turn.

Prefill is the time to the first token after a prompt; decode is the time of each token after it. The weights
are random: the work is the same. Reading all weights once from memory is the floor of decode.
"""

import dataclasses
import statistics
import time
from pathlib import Path

import numpy as np
import torch
import transformers
import tyro

import minigpt
from bench.record import save_record
from minigpt import kernels
from minigpt.choice import Choice, Dice
from minigpt.decode import Decoder
from minigpt.sample import continuation

CONFIG = minigpt.PRESETS["gpt2"]
ROW = "{:14s}{prefill_ms:9.0f} ms prefill{decode_ms:9.1f} ms a token{tokens_per_second:8.1f} tokens/s"


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


def times_of_ours(params, threads):
    """A function: prompt and count to the ids and the time of each."""
    ops = kernels.table("fast", "float32", threads)
    decoder = Decoder(CONFIG, ops, params)

    def run(prompt, n):
        times, ids = [time.perf_counter()], []
        with ops.session():
            for drawn in continuation(decoder, prompt, n, Choice(0.0), Dice(0)):
                ids.append(drawn.id)
                times.append(time.perf_counter())
        return ids, np.diff(times)

    return run


class Clock(transformers.generation.streamers.BaseStreamer):
    """Notes when tokens come."""

    def __init__(self):
        self.times = []

    def put(self, value):
        self.times.append(time.perf_counter())

    def end(self):
        pass


def times_of_transformers(params, threads):
    """The same of transformers' greedy generate."""
    torch.set_num_threads(threads)
    words = {"n_layer": CONFIG.n_layer, "n_head": CONFIG.n_head, "n_embd": CONFIG.n_embd}
    model = transformers.GPT2LMHeadModel(transformers.GPT2Config(**words)).eval()
    state = {f"transformer.{name}": torch.from_numpy(param.copy()) for name, param in params.items()}
    model.load_state_dict(state, strict=False)  # the head is wte again

    def run(prompt, n):
        clock, tokens = Clock(), torch.tensor([prompt])
        with torch.no_grad():
            out = model.generate(
                tokens,
                attention_mask=torch.ones_like(tokens),
                max_new_tokens=n,
                min_new_tokens=n,
                do_sample=False,
                pad_token_id=50256,
                streamer=clock,
            )
        return out[0, len(prompt) :].tolist(), np.diff(clock.times)

    return run


def read_bandwidth(n_bytes):
    """Bytes a second at which one pass over an array of this size goes, on all threads of BLAS."""
    matrix, vector = np.ones((n_bytes // 4 // 1024, 1024), np.float32), np.ones(1024, np.float32)
    seconds = []
    for _ in range(5):
        start = time.perf_counter()
        matrix @ vector
        seconds.append(time.perf_counter() - start)
    return matrix.nbytes / min(seconds)


def main():
    options = tyro.cli(Options, description=__doc__)
    params = minigpt.init_params(CONFIG)
    prompt = np.random.default_rng(0).integers(0, CONFIG.n_vocab, options.prompt).tolist()
    writers = {
        "minigpt": times_of_ours(params, options.threads),
        "transformers": times_of_transformers(params, options.threads),
    }
    seconds = {name: ([], []) for name in writers}
    for turn in range(1 + options.repeats):
        first = {}
        for name, write in writers.items():
            ids, times = write(prompt, options.tokens)
            first[name] = ids[:8]
            if turn:  # the first warms up
                seconds[name][0].append(times[0])
                seconds[name][1].append(statistics.median(times[1:]))
        if len({tuple(ids) for ids in first.values()}) > 1:
            raise RuntimeError(f"the two do not write the same: {first}")
    weights = params.buffer.nbytes - params["wpe.weight"].nbytes
    floor = weights / read_bandwidth(weights)
    results = {"floor_ms": 1e3 * floor}
    for name, (prefill, decode) in seconds.items():
        decoded = statistics.median(decode)
        results[name] = {
            "prefill_ms": 1e3 * statistics.median(prefill),
            "decode_ms": 1e3 * decoded,
            "tokens_per_second": 1 / decoded,
            "of_read_bandwidth": floor / decoded,
        }
        print(ROW.format(name, **results[name]) + f"{floor / decoded:6.0%} of the read bandwidth")
    for name in ("prefill_ms", "decode_ms"):
        ratio = results["transformers"][name] / results["minigpt"][name]
        results[f"transformers_over_minigpt_{name}"] = ratio
        print(f"transformers / minigpt, {name}: {ratio:.2f}")
    if options.save:
        print(save_record(Path(__file__).parent / "records", "sample", dataclasses.asdict(options), results))


if __name__ == "__main__":
    main()

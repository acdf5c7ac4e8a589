"""Logs of runs that never were: as minigpt writes them, and as llm.c does."""

import json
import math


def loss_at(step):
    """A loss that falls and is noisy, the same at every call."""
    return 3 + 6 * math.exp(-step / 40) + 0.2 * math.sin(17.0 * step)


def write_metrics(folder, steps, eval_every=20, first=1, **changes):
    """A run's folder with a metrics.jsonl of steps first ... steps, 64 tokens and 32 ms each."""
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "metrics.jsonl", "a") as file:
        for step in range(first, steps + 1):
            numbers = {"loss": loss_at(step), "norm": 1 + 1 / step, "lr": 1e-3, "ms": 32.0, "wait_ms": 0.1,
                       "tokens_per_second": 2000.0, "mfu": 0.3}  # fmt: skip
            print(json.dumps({"step": step} | numbers | changes), file=file)
            if step % eval_every == 0:
                scores = {"val_loss": loss_at(step) + 0.1, "val_bits_per_byte": loss_at(step) / 3}
                print(json.dumps({"step": step} | scores), file=file)
    return folder


def write_main_log(path, steps, eval_every=20):
    """llm.c's main.log: steps from 0, validation and HellaSwag before the step."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w") as file:
        for step in range(steps + 1):
            if step % eval_every == 0 or step == steps:
                print(f"s:{step} tel:{loss_at(step) + 0.1:.4f}", file=file)
                print(f"s:{step} eval:{0.25 + step / 1e4:.4f}", file=file)
            if step < steps:
                print(
                    f"s:{step} trl:{loss_at(step):.4f} lr:0.000600 norm:{1 + 1 / (step + 1):.2f}", file=file
                )
    return path


def start(step=0, **parts):
    """A line of starts.jsonl."""
    recipe = {"preset": "small", "steps": 60, "tokenizer": "train", "data": None, "price": 36.0, "clip": 1.0}
    model = {"n_layer": 1, "n_head": 1, "n_embd": 8, "n_ctx": 8, "n_vocab": 258, "parameters": 1234}
    known = {"recipe": recipe, "model": model, "data": {"name": "some <b>text</b>"}, "ops": {"ranks": 2},
             "machine": {"processor": "Abacus", "cores": 2}, "versions": {"numpy": "2"}}  # fmt: skip
    merged = {name: value | parts.get(name, {}) for name, value in known.items()}
    return json.dumps({"at": "2026-11-28T12:00:00+00:00", "step": step} | merged)

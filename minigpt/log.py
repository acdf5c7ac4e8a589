"""What a run writes while it goes: one line a step on the terminal, and two files for other programs."""

import json
import sys
from pathlib import Path


class Log:
    """The terminal, main.log in llm.c's grammar, metrics.jsonl in full precision, samples.txt.

    Files are appended to: after a resume, later lines win.
    """

    def __init__(self, out, terminal=None):
        self.out, self.terminal = Path(out), terminal or sys.stdout

    def say(self, text=""):
        """A line for the person at the terminal."""
        print(text, file=self.terminal, flush=True)

    def step(self, step, steps, report, seconds, waited, tokens, mfu, left):
        """One optimizer step; seconds in all, of which it waited for its batches."""
        rate = tokens / seconds
        self.say(
            f"step {step:>{len(str(steps))}}/{steps} | loss {report.loss:.4f} | norm {report.norm:.2f} | "
            f"lr {report.lr:.2e} | {seconds * 1e3:.0f} ms | {rate:,.0f} tok/s | mfu {mfu:.0%} | "
            f"{clock(left)} left"
        )
        self._append("main.log", f"s:{step} trl:{report.loss:.4f} lr:{report.lr:.6f} norm:{report.norm:.2f}")
        numbers = {"step": step, "loss": report.loss, "norm": report.norm, "lr": report.lr}
        times = {"ms": seconds * 1e3, "wait_ms": waited * 1e3, "tokens_per_second": rate, "mfu": mfu}
        self._metrics(numbers | times)

    def validation(self, step, steps, score):
        """A score on held-out text."""
        self.say(
            f"step {step:>{len(str(steps))}}/{steps} | validation {score.nats_per_token:.4f} nats a token | "
            f"{score.bits_per_byte:.3f} bits a byte"
        )
        self._append("main.log", f"s:{step} tel:{score.nats_per_token:.4f}")
        numbers = {"step": step, "val_loss": score.nats_per_token, "val_bits_per_byte": score.bits_per_byte}
        self._metrics(numbers)

    def sample(self, step, text):
        """What the model writes at this step."""
        self.say(f"--- sample at step {step}: {text!r}")
        self._append("samples.txt", f"step {step}: {text!r}")

    def _metrics(self, numbers):
        self._append("metrics.jsonl", json.dumps(numbers))

    def _append(self, name, line):
        with open(self.out / name, "a", encoding="utf-8") as file:
            file.write(line + "\n")


def clock(seconds):
    """A span of time as 1h02m, 3m05s or 7s."""
    seconds = round(seconds)
    if seconds >= 3600:
        return f"{seconds // 3600}h{seconds % 3600 // 60:02d}m"
    return f"{seconds // 60}m{seconds % 60:02d}s" if seconds >= 60 else f"{seconds}s"

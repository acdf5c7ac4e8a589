"""TensorBoard and Weights & Biases, where they are installed, are told what metrics.jsonl is told.

A board is opened with its first numbers. It never ends a run: the first thing that goes wrong is said once,
and the run goes on without it.
"""

import importlib.util
import math
import os
import platform
import time

from minigpt.errors import ConfigError


def check_boards(recipe):
    """A ConfigError for a board that was asked for and is not installed."""
    for flag, asked, package in (
        ("tensorboard", recipe.tensorboard, "tensorboard"),
        ("wandb", recipe.wandb is not None, "wandb"),
    ):
        if asked and importlib.util.find_spec(package) is None:
            raise ConfigError(f"{flag}: the package {package} is not installed: pip install {package}")
    if recipe.wandb == "":
        raise ConfigError("wandb: expected a project's name, found none")


def boards_of(recipe, out, warn, about):
    """The boards that a recipe asks for. about: what is known of the run, as JSON takes it."""
    found = []
    if recipe.tensorboard:
        found.append(Guarded("tensorboard", lambda: TensorBoard(out / "tensorboard"), warn))
    if recipe.wandb:
        found.append(Guarded("wandb", lambda: WandB(recipe.wandb, out, about), warn))
    return found


class Guarded:
    """A board that is opened when it is first needed, and given up when it fails."""

    def __init__(self, name, make, warn):
        self.name, self.make, self.warn = name, make, warn
        self.board = self.failed = None

    def scalars(self, step, numbers):
        """name -> number, of a step."""
        self._try(lambda board: board.scalars(step, numbers))

    def text(self, step, text):
        """What the model writes at a step."""
        self._try(lambda board: board.text(step, text))

    def close(self):
        """Write what is still held."""
        if self.board is not None:
            self._try(lambda board: board.close())

    def _try(self, action):
        if self.failed:
            return
        try:
            self.board = self.board or self.make()
            action(self.board)
        except Exception as error:
            self.failed = True
            reason = " ".join(str(error).split()) or type(error).__name__
            self.warn(f"{self.name}: {reason}; the run goes on without it")


class TensorBoard:
    """An event file in a folder, which `tensorboard --logdir` shows.

    Written here and now, without the threads and queues of its usual writers: which tell of full disks late.
    """

    def __init__(self, folder):
        from tensorboard.compat.proto import event_pb2, summary_pb2, tensor_pb2, types_pb2
        from tensorboard.summary.writer.record_writer import RecordWriter

        self.event, self.summary, self.tensor, self.types = event_pb2, summary_pb2, tensor_pb2, types_pb2
        folder.mkdir(parents=True, exist_ok=True)
        name = f"events.out.tfevents.{time.time():.0f}.{platform.node()}.{os.getpid()}"
        self.writer = RecordWriter(open(folder / name, "ab"))
        self._write(event_pb2.Event(wall_time=time.time(), file_version="brain.Event:2"))

    def scalars(self, step, numbers):
        """One curve a name."""
        self._add(step, [self.summary.Summary.Value(tag=tag, simple_value=n) for tag, n in numbers.items()])

    def text(self, step, text):
        """Shown on the tab of texts, as it is written and not as Markdown."""
        plugin = self.summary.SummaryMetadata.PluginData(plugin_name="text")
        content = ("    " + text.replace("\n", "\n    ")).encode()
        tensor = self.tensor.TensorProto(dtype=self.types.DT_STRING, string_val=[content])
        metadata = self.summary.SummaryMetadata(plugin_data=plugin)
        self._add(step, [self.summary.Summary.Value(tag="sample", metadata=metadata, tensor=tensor)])

    def _add(self, step, values):
        event = self.event.Event(step=step, wall_time=time.time(), summary=self.summary.Summary(value=values))
        self._write(event)

    def _write(self, event):
        self.writer.write(event.SerializeToString())
        self.writer.flush()

    def close(self):
        """The last events."""
        self.writer.close()


class WandB:
    """A run of Weights & Biases; WANDB_MODE=offline keeps it on this machine."""

    def __init__(self, project, out, about):
        import wandb

        # the terminal stays ours
        settings = wandb.Settings(console="off")
        self.run = wandb.init(project=project, name=out.name, dir=str(out), config=about, settings=settings)
        self.html = wandb.Html

    def scalars(self, step, numbers):
        """One curve a name; what is not finite has no place in it."""
        self.run.log({name: n for name, n in numbers.items() if math.isfinite(n)}, step=step)

    def text(self, step, text):
        """As a page of its own."""
        import html

        self.run.log({"sample": self.html(f"<pre>{html.escape(text)}</pre>", inject=False)}, step=step)

    def close(self):
        """Wait for what is still on its way."""
        self.run.finish()

"""python -m tests.ranks.nccl_faults RANK KEY: one of two ranks plants each fault in turn, and says what came.

A fault is noticed if anything is refused, or numbers or exchanges are not those of the sources as they are.
"""

import contextlib
import importlib.util
import json
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

from minigpt.ranks import nccl, overlap
from minigpt.ranks.launchers import Place
from tests.ranks.on_gpus import train
from tests.support.cuda import emulated_cupy, fake_runtime
from tests.support.cuda.fake_ring import Ring
from tests.support.cuda.fake_streams import forget

SOURCES = {"nccl": nccl.__file__, "overlap": overlap.__file__}
READY = "        self.ready.record(self.cupy.cuda.get_current_stream())\n"
WAIT = "        self.stream.wait_event(self.ready)\n"
REDUCED = "self.ranks.reduce(*self._message(part), self.nccl.NCCL_AVG, root, self.stream.ptr)\n"
MESSAGE = "array.data.ptr, array.data.ptr, array.size, getattr(self.nccl, TYPES[array.dtype.name])"


GIVEN = "            yield name, gradient\n"
SENT = (
    GIVEN + "            bucket = waiting.pop(name)\n"
    "            if bucket.names.isdisjoint(waiting):\n"
    "                self.start([into.buffer[place] for place in bucket.places])\n"
)


class Fault(NamedTuple):
    """In a file, the text `old`, which is there once, becomes `new`."""

    old: str
    new: str
    file: str = "nccl"
    dtype: str = "float64"


HARMLESS = Fault("put in line on a stream of their own", "put in line on another stream")
FAULTS = [
    # the kernels' stream and the exchanges' in order
    Fault(READY, ""),
    Fault(WAIT, ""),
    Fault(READY + WAIT, WAIT + READY),
    Fault("        self.done.record(self.stream)\n", ""),
    Fault("        self.cupy.cuda.get_current_stream().wait_event(self.done)\n", ""),
    Fault("self.done.record(self.stream)", "self.done.record(self.cupy.cuda.get_current_stream())"),
    Fault(REDUCED + "        self.finish()\n", REDUCED),
    Fault(
        "root, self.stream.ptr)\n        self.finish()\n        return into",
        "root, self.stream.ptr)\n        return into",
    ),
    Fault("self.nccl.NCCL_AVG, self.stream.ptr)", "self.nccl.NCCL_AVG, 0)"),
    Fault(WAIT, WAIT + "        self.stream.use()\n"),
    # what is sent
    Fault("for array in arrays:", "for array in [array.copy() for array in arrays]:"),
    Fault("for array in arrays:", "for array in [self.cupy.asarray(array.get()) for array in arrays]:"),
    Fault("self.all_reduce(place)[0].copy()", "self.all_reduce(number.reshape(1))[0].copy()"),
    Fault("self.all_reduce(place)[0].copy()", "self.all_reduce(place)[0]"),
    Fault(MESSAGE, MESSAGE.replace("size", "size - 1")),
    Fault(MESSAGE, MESSAGE.replace("size", "size + 1")),
    Fault(MESSAGE, MESSAGE.replace("ptr", "ptr + 8")),
    Fault(MESSAGE, MESSAGE.replace("ptr, array.size", "ptr + 8, array.size")),
    Fault(MESSAGE, MESSAGE.replace("TYPES[array.dtype.name]", "'NCCL_FLOAT32'")),
    Fault(MESSAGE, MESSAGE.replace("TYPES[array.dtype.name]", "'NCCL_BFLOAT16'"), dtype="float32"),
    Fault("array[self.shard_of(rank, array.size)]) for", "array[self.shard_of(0, array.size)]) for"),
    # what is made of it, where
    Fault("self.nccl.NCCL_AVG, self.stream.ptr)", "self.nccl.NCCL_SUM, self.stream.ptr)"),
    Fault("self.nccl.NCCL_AVG, root", "self.nccl.NCCL_SUM, root"),
    Fault("self.nccl.NCCL_AVG, root", "self.nccl.NCCL_AVG, 0"),
    Fault("self._message(part), root", "self._message(part), 0"),
    # groups
    Fault("                self.nccl.groupEnd()", "                pass"),
    Fault("            self.nccl.groupStart()\n", ""),
    # when
    Fault('.split(".")[:-1][:2]', '.split(".")[:2]', "overlap", "float32"),
    Fault('.split(".")[:-1][:2]', '.split(".")[:1]', "overlap"),
    Fault(SENT, SENT.removeprefix(GIVEN) + GIVEN, "overlap"),
    HARMLESS,
]


class RingLine:
    """A line on which ranks tell each other what they give, and nobody watches."""

    step = 0

    def __init__(self, ring):
        self._ring = ring

    def gather(self, value):
        return [json.loads(told.tobytes()) for told in self._ring.all("line", json.dumps(value).encode())]

    def within(self, exchange):
        return contextlib.nullcontext()

    def at(self, step):
        self.step = step

    watch = at

    def doing(self, what):
        pass

    def close(self):
        self._ring.close()


def planted(folder, fault):
    """ranks/nccl.py as a module, with a fault in it or in what it is made of."""
    for name, path in reversed(SOURCES.items()):
        text = Path(path).read_text()
        if fault.file == name:
            if text.count(fault.old) != 1:
                raise ValueError(f"{fault}: {text.count(fault.old)} places")
            text = text.replace(fault.old, fault.new)
        copy = Path(folder, f"{name}.py")
        copy.write_text(text)
        spec = importlib.util.spec_from_file_location(f"minigpt.ranks.{name}", copy)
        sys.modules[spec.name] = module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    return module


def outcome(rank, key, fault):
    """What two ranks come to, plain and with ZeRO-1; or the error."""
    line = RingLine(Ring(key, 2, rank))
    place = Place("two processes", rank, 2, rank, 2, False)
    world = None
    with tempfile.TemporaryDirectory() as folder:
        module = planted(folder, fault)
    try:
        world = module.NCCLWorld(place, line)
        found = []
        for world.sharded in (False, True):
            found.append(train(world, fault.dtype, 2))
        world.close()
        return found
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    finally:
        forget()
        line.close()
        if world is not None and world.ranks is not None:
            world.ranks.abort()


def main():
    rank, key = int(sys.argv[1]), sys.argv[2].encode()
    fake_runtime.Device.shown = 2
    results = []
    with emulated_cupy():
        right = {}
        for number, fault in enumerate(FAULTS):
            if fault.dtype not in right:
                none = Fault("", "", "nothing", fault.dtype)
                right[fault.dtype] = outcome(rank, b"%s, right %d" % (key, len(right)), none)
            found = outcome(rank, b"%s, fault %d" % (key, number), fault)
            results.append("" if found == right[fault.dtype] else said(found))
    print(json.dumps({"right": list(map(said, right.values())), "faults": results}))


def said(found):
    """An outcome in a few words."""
    return found if isinstance(found, str) else f"losses {[one['losses'] for one in found]}"


if __name__ == "__main__":
    main()

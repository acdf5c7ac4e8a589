"""Time on a GPU: by events for one function, by the clock for whole steps that end on the host."""

import statistics
import time

import cupy


def event_ms(function, repeats=5):
    """The median of several calls, after one to warm up, in milliseconds of the GPU."""
    function()
    return statistics.median(between_events(function) for _ in range(repeats))


def between_events(function):
    """What one call takes the GPU, in milliseconds."""
    start, end = cupy.cuda.Event(), cupy.cuda.Event()
    start.record()
    function()
    end.record()
    end.synchronize()
    return cupy.cuda.get_elapsed_time(start, end)


def clock_ms(step):
    """What one call takes that waits for its own end, in milliseconds."""
    began = time.perf_counter()
    step()
    return (time.perf_counter() - began) * 1e3


def in_turn(peers, turns, steps, watch):
    """name -> (milliseconds of its steps, or None; how it failed, or None).

    peers: name -> an object with step() and free(), which gives back what is only kept for later. In every
    turn each makes one step to warm up and `steps` to be timed; before it, all others have let go.
    watch(name, turn, what came of it) is told at once. What was timed before a failure stays: one that loses
    the GPU takes all that come later along.
    """
    times, failed = {name: [] for name in peers}, {}
    for turn in range(turns):
        for name, peer in peers.items():
            if name in failed:
                continue
            try:
                peer.step()
                found = [clock_ms(peer.step) for _ in range(steps)]
                times[name] += found
            except Exception as error:
                found = failed[name] = f"{type(error).__name__}: {error}"[:500]
            watch(name, turn, found)
            try:
                peer.free()
            except Exception as error:
                failed.setdefault(name, f"{type(error).__name__}: {error}"[:500])
    return {name: (times[name] or None, failed.get(name)) for name in peers}

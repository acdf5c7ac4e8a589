"""Processes that encode units; their results come back in the order of the units.

A worker has a pipe of its own, and at most two units: the one in hand and the next. What a pool with queues
shares among its workers, locks above all, one that is killed may take along.
"""

import contextlib
import multiprocessing
import os
import signal
import threading
from itertools import chain, islice
from multiprocessing import connection, resource_tracker

from minigpt.errors import CommError, DataError
from minigpt.prepare.encode import Encoder
from minigpt.system import held_back

EACH = 2  # units given to a worker
POLL = 0.2  # seconds between looks for Ctrl-C


class Stopped(Exception):
    """Ctrl-C or SIGTERM, noticed between units."""


def encode_in_order(units, recipe, workers, stop):
    """Yield (unit, Encoded) in order. Raises Stopped, DataError, CommError.

    There are no more workers than units, and a single one is this process.
    """
    units = in_its_turn(units)
    first = list(islice(units, workers))
    units = chain(first, units)
    if len(first) > 1:
        yield from encode_in_processes(units, recipe, len(first), stop)
        return
    encode = Encoder(recipe)
    for unit in units:
        if isinstance(unit, DataError):
            raise unit
        yield unit, encode(unit)
        if stop.asked:
            raise Stopped


def in_its_turn(units):
    """The units; a DataError that ends them comes last, so that what is before it is written first."""
    try:
        yield from units
    except DataError as error:
        yield error


def encode_in_processes(units, recipe, workers, stop):
    """The same with units in flight: no more of them than the workers can have, for memory's sake."""
    with started(recipe, workers) as pipes:
        left = enumerate(units)
        given = {pipe: [] for pipe in pipes}  # the numbers of the units that each worker has
        flying, results, turn = {}, {}, 0
        while True:
            for pipe in sorted(pipes, key=lambda pipe: len(given[pipe])) * EACH:
                if len(given[pipe]) < EACH and len(flying) < EACH * workers and (one := next(left, None)):
                    number, flying[number] = one
                    if isinstance(flying[number], DataError):
                        results[number] = flying[number]
                    else:
                        given[pipe].append(number)
                        pipe.send(flying[number])
            if not flying:
                return
            if turn not in results:
                for pipe in wait_for(ready([pipe for pipe in pipes if given[pipe]]), stop):
                    results[given[pipe].pop(0)] = pipe.recv()
            while turn in results:
                if isinstance(results[turn], DataError):
                    raise results[turn]
                yield flying.pop(turn), results.pop(turn)
                turn += 1


def ready(pipes):
    """For wait_for: those of the pipes that have something to say."""
    return lambda seconds: connection.wait(pipes, seconds) or None


def wait_for(attempt, stop):
    """What attempt(seconds) returns in the end that is not None; raises Stopped if that is asked before."""
    while (result := attempt(POLL)) is None and not stop.asked:
        pass
    if stop.asked:
        raise Stopped
    return result


@contextlib.contextmanager
def started(recipe, workers):
    """The pipes to worker processes; afterwards these are gone. CommError if one is gone before.

    They are started by "spawn": they share nothing with this process, whose threads would not survive a fork.
    """
    context, pipes, processes = multiprocessing.get_context("spawn"), [], []
    if os.name == "posix":  # elsewhere there is none
        resource_tracker.ensure_running()  # with the first process it would be, and let signals in
    try:
        for _ in range(workers):
            ours, theirs = context.Pipe()
            pipes.append(ours)
            processes.append(context.Process(target=work, args=(theirs, recipe), daemon=True))
            with held_back((signal.SIGINT, signal.SIGTERM)):  # they come to this process too, which decides
                processes[-1].start()
            theirs.close()  # so that its end is noticed when it dies
        yield pipes
    except (EOFError, ConnectionError):
        raise CommError(
            "a worker process died (killed, or out of memory); the same command goes on where it was; "
            "with fewer --workers it needs less memory"
        ) from None
    finally:
        for process in processes:
            process.kill()
        for process in processes:
            process.join()


# ---- in a worker -----------------------------------------------------------------------------


def work(pipe, recipe):
    """Encode what comes through a pipe until it is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    threading.Thread(target=die_with, args=(multiprocessing.parent_process(),), daemon=True).start()
    encode = None
    with contextlib.suppress(EOFError, ConnectionError):  # nobody is left to be told
        while True:
            unit = pipe.recv()
            try:
                encode = encode or Encoder(recipe)
                result = encode(unit)
            except DataError as error:
                result = error
            pipe.send(result)


def die_with(parent):
    """Wait for the end of a process, which may be killed and unable to say so; then end this one."""
    connection.wait([parent.sentinel])
    os._exit(1)

"""cupy.cuda.nccl without GPUs: what minigpt uses of it (CuPy 14.2, NCCL 2.32), between processes here.

As NVIDIA documents it: docs.nvidia.com/deeplearning/nccl/user-guide/docs/api/colls.html. A call takes the
numbers to be sent as they are, spoils the memory that is to receive, and is carried out when somebody waits
for its stream (fake_streams.py): who does not wait computes with NaN. Refused is what NCCL refuses, and what
it would let pass: memory that is given back too early, written meanwhile or of another type, and sending what
no event keeps behind the kernels that make it.
"""

import ctypes
import json
import secrets
import weakref
import zlib
from typing import NamedTuple

import ml_dtypes
import numpy as np

from tests.support.cuda.fake_ring import Ring
from tests.support.cuda.fake_streams import RECORD, SPOILED, STREAMS, UNDER_WAY, OrderError, forget, spoil

NCCL_SUM, NCCL_PROD, NCCL_MAX, NCCL_MIN, NCCL_AVG = range(5)
NCCL_FLOAT32, NCCL_FLOAT64, NCCL_BFLOAT16 = 7, 8, 9
TYPES = {7: np.dtype(np.float32), 8: np.dtype(np.float64), 9: np.dtype(ml_dtypes.bfloat16)}

available = True
_version = 23203  # 2.32.3
_group = []  # a list for each groupStart without its groupEnd: calls that wait for it


class NcclError(RuntimeError):
    """What NCCL refuses."""


class Call(NamedTuple):
    """What NCCL was told to do."""

    name: str
    send: int
    recv: int
    count: int
    type: int
    op: int | None
    root: int | None
    stream: int
    crc: int  # of the numbers that were sent
    kernels: int  # that had been launched before it


def get_version():
    return _version


def get_unique_id():
    return secrets.token_bytes(128)


def groupStart():
    RECORD.append(("group start",))
    _group.append([])


def groupEnd():
    RECORD.append(("group end",))
    if not _group:
        raise NcclError("NCCL_ERROR_INVALID_USAGE: groupEnd without groupStart")
    calls = _group.pop()
    if _group:  # of groups inside one another the outermost counts
        _group[-1] += calls
        return
    _put(calls)


def _put(calls):
    for stream, work in calls:
        stream.put(work)
    STREAMS[0].carry_out(STREAMS[0].count)  # what shares the kernels' stream has nothing to wait for


class NcclCommunicator:
    """A rank among `ndev`; made when all are there."""

    error = None  # what check_async_error is to report
    _ring = None

    def __init__(self, ndev, commId, rank):
        if not isinstance(commId, bytes):
            raise TypeError(f"Argument 'commId' has incorrect type (expected bytes, got {type(commId)})")
        if len(commId) != 128:
            raise ValueError(f"commId length {len(commId)} != 128.")
        if not 0 <= rank < ndev:
            raise NcclError("NCCL_ERROR_INVALID_ARGUMENT")
        self._rank, self._size, self._ring = rank, ndev, Ring(commId, ndev, rank)

    def check_async_error(self):
        if self._ring is None:
            raise NcclError("NCCL_ERROR_INVALID_ARGUMENT: invalid argument")
        if self.error:
            raise NcclError(self.error)

    def destroy(self):
        if _group or UNDER_WAY.places:
            raise OrderError("destroyed in a group, or while exchanges are under way")
        self._ring = self._ring and self._ring.close()

    def abort(self):
        """Leave in the middle."""
        _group.clear()
        forget()
        self._ring = self._ring and self._ring.close()

    def allReduce(self, sendbuf, recvbuf, count, datatype, op, stream):
        self._call("allReduce", sendbuf, recvbuf, count, count, datatype, op, None, stream)

    def reduce(self, sendbuf, recvbuf, count, datatype, op, root, stream):
        self._call("reduce", sendbuf, recvbuf, count, count, datatype, op, root, stream)

    def broadcast(self, sendbuff, recvbuff, count, datatype, root, stream):
        self._call("broadcast", sendbuff, recvbuff, count, count, datatype, None, root, stream)

    def reduceScatter(self, sendbuf, recvbuf, recvcount, datatype, op, stream):
        whole = recvcount * self._size
        self._call("reduceScatter", sendbuf, recvbuf, whole, recvcount, datatype, op, None, stream)

    def allGather(self, sendbuf, recvbuf, count, datatype, stream):
        self._call("allGather", sendbuf, recvbuf, count, count * self._size, datatype, None, None, stream)

    def _call(self, name, send, recv, sent, received, kind, op, root, stream):
        if kind not in TYPES or op not in (None, NCCL_SUM, NCCL_AVG) or not 0 <= (root or 0) < self._size:
            raise NcclError(f"NCCL_ERROR_INVALID_ARGUMENT: {name}: datatype {kind}, op {op}, root {root}")
        source = memory(name, send, sent, kind)
        target = memory(name, recv, received, kind)
        check_order(name, stream)
        kernels = STREAMS[0].count
        call = Call(name, send, recv, sent, kind, op, root, stream, zlib.crc32(source), kernels)
        RECORD.append(call)
        exchange = Exchange(self, call, source, target)
        if _group:
            _group[-1].append((STREAMS[stream], exchange.carry_out))
        else:
            _put([(STREAMS[stream], exchange.carry_out)])

    def _result(self, call, mine):
        """What this rank receives, or None if that is nothing."""
        told = {"name": call.name, "n": call.count, "type": call.type, "op": call.op, "root": call.root}
        everything = [part.view(TYPES[call.type]) for part in self._ring.all(json.dumps(told), mine)]
        if call.name == "broadcast":
            return everything[call.root]
        if call.name == "allGather":
            return np.concatenate(everything)
        if call.root not in (None, self._rank):
            return None
        total = reduced(everything, call.op)
        return np.split(total, self._size)[self._rank] if call.name == "reduceScatter" else total


class Exchange:
    """A call under way."""

    def __init__(self, talk, call, source, target):
        self.talk, self.call, self.mine = talk, call, source.copy()
        self.owners = [weakref.ref(owner(address)[0]) for address in (call.send, call.recv)]
        UNDER_WAY.check(call.name, call.recv, target.size)
        self.place = (call.name, call.recv, target.size)
        UNDER_WAY.places.append(self.place)
        self.before = spoil(target)

    def carry_out(self):
        """Exchange, and put what came in its place."""
        if any(reference() is None for reference in self.owners):
            raise OrderError(f"{self.call.name}: the memory was given back before anybody waited")
        target = bytes_at(self.call.recv, self.place[2])
        if (target != SPOILED).any():
            raise OrderError(f"{self.call.name}: the memory was written before anybody waited")
        result = self.talk._result(self.call, self.mine)
        target[:] = self.before if result is None else result.view(np.uint8)
        UNDER_WAY.places.remove(self.place)


def reduced(everything, op):
    """Added up in the order of ranks, in their own type; for a mean each is divided first, as NCCL does."""
    kind, size = everything[0].dtype, len(everything)
    parts = [part * kind.type(1 / size) if op == NCCL_AVG else part for part in everything]
    total = parts[0]
    for part in parts[1:]:
        total = total + part
    return total


def check_order(name, stream):
    """Raise OrderError if the exchange may begin before the kernels launched until now are done."""
    if stream not in STREAMS:
        raise NcclError(f"NCCL_ERROR_UNHANDLED_CUDA_ERROR: {name}: no stream {stream}")
    if stream and STREAMS[stream].after.get(0, 0) < STREAMS[0].count:
        raise OrderError(f"{name}: no event keeps it behind the kernels that make what it sends")


def memory(name, address, count, kind):
    """The bytes of numbers at an address. Raises OrderError if no array has them."""
    found, n = owner(address), count * TYPES[kind].itemsize
    if found is None:
        raise OrderError(f"{name}: {address:#x} is no array's")
    _, start, length, dtype = found
    if dtype != TYPES[kind]:
        raise OrderError(f"{name}: {TYPES[kind]} numbers, but the array's are {dtype}")
    if address + n > start + length:
        raise OrderError(f"{name}: {count} numbers are more than the array has")
    return bytes_at(address, n)


def bytes_at(address, n):
    return np.frombuffer((ctypes.c_byte * n).from_address(address), np.uint8)


def owner(address):
    """fake_cupy.owner_of, which cannot be imported before this."""
    from tests.support.cuda.fake_cupy import owner_of

    return owner_of(address)

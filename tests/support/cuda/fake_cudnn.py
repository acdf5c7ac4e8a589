"""cudnn (nvidia-cudnn-frontend) on the host's memory: graphs of one attention, checked and computed.

https://docs.nvidia.com/deeplearning/cudnn/frontend, Attention. Strict where cuDNN is: head sizes, one
position, strides, types, results that nobody asked for, addresses that are missing. Workspaces are as cuDNN
9.28 plans them for an H100: tests/kernels/cuda/plans.py, which plans the same graphs by cuDNN itself.
"""

import ctypes
import enum
import math
from types import SimpleNamespace

import ml_dtypes
import numpy as np

from tests.support.cuda.fake_sdpa import backward, forward
from tests.support.device_array import LAUNCHES

STREAMS = []  # what handles were told to work on


class cudnnGraphNotSupportedError(Exception):
    """A graph that cuDNN knows no kernel for."""


class data_type(enum.Enum):
    NOT_SET, FLOAT, BFLOAT16 = range(3)


class heur_mode(enum.Enum):
    A, FALLBACK = range(2)


class diagonal_alignment(enum.Enum):
    TOP_LEFT, BOTTOM_RIGHT = range(2)


NUMPY = {data_type.FLOAT: np.dtype(np.float32), data_type.BFLOAT16: np.dtype(ml_dtypes.bfloat16)}


HANDLE = 0xD00
CREATED = []  # handles: each takes memory that nobody gives back


def create_handle():
    CREATED.append(HANDLE)
    return HANDLE


def set_stream(*, handle, stream):
    assert handle == HANDLE
    STREAMS.append(stream)


class Tensor:
    """A tensor of a graph; what is computed is virtual until it is asked to be stored."""

    def __init__(self, dim=None, stride=None, data_type=data_type.NOT_SET, uid=-1, output=None):
        self.dim, self.stride, self.data_type, self.uid, self.output = dim, stride, data_type, uid, output

    def set_uid(self, uid):
        return self._set(uid=uid)

    def set_output(self, output):
        return self._set(output=output)

    def set_data_type(self, kind):
        return self._set(data_type=kind)

    def set_dim(self, dim):
        return self._set(dim=dim)

    def set_stride(self, stride):
        return self._set(stride=stride)

    def _set(self, **what):
        vars(self).update(what)
        return self

    def at(self, address):
        """The numbers at an address, as an array that can be written to."""
        dtype = NUMPY[self.data_type]
        count = 1 + sum((n - 1) * s for n, s in zip(self.dim, self.stride, strict=True))
        memory = (ctypes.c_byte * (count * dtype.itemsize)).from_address(address)
        strides = [s * dtype.itemsize for s in self.stride]
        return np.lib.stride_tricks.as_strided(np.frombuffer(memory, dtype), self.dim, strides)


class pygraph:
    """A graph of one operation; stages must be gone through in their order."""

    def __init__(self, *, io_data_type, intermediate_data_type, compute_data_type, handle):
        assert handle == HANDLE
        if (io_data_type, intermediate_data_type, compute_data_type) != (
            data_type.BFLOAT16,
            data_type.FLOAT,
            data_type.FLOAT,
        ):
            raise cudnnGraphNotSupportedError("bfloat16 in and out, float32 between")
        self.stage, self.inputs, self.node = "empty", [], None

    def tensor(self, *, dim, stride, data_type, uid):
        self.inputs.append(Tensor(dim, stride, data_type, uid))
        return self.inputs[-1]

    def sdpa(self, *, q, k, v, attn_scale, generate_stats, diagonal_alignment, diagonal_band_right_bound):
        outputs = [Tensor(output=False), Tensor(output=False)]
        self._operation("sdpa", [q, k, v], outputs, attn_scale, diagonal_alignment, diagonal_band_right_bound)
        assert generate_stats is True
        return outputs

    def sdpa_backward(
        self, *, q, k, v, o, dO, stats, attn_scale, use_deterministic_algorithm, diagonal_alignment,
        diagonal_band_right_bound,
    ):  # fmt: skip
        inputs, outputs = [q, k, v, o, dO, stats], [Tensor(output=False) for _ in range(3)]
        self._operation(
            "sdpa_backward", inputs, outputs, attn_scale, diagonal_alignment, diagonal_band_right_bound
        )
        self.deterministic = use_deterministic_algorithm
        return outputs

    def _operation(self, name, inputs, outputs, scale, alignment, right):
        assert self.node is None
        self.causal = (alignment, right) == (diagonal_alignment.TOP_LEFT, 0)
        self.node = SimpleNamespace(name=name, inputs=inputs, outputs=outputs, scale=scale)

    def _stage(self, before, after):
        if self.stage != before:
            raise RuntimeError(f"{after} before {before}")
        self.stage = after

    def validate(self):
        self._stage("empty", "valid")
        B, H, T, D = dim = self.node.inputs[0].dim
        heads = self.node.inputs + self.node.outputs
        stats = heads.pop(5 if self.node.name == "sdpa_backward" else -1)
        if any(one.dim != dim or one.stride[-1] != 1 for one in heads):
            raise cudnnGraphNotSupportedError("heads of one shape, channels side by side")
        if any(one.data_type != data_type.BFLOAT16 for one in heads):
            raise cudnnGraphNotSupportedError("heads in bfloat16")
        if stats.dim != [B, H, T, 1] or stats.data_type != data_type.FLOAT:
            raise cudnnGraphNotSupportedError("stats (B, H, T, 1) in float32")
        if any(one.output is False or one.uid < 0 for one in self.node.outputs):
            raise cudnnGraphNotSupportedError("a result that is not stored")
        if D % 8 or D > 128:
            raise cudnnGraphNotSupportedError("hidden_dim should be multiple of 8")
        if T == 1 and self.node.name == "sdpa_backward":
            raise cudnnGraphNotSupportedError("s_q = s_kv = 1 is not supported.")

    def build_operation_graph(self):
        self._stage("valid", "operations")

    def create_execution_plans(self, modes):
        assert modes
        assert all(isinstance(mode, heur_mode) for mode in modes)
        self._stage("operations", "plans")

    def check_support(self):
        self._stage("plans", "supported")

    def build_plans(self):
        self._stage("supported", "built")

    def get_workspace_size(self):
        if self.node.name == "sdpa":
            return 256
        B, H, T, _ = self.node.inputs[0].dim
        copies = math.ceil(T / 128) if self.deterministic else 1
        return B * H * (copies * math.ceil(T / 64) * 64 * 64 * 4 + T * 4) + 256

    def execute(self, tensor_to_device_buffer, workspace, handle):
        """Compute on what is at the addresses."""
        assert handle == HANDLE
        assert self.stage == "built"
        LAUNCHES.append(self.node.name)
        if workspace % 16:
            raise RuntimeError("the workspace is not aligned")
        tensors = self.node.inputs + self.node.outputs
        if {one.uid for one in tensors} != set(tensor_to_device_buffer) or len(tensors) != len(
            {one.uid for one in tensors}
        ):
            raise RuntimeError("uids and addresses do not match")
        if any(address % 16 for address in tensor_to_device_buffer.values()):
            raise RuntimeError("an address is no multiple of 16")
        arrays = [one.at(tensor_to_device_buffer[one.uid]) for one in tensors]
        function = forward if self.node.name == "sdpa" else backward
        function(*arrays, scale=self.node.scale, causal=self.causal)

"""cuDNN itself plans the graphs of cudnn_attention.py for an H100 that it is told of; nothing runs.

It shows that cuDNN takes the graphs, which shapes it refuses, and the memory that it works in, to which
memory.py is held. cublasLt takes the descriptions of products, and advises nothing without a GPU. Needs the
wheels of the extra cupy-more (1.6 GB), gcc, no GPU.

python -m tests.kernels.cuda.plans [--save]
"""

import ctypes
import importlib
import json
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

import minigpt
from bench.record import save_record
from minigpt.memory import cudnn_bytes
from tests.support.cuda import emulated_cupy

DRIVER = Path(__file__).parents[2] / "support" / "cuda" / "stub_driver.c"
RECORDS = Path(__file__).parents[3] / "bench" / "records"

# what cuDNN asks of a device (CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION), as an H100 SXM answers
H100 = {
    "deviceName": "NVIDIA H100 80GB HBM3", "deviceVer": 900, "driverVer": 13000, "cudaDeviceId": 0,
    "pciDeviceId": 0, "isTccDriver": 0, "supportCoopLaunch": 1, "memoryBusWidth": 5120,
    "maxGridSize": [2**31 - 1, 65535, 65535], "maxBlockSize": [1024, 1024, 64], "multiProcessorCount": 132,
    "smCountOrigin": 0, "warpSize": 32, "regsPerBlock": 65536, "maxRegistersPerSM": 65536, "maxCtasPerSM": 32,
    "maxThreadsPerBlock": 1024, "maxThreadsPerSM": 2048, "maxSharedMemoryPerBlock": 49152,
    "maxSharedMemoryPerBlockOptin": 232448, "oversizedSharedMemoryPerBlock": 0,
    "reservedSharedMemoryPerBlock": 1024, "totalGlobalMem": 85029158912, "l2CacheSize": 52428800,
    "smClockRateKHz": 1980000, "memClockRateKHz": 2619000,
}  # fmt: skip
# B, T, H, D: the models', and edges of blocks of 64 and 128
SHAPES = [
    (64, 1024, 12, 64), (8, 1024, 12, 64), (4, 1024, 25, 64), (2, 2, 1, 64), (4, 17, 2, 64), (2, 64, 1, 64),
    (2, 65, 1, 64), (2, 128, 2, 64), (2, 129, 2, 64), (1, 2048, 1, 64), (2, 20, 3, 8), (1, 200, 1, 40),
    (1, 40, 1, 72), (2, 1000, 3, 128),
]  # fmt: skip
NOT_INITIALIZED = (
    1  # cublasStatus_t: there is no GPU; INVALID_VALUE, 7, would say that something does not fit
)
REFUSED = [(2, 1, 2, 64), (2, 20, 3, 12)]  # backwards: one position; a head of no multiple of 8


def load_libraries(folder):
    """A driver for cuDNN to find, and the compiler that it calls."""
    driver = Path(folder) / "libcuda.so.1"
    command = ["gcc", "-shared", "-fPIC", "-w", "-Wl,-soname,libcuda.so.1", "-o", str(driver), str(DRIVER)]
    subprocess.run(command, check=True)
    compiler = next(Path(sysconfig.get_path("purelib")).glob("nvidia/*/lib/libnvrtc.so.*"))
    for library in (driver, compiler):
        ctypes.CDLL(str(library), ctypes.RTLD_GLOBAL)


def plan(module, shape):
    """What cuDNN says of both graphs: bytes to work in, and the kernel's name."""
    graphs = {"forward": module.forward_graph(shape), "backward": module.backward_graph(shape)}
    return {
        name: {"workspace": graph.get_workspace_size(), "kernel": graph.get_plan_name_at_index(0)}
        for name, graph in graphs.items()
    }


def refusal(module, cudnn, shape):
    """Why cuDNN has no backward pass for a shape; None if it has."""
    try:
        module.backward_graph(shape)
    except cudnn.cudnnGraphNotSupportedError as reason:
        return str(reason)
    return None


def descriptions(cupy):
    """What cublasLt says of each epilogue's description, asked for an algorithm without a GPU: its status."""
    module, said = importlib.import_module("minigpt.kernels.cuda.cublaslt"), {}
    module.handle = lambda: 0
    narrow, wide, bias = (cupy.zeros(shape, "float32") for shape in ((8, 8), (8, 8), 8))
    given = {
        "BIAS": {"bias": bias, "added": wide, "beta": 1.0},
        "BGRADA": {"bias": bias},
        "DGELU": {"aux": wide},
    }
    for epilogue, extra in (given | {"GELU_AUX_BIAS": {"bias": bias, "aux": wide}}).items():
        try:
            said[epilogue] = module.product(narrow, narrow.T, wide, epilogue=epilogue, **extra)
        except module.cublasLt.cuBLASLtError as error:
            said[epilogue] = error.status
    return said


def main():
    with tempfile.TemporaryDirectory() as folder, emulated_cupy(libraries={}) as cupy:
        load_libraries(folder)
        cudnn = importlib.import_module("cudnn")
        module = importlib.import_module("minigpt.kernels.cuda.cudnn_attention")
        described = cudnn.create_device_properties(json.dumps(H100))
        module.machine = lambda: {"device_property": described, "sm_count": 132, "sm_version": 90}
        rows, wrong = [], 0
        for B, T, H, D in SHAPES:
            found = plan(module, module.Shape(B, T, H, D))
            expected = cudnn_bytes(minigpt.GPTConfig(1, H, H * D, T, 2), B, T)
            same = found["backward"]["workspace"] == expected
            wrong += not same
            rows.append({"shape": [B, T, H, D], "predicted": expected, **found})
            print(f"{'as predicted' if same else 'DIFFERENT   '} {rows[-1]}", flush=True)
        refused = {str(shape): refusal(module, cudnn, module.Shape(*shape)) for shape in REFUSED}
        print(refused)
        wrong += sum(reason is None for reason in refused.values())
        said = descriptions(cupy)
        print(f"cublasLt: {said}")
        wrong += any(status != NOT_INITIALIZED for status in said.values())
        found = {"cublasLt": said, "cudnn": cudnn.backend_version_string(), "frontend": cudnn.__version__}
    if "--save" in sys.argv:
        print(save_record(RECORDS, "cudnn-plans", {}, found | {"plans": rows, "refused": refused}))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())

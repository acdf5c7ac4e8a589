"""Does anything work at all, on what, and what can this GPU do at most?"""

import importlib
import math
import shutil
import subprocess

import cupy
import ml_dtypes
import numpy as np

from bench.gpu.setting import TINY, batch, trainer
from bench.gpu.timing import event_ms
from minigpt.arrays import gpu_name

ASKED = "driver_version,clocks.sm,clocks.max.sm,clocks.mem,power.limit,temperature.gpu,memory.total"
LIBRARIES = {
    "driver": lambda: cupy.cuda.runtime.driverGetVersion(),
    "cuda": lambda: cupy.cuda.runtime.runtimeGetVersion(),
    "cupy": lambda: cupy.__version__,
    "nvrtc": lambda: importlib.import_module("cupy.cuda.nvrtc").getVersion(),
    "cublas": lambda: cupy.cuda.cublas.getVersion(cupy.cuda.device.get_cublas_handle()),
    "nccl": lambda: importlib.import_module("cupy.cuda.nccl").get_version(),
    "cublaslt": lambda: importlib.import_module("nvmath.bindings.cublasLt").get_version(),
    "cudnn": lambda: importlib.import_module("cudnn").backend_version(),
}


def run(setting, part, put):
    memory = cupy.cuda.runtime.memGetInfo()
    put({"name": "gpu", "gpu": gpu_name(), "free GB": memory[0] / 1e9, "total GB": memory[1] / 1e9})
    put({"name": "nvidia-smi", ASKED: asked()})
    put({"name": "versions"} | {name: tried(version) for name, version in LIBRARIES.items()})
    loss, expected = trainer(TINY).step(*batch(TINY, 2, 16)), math.log(TINY.n_vocab)
    put({"name": "one step of a tiny model", "ok": abs(loss - expected) < 0.3, "loss": loss})
    put(ceilings(setting))


def asked():
    """What nvidia-smi says of clocks, power and temperature."""
    if shutil.which("nvidia-smi") is None:
        return "not installed"
    command = ["nvidia-smi", f"--query-gpu={ASKED}", "--format=csv,noheader"]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()


def tried(version):
    """A version, or why there is none."""
    try:
        return version()
    except Exception as error:
        return f"none: {type(error).__name__}: {error}"[:100]


def ceilings(setting):
    """A large copy and a large product of bfloat16: what memory and tensor cores do at most."""
    from minigpt.kernels.cuda.gemm import gemm

    n = setting.product
    numbers = np.random.default_rng(0).normal(size=(n, n)).astype(ml_dtypes.bfloat16)
    a, out = cupy.asarray(numbers), cupy.empty((n, n), numbers.dtype)
    product = event_ms(lambda: gemm(a, a, out))
    source, target = (cupy.zeros(setting.copy // 4, np.float32) for _ in range(2))
    copy = event_ms(lambda: np.copyto(target, source))
    return {
        "name": f"ceilings: product of {n}, copy",
        "TFLOP/s": 2 * n**3 / product / 1e9,
        "GB/s read and written": 2 * setting.copy / copy / 1e6,
    }

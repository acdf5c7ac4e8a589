"""CUDA C compiled for an H100 by NVIDIA's compiler, which comes in a wheel and needs no GPU."""

import ctypes
import functools
import re
from importlib import util
from pathlib import Path
from typing import NamedTuple

ARCHITECTURE = "sm_90a"


class Usage(NamedTuple):
    """What one kernel takes of a multiprocessor."""

    kernel: str
    registers: int  # of each thread; 65,536 are shared by all threads at once
    spilled: int  # bytes written to and read from memory for want of registers
    shared: int  # bytes of static shared memory


class CompileError(Exception):
    """What the compiler said."""


@functools.cache
def toolkit():
    """nvrtc's library and CUDA's headers, where the wheels put them."""
    spec = util.find_spec("nvidia")
    for root in map(Path, spec.submodule_search_locations if spec else ()):
        for library in sorted(root.glob("cu13/lib/libnvrtc.so.13")):
            include = root / "cu13" / "include"
            return ctypes.CDLL(str(library)), [include, include / "cccl"]
    raise CompileError(
        "nvrtc is not installed: pip install nvidia-cuda-nvrtc nvidia-cuda-runtime nvidia-cuda-crt"
    )


def compile_for_h100(source, options):
    """(each kernel's usage, the PTX) of a source; a CompileError where the compiler has anything to say."""
    nvrtc, includes = toolkit()
    flags = [f"--gpu-architecture={ARCHITECTURE}", "--ptxas-options=-v", "-default-device", *options]
    flags += [f"-I{folder}" for folder in includes]
    program = ctypes.c_void_p()
    nvrtc.nvrtcCreateProgram(ctypes.byref(program), source.encode(), b"kernel.cu", 0, None, None)
    try:
        status = nvrtc.nvrtcCompileProgram(
            program, len(flags), (ctypes.c_char_p * len(flags))(*map(str.encode, flags))
        )
        log = text_of(nvrtc.nvrtcGetProgramLogSize, nvrtc.nvrtcGetProgramLog, program)
        if status or re.search(r"\b(warning|error)\b", log):
            raise CompileError(log)
        return usages(log), text_of(nvrtc.nvrtcGetPTXSize, nvrtc.nvrtcGetPTX, program)
    finally:
        nvrtc.nvrtcDestroyProgram(ctypes.byref(program))


def text_of(size_of, read, program):
    size = ctypes.c_size_t()
    size_of(program, ctypes.byref(size))
    text = ctypes.create_string_buffer(size.value)
    read(program, text)
    return text.value.decode()


def usages(log):
    """The figures that ptxas prints for each kernel."""
    found = []
    for part in log.split("Compiling entry function '")[1:]:
        stores, loads = re.search(r"(\d+) bytes spill stores, (\d+) bytes spill loads", part).groups()
        shared = re.search(r"(\d+) bytes smem", part)
        registers = re.search(r"Used (\d+) registers", part)[1]
        name = part.split("'")[0]
        found.append(Usage(name, int(registers), int(stores) + int(loads), int(shared[1]) if shared else 0))
    return found

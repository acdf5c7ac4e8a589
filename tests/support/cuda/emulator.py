"""Builds a CUDA source with g++ for engine.cpp, and launches its kernels on arrays in the host's memory."""

import ctypes
import fcntl
import functools
import hashlib
import re
import subprocess
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
BUILD = HERE.parents[2] / "build" / "cuda-emulation"  # results, by the hash of all that went in

COMPILE = [
    "g++",
    "-std=c++17",
    "-fPIC",
    "-fno-strict-aliasing",
    "-ffp-contract=off",
    "-fvisibility=hidden",
    "-w",
]
# mode -> how engine.cpp and how kernels are compiled, and how both are linked
MODES = {
    "quick": (["-O2"], ["-O1"], []),
    "watched": (["-O2", "-DWATCHED"], ["-O1", "-fsanitize=thread"], []),
    "sanitized": (
        ["-O1", "-g"],
        ["-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all", "--param", "asan-stack=0"],
        ["-fsanitize=address,undefined"],
    ),
}

KERNEL = re.compile(r'extern "C" __global__ void\s+(?:__launch_bounds__\([^{]*?\)\s+)?(\w+)\(([^)]*)\)')
KERNEL_FILE = """
#include "cuda_bf16.h"
{source}
extern "C" char __start_shared_memory[] __attribute__((weak)), __stop_shared_memory[] __attribute__((weak));
{launchers}
"""
LAUNCHER = """
struct arguments_of_{name} {{ {fields}; }};
__attribute__((no_sanitize("thread"))) static void call_{name}(void* given) {{
    auto* a = (arguments_of_{name}*)given;
    {name}({values});
}}
extern "C" __attribute__((visibility("default"))) bool launch_{name}(emulated::Launch* launch, {declared}) {{
    arguments_of_{name} given = {{ {names} }};
    return emulated::run(*launch, call_{name}, &given, __start_shared_memory, __stop_shared_memory);
}}
"""


class EmulationError(Exception):
    """What a kernel did that it must not do."""


class Array(ctypes.Structure):
    _fields_ = [("name", ctypes.c_char_p), ("begin", ctypes.c_void_p), ("bytes", ctypes.c_size_t)]


class Launch(ctypes.Structure):
    _fields_ = [
        ("grid", ctypes.c_uint * 3),
        ("block", ctypes.c_uint * 3),
        ("shared_bytes", ctypes.c_size_t),
        ("seed", ctypes.c_uint),
        ("arrays", ctypes.POINTER(Array)),
        ("array_count", ctypes.c_size_t),
        ("message", ctypes.c_void_p),
        ("message_bytes", ctypes.c_size_t),
        ("bank_conflicts", ctypes.c_long),
    ]


class Library:
    """The kernels of one source, built with its defines in one mode."""

    def __init__(self, source, options, mode):
        kernels = dict(KERNEL.findall(source))
        defines = [option for option in options if option.startswith("-D")]
        self._library = ctypes.CDLL(str(build(source, kernels, defines, mode)))
        self._parameters = {name: inside.split(",") for name, inside in kernels.items()}

    def launch(self, name, grid, block, shared, arguments, seed):
        """Run a kernel; an EmulationError if it does what it must not. Returns what was counted."""
        values, arrays = [], []
        for parameter, argument in zip(self._parameters[name], arguments, strict=True):
            if isinstance(argument, np.ndarray):
                label = f"argument {name_of(parameter)}".encode()
                arrays.append(Array(label, argument.ctypes.data, argument.nbytes))
                argument = argument.ctypes.data
            values.append(
                c_type(parameter)(argument.item() if isinstance(argument, np.generic) else argument)
            )
        message = ctypes.create_string_buffer(1000)
        launch = Launch(
            grid=whole(grid), block=whole(block), shared_bytes=shared, seed=seed,
            arrays=(Array * len(arrays))(*arrays), array_count=len(arrays),
            message=ctypes.addressof(message), message_bytes=len(message),
        )  # fmt: skip
        function = getattr(self._library, f"launch_{name}")
        function.restype = ctypes.c_bool
        if not function(ctypes.byref(launch), *values):
            raise EmulationError(f"{name}: {message.value.decode()}")
        return launch


def whole(extents):
    """(4, 2) -> (4, 2, 1), as C has it."""
    return (ctypes.c_uint * 3)(*(*extents, 1, 1)[:3])


def name_of(parameter):
    return re.search(r"\w+$", parameter.strip())[0]


def c_type(parameter):
    """The ctypes type of a parameter as it is declared in CUDA C."""
    if "*" in parameter:
        return ctypes.c_void_p
    return {"float": ctypes.c_float, "int": ctypes.c_int, "long long": ctypes.c_longlong}[
        parameter.strip().removesuffix(name_of(parameter)).strip()
    ]


def build(source, kernels, defines, mode):
    """The path of a shared library with a launcher for every kernel of the source."""
    launchers = "".join(launcher(name, inside) for name, inside in kernels.items())
    text = KERNEL_FILE.format(source=source, launchers=launchers)
    _, options, link = MODES[mode]
    parts = cached([*options, "-I", str(HERE / "include"), *defines], text), engine(mode)
    library = parts[0].with_suffix(".so")
    return made(library, lambda path: ["g++", "-shared", *link, *map(str, parts), "-o", str(path)])


def launcher(name, inside):
    """C++ that calls a kernel with what Python gave."""
    parameters = " ".join(inside.replace("__restrict__", "").split())
    return LAUNCHER.format(
        name=name,
        declared=parameters,
        fields=parameters.replace(",", ";"),
        names=", ".join(map(name_of, parameters.split(","))),
        values=", ".join(f"a->{name_of(parameter)}" for parameter in parameters.split(",")),
    )


@functools.cache
def engine(mode):
    """engine.cpp, compiled once."""
    return cached([*MODES[mode][0], "-I", str(HERE)], (HERE / "engine.cpp").read_text())


@functools.cache
def surroundings():
    """All that a build depends on beside its text and options."""
    compiler = subprocess.run(["g++", "--version"], capture_output=True, check=True).stdout
    return compiler + b"".join(
        path.read_bytes() for path in (HERE / "engine.cpp", *sorted(HERE.rglob("*.h")))
    )


def cached(options, text):
    """The object file of a C++ text: an earlier one if nothing that it depends on has changed."""
    command = [*COMPILE, *options, "-c"]
    key = hashlib.sha256(surroundings() + " ".join(command).encode() + text.encode()).hexdigest()[:24]
    source = BUILD / f"{key}.cpp"

    def compiling(path):
        source.write_text(text)
        return [*command, str(source), "-o", str(path)]

    return made(BUILD / f"{key}.o", compiling)


def made(target, command):
    """target, made by command(path) unless it is there; of two processes that need it, the second waits."""
    BUILD.mkdir(parents=True, exist_ok=True)
    with open(target.with_suffix(f"{target.suffix}.lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not target.exists():
            half = target.with_suffix(f"{target.suffix}.half")
            subprocess.run(command(half), check=True)
            half.rename(target)
    return target

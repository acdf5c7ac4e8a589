"""nvmath.bindings.cublasLt on the host's memory, as cublasLt's documentation says: column by column.

https://docs.nvidia.com/cuda/cublas: cublasLtMatmul, cublasLtEpilogue_t, cublasLtMatmulDescAttributes_t.
Strict where cublasLt is: descriptions that do not fit together, pointers that are not aligned, epilogues
without what they need. Names and numbers are nvmath-python 1.0's; tests/kernels/cuda/test_libraries.py
holds them to it.
"""

import ctypes
import enum
import itertools

import numpy as np

from tests.support.cuda.fake_cublas import FULL, RESULTS, TF32, column_major, cut, operand
from tests.support.cuda.fake_epilogues import Epilogue, cuBLASLtError, finished, invalid
from tests.support.device_array import LAUNCHES

NOT_SUPPORTED = 15
DEFAULT_ALIGNMENT = 256  # bytes: what preferences promise unless they say otherwise
REFUSE = set()  # epilogues for which there is to be no algorithm
STREAMS = []  # what products were put on
UNUSABLE = set()  # and those for which an answer comes that says of itself that it is none
ALGORITHM = 0x5EED  # what the heuristic advises; products must be asked for with just this


class MatmulDescAttribute(enum.IntEnum):
    TRANSA = 3
    TRANSB = 4
    EPILOGUE = 7
    BIAS_POINTER = 8
    EPILOGUE_AUX_POINTER = 11
    EPILOGUE_AUX_LD = 12
    EPILOGUE_AUX_DATA_TYPE = 22
    BIAS_DATA_TYPE = 26


class MatmulPreferenceAttribute(enum.IntEnum):
    MAX_WORKSPACE_BYTES = 1
    MIN_ALIGNMENT_A_BYTES = 5
    MIN_ALIGNMENT_B_BYTES = 6
    MIN_ALIGNMENT_C_BYTES = 7
    MIN_ALIGNMENT_D_BYTES = 8


DESCRIPTION = {
    "TRANSA": np.int32, "TRANSB": np.int32, "EPILOGUE": np.uint32, "BIAS_POINTER": np.int64,
    "EPILOGUE_AUX_POINTER": np.int64, "EPILOGUE_AUX_LD": np.int64, "EPILOGUE_AUX_DATA_TYPE": np.int32,
    "BIAS_DATA_TYPE": np.int32,
}  # fmt: skip
matmul_heuristic_result_dtype = np.dtype(
    [
        ("algo", [("data_", "<u8", (8,))]), ("workspace_size", "<u8"), ("state", "<i4"),
        ("waves_count", "<f4"), ("reserved", "<i4", (4,)),
    ]
)  # fmt: skip
# without which nothing is advised: nvmath-python sets them, to 0x1 if need be ("to bypass the cuBLAS check")
AUX, BIAS = "EPILOGUE_AUX_POINTER", "BIAS_POINTER"
POINTERS = {"BIAS": [BIAS], "GELU_AUX_BIAS": [BIAS, AUX], "DGELU": [AUX], "BGRADA": [BIAS]}

_things, _numbers = {}, itertools.count(1)


def _new(thing):
    number = next(_numbers)
    _things[number] = thing
    return number


def create():
    return _new("handle")


def matmul_desc_create(compute_type, scale_type):
    if scale_type != 0 or compute_type not in (FULL, TF32):
        raise invalid(f"compute type {compute_type}, scale type {scale_type}")
    return _new({"compute": compute_type, "TRANSA": 0, "TRANSB": 0, "EPILOGUE": 1, "BIAS_DATA_TYPE": -1})


def get_matmul_desc_attribute_dtype(attr):
    return DESCRIPTION[MatmulDescAttribute(attr).name]


def matmul_desc_set_attribute(matmul_desc, attr, buf, size_in_bytes):
    name = MatmulDescAttribute(attr).name
    _things[matmul_desc][name] = _read(buf, size_in_bytes, DESCRIPTION[name])


def matrix_layout_create(type, rows, cols, ld):
    if ld < rows:
        raise invalid(f"leading dimension {ld} of {rows} rows")
    return _new((type, rows, cols, ld))


def matmul_preference_create():
    return _new({"MAX_WORKSPACE_BYTES": 0} | dict.fromkeys("ABCD", DEFAULT_ALIGNMENT))


def get_matmul_preference_attribute_dtype(attr):
    return np.uint64 if attr == MatmulPreferenceAttribute.MAX_WORKSPACE_BYTES else np.uint32


def matmul_preference_set_attribute(pref, attr, buf, size_in_bytes):
    name = MatmulPreferenceAttribute(attr).name
    key = name if name == "MAX_WORKSPACE_BYTES" else name.removeprefix("MIN_ALIGNMENT_")[0]
    _things[pref][key] = _read(buf, size_in_bytes, get_matmul_preference_attribute_dtype(attr))


def _read(buf, size, dtype):
    if size != np.dtype(dtype).itemsize:
        raise invalid(f"{size} bytes for {dtype}")
    return np.frombuffer((ctypes.c_byte * size).from_address(buf), dtype)[0].item()


def matmul_algo_get_heuristic(
    light_handle, operation_desc, adesc, bdesc, cdesc, ddesc, preference, requested_algo_count,
    heuristic_results_array, return_algo_count,
):  # fmt: skip
    """One algorithm, good for pointers aligned as the preference promises; none for epilogues in REFUSE."""
    assert _things[light_handle] == "handle"
    assert requested_algo_count >= 1
    desc, wanted = _things[operation_desc], _things[preference]
    layouts = [_things[one] for one in (adesc, bdesc, cdesc, ddesc)]
    _check(desc, layouts)
    needed = POINTERS.get(Epilogue(desc["EPILOGUE"]).name, ())
    if missing := [name for name in needed if not desc.get(name)]:
        raise invalid(f"no {missing[0]}")
    if Epilogue(desc["EPILOGUE"]).name in REFUSE:
        raise cuBLASLtError(NOT_SUPPORTED, "no algorithm")
    memory = (ctypes.c_byte * matmul_heuristic_result_dtype.itemsize).from_address(heuristic_results_array)
    found = np.frombuffer(memory, matmul_heuristic_result_dtype)[0]
    found["workspace_size"] = wanted["MAX_WORKSPACE_BYTES"]
    found["state"] = NOT_SUPPORTED if Epilogue(desc["EPILOGUE"]).name in UNUSABLE else 0
    alignments = [wanted[name] for name in "ABCD"]
    space = wanted["MAX_WORKSPACE_BYTES"]  # all of it is needed
    found["algo"]["data_"][:] = [ALGORITHM, _fingerprint(desc, layouts), *alignments, space, 0]
    ctypes.c_int32.from_address(return_algo_count).value = 1


def _fingerprint(desc, layouts):
    """What an algorithm is good for: everything but where the numbers are."""
    kept = {name: value for name, value in desc.items() if not name.endswith("POINTER")}
    return hash((tuple(sorted(kept.items())), tuple(layouts))) % 2**63


def _check(desc, layouts):
    """Sizes and types that fit together, what an epilogue needs."""
    a, b, c, d = layouts
    (m, k), (k_too, n) = (
        (cols, rows) if desc[trans] else (rows, cols)
        for trans, (_, rows, cols, _) in (("TRANSA", a), ("TRANSB", b))
    )
    if k != k_too or d[1:3] != (m, n) or c[:3] != d[:3]:
        raise invalid(f"{m} x {k} times {k_too} x {n}, added {c}, to {d}")
    if a[0] != b[0] or d[0] not in RESULTS.get((a[0], desc["compute"]), ()):
        raise cuBLASLtError(NOT_SUPPORTED, f"types {a[0]}, {b[0]} to {d[0]}")
    epilogue = Epilogue(desc["EPILOGUE"])
    if epilogue != Epilogue.DEFAULT and desc["BIAS_DATA_TYPE"] not in (-1, d[0]):
        raise cuBLASLtError(NOT_SUPPORTED, f"bias of type {desc['BIAS_DATA_TYPE']} with {d[0]}")
    if epilogue in (Epilogue.GELU_AUX_BIAS, Epilogue.DGELU):
        ld = desc.get("EPILOGUE_AUX_LD", 0)
        if ld < m or ld % 8 or desc.get("EPILOGUE_AUX_DATA_TYPE", d[0]) != d[0]:
            raise invalid(f"auxiliary matrix: leading dimension {ld} for {m} rows, or its type")


def matmul(
    light_handle, compute_desc, alpha, a, adesc, b, bdesc, beta, c, cdesc, d, ddesc, algo, workspace,
    workspace_size_in_bytes, stream,
):  # fmt: skip
    """D = epilogue(alpha * op(A) @ op(B) + beta * C); sums in float64, rounded to float32, finished there."""
    assert _things[light_handle] == "handle"
    desc, layouts = _things[compute_desc], [_things[one] for one in (adesc, bdesc, cdesc, ddesc)]
    _check(desc, layouts)
    _check_algorithm(algo, _fingerprint(desc, layouts), (a, b, c, d), workspace, workspace_size_in_bytes)
    epilogue = Epilogue(desc["EPILOGUE"])
    LAUNCHES.append(f"product {epilogue.name}")
    STREAMS.append(stream)
    (_, m, n, _), compute = layouts[3], desc["compute"]
    k = layouts[0][1] if desc["TRANSA"] else layouts[0][2]
    left = operand(a, layouts[0][0], layouts[0][3], desc["TRANSA"], m, k)
    right = operand(b, layouts[1][0], layouts[1][3], desc["TRANSB"], k, n)
    sums = left.astype(np.float64).sum(axis=1).astype(np.float32)  # what BGRADA gives: over all of k
    if compute == TF32:
        left, right = cut(left), cut(right)
    alpha, beta = (np.float32(ctypes.c_float.from_address(one).value) for one in (alpha, beta))
    result = alpha * (left.astype(np.float64) @ right.astype(np.float64)).astype(np.float32)
    if beta:
        result = result + beta * column_major(c, layouts[2][0], layouts[2][3], m, n).astype(np.float32)
    out = column_major(d, layouts[3][0], layouts[3][3], m, n)
    out[...] = finished(epilogue, desc, result, sums, layouts[3][0])


def _check_algorithm(algo, fingerprint, addresses, workspace, size):
    """Raise unless the algorithm was advised for this product and for pointers aligned so."""
    memory = (ctypes.c_byte * 64).from_address(algo)
    name, good_for, *alignments, needed = np.frombuffer(memory, np.uint64)[:7].tolist()
    if (name, good_for) != (ALGORITHM, fingerprint):
        raise invalid("an algorithm that was advised for another product")
    for which, address, alignment in zip("ABCD", addresses, alignments, strict=True):
        if address % alignment:
            raise invalid(f"{which} lies at no multiple of {alignment} bytes")
    if workspace % 256 or size < needed:
        raise invalid(f"a workspace of {size} bytes, {needed} are needed, at {workspace}")

"""Every kernel that training GPT-2 launches compiles for an H100, and holds what it works on in registers."""

import pytest

from tests.support.cuda.nvrtc import CompileError, compile_for_h100, toolkit

pytestmark = pytest.mark.emulation  # what a compiler says is the same where a GPU is


def test_no_kernel_spills():
    try:
        toolkit()
    except CompileError as missing:
        pytest.skip(str(missing))
    from tests.kernels.cuda.registers import table

    rows = table()
    assert {row["kernel"] for row in rows} >= {
        "attention_forward",
        "layernorm_backward",
        "classifier",
        "adamw",
    }
    assert [row for row in rows if row["spilled"]] == []


def test_a_spill_and_a_mistake_would_be_seen():
    try:
        toolkit()
    except CompileError as missing:
        pytest.skip(str(missing))
    source = """extern "C" __global__ void __launch_bounds__(1024, 2) many(float* x) {
        float kept[64];
        for (int i = 0; i < 64; i++) kept[i] = x[i];
        __syncthreads();
        for (int i = 0; i < 64; i++) x[i] = kept[63 - i] * x[i + 64];
    }"""
    (usage,), _ = compile_for_h100(source, [])
    assert usage.spilled > 0
    with pytest.raises(CompileError, match="undefined"):
        compile_for_h100(source.replace("__syncthreads", "__syncthread"), [])

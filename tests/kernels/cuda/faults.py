"""Faults planted in copies of the kernels, one at a time: the tests of the kernel must notice each.

    python -m tests.kernels.cuda.faults [--save] [WORD ...]     all, or those whose file or text holds a WORD
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from bench.record import save_record

ROOT = Path(__file__).parents[3]
KERNELS = ROOT / "minigpt" / "kernels" / "cuda"
RECORDS = ROOT / "bench" / "records"


class Fault(NamedTuple):
    """In file, the text `old`, which is there once, becomes `new`; tests/kernels/cuda/test_`noticed_by` must fail."""

    file: str
    noticed_by: str
    old: str
    new: str


def faults(file, noticed_by, *changes):
    return [Fault(file, noticed_by, old, new) for old, new in changes]


FAULTS = [
    *faults(
        "common.cuh",
        "classifier",
        ("    __syncthreads();  // what an earlier call left has been read\n", ""),
        ("of_warp[warp] = x;\n    __syncthreads();", "of_warp[warp] = x;"),
        ("return lane < warps ? of_warp[lane] : none;", "return of_warp[lane];"),
        ("if (lane == 0) of_warp[warp] = x;", "of_warp[warp] = x;"),
        ("distance = WARP / 2; distance > 0; distance /= 2) x += ", "distance = WARP / 4; distance > 0; distance /= 2) x += "),
        ("distance = WARP / 2; distance > 0; distance /= 2) x = fmaxf", "distance = WARP / 2; distance > 1; distance /= 2) x = fmaxf"),
    ),
    *faults(
        "common.cuh",
        "sums",
        ("of_warp[warp][i][lane] = sum[i];\n    __syncthreads();", "of_warp[warp][i][lane] = sum[i];"),
        ("of_warp[warp][i][lane] = sum[i];\n    __syncthreads();", "of_warp[warp][i][lane] = sum[i];\n    __syncwarp();"),
        ("int w = 0; w < SUMMING_WARPS", "int w = 1; w < SUMMING_WARPS"),
        ("reinterpret_cast<const Packet<T>*>(from);", "reinterpret_cast<const Packet<T>*>(from + 1);"),
    ),
    *faults(
        "common.cuh",
        "adamw",
        ("if (count >= WIDTH) return load(x, from);", "return load(x, from);"),
        ("if (count >= WIDTH) return store(to, x);", "return store(to, x);"),
        ("if (count >= WIDTH) return store(to, x);", "if (count > WIDTH) return store(to, x);\n    count = count < 4 ? count : 3;"),
    ),
    *faults(
        "layernorm.cu",
        "layernorm",
        ("    if (row >= rows) return;\n", ""),
        ("        if (column >= C) continue;\n        load(values", "        load(values"),
        ("        if (column >= C) continue;\n        float g[WIDTH], b", "        float g[WIDTH], b"),
        ("        if ((round * WARP + lane) * WIDTH >= C) continue;\n", ""),
        ("as_stored(values[round][i] + more[i] + shift[i])", "values[round][i] + more[i] + shift[i]"),
        ("constexpr float EPS = 1e-5f;", "constexpr float EPS = 1e-6f;"),
        ("warp_sum(sum) / C;", "sum / C;"),
        ("warp_sum(squares) / C", "warp_sum(squares) / (C - 1)"),
        ("* scale) + b[i];", "* scale);"),
        ("        __syncthreads();  // one is enough", "        // one is enough"),
        ("        __syncthreads();  // one is enough", "        __syncwarp();  // one is enough"),
        ("row += gridDim.x, turn ^= 1", "row += gridDim.x"),
        ("row += gridDim.x, turn ^= 1", "row += gridDim.x + 1, turn ^= 1"),
        ("lane < warps ? of_warp[turn][0][lane] : 0.0f", "of_warp[turn][0][lane]"),
        ("lane < warps ? of_warp[turn][1][lane] : 0.0f", "of_warp[turn][0][lane]"),
        ("        if (dresidual) load", "        if (false) load"),
        ("            float out[WIDTH] = {};\n", "            float out[WIDTH];\n            out[0] = 1;\n"),
        ("- n[round][i] * mean_product", ""),
        ("dn[round][i] - mean_dn", "dn[round][i]"),
        ("dgain[round][i] += n[round][i] * d[i];", "dgain[round][i] += n[round][i] * dn[round][i];"),
        ("dbias[round][i] += d[i];", "dbias[round][i] += dn[round][i];"),
        ("store(mine + C + column, dbias[round]);", "store(mine + C + column, dgain[round]);"),
        ("(size_t)blockIdx.x * 4 * C", "(size_t)blockIdx.x * 3 * C"),
        ("                dlater_bias[round][i] += out[i];\n", ""),
        ("        if (column >= C) continue;\n        store(mine", "        store(mine"),
    ),
    *faults(
        "column_sum.cu",
        "sums",
        ("end = min(first + height, rows)", "end = first + height"),
        ("end = min(first + height, rows)", "end = min(first + height, rows - 1)"),
        ("(rows + gridDim.y - 1) / gridDim.y", "rows / gridDim.y"),
        ("    if (column < C) {\n        #pragma unroll 4\n        for (int row", "    {\n        #pragma unroll 4\n        for (int row"),
        ("if (warp == 0 && column < C) store", "if (column < C) store"),
        ("if (warp == 0 && column < C) store", "if (warp == 0) store"),
        ("if (warp == 0 && column < C) out", "if (warp == 0) out"),
        ("strip = warp; strip < strips", "strip = warp; strip < strips - 1"),
        ("add ? out[column] + sum[0] : sum[0]", "out[column] + sum[0]"),
        ("add ? out[column] + sum[0] : sum[0]", "sum[0]"),
    ),
    *faults(
        "column_sum.cu",
        "layernorm",
        ("    if (!out) return;  // the whole block\n", ""),
        ("gridDim.y + blockIdx.y) * C", "gridDim.y) * C"),
        ("blockIdx.y == 2 ? third_out : fourth_out", "third_out"),
    ),
    *faults(
        "gelu.cu",
        "gelu",
        ("    if (column >= C) return;\n", ""),
        ("constexpr float CUBIC = 0.044715f;", "constexpr float CUBIC = 0.044716f;"),
        ("0.79788456080286536f", "0.797884f"),
        ("    float below = 1 + exponential(-2 * u);", "    return (1 + tanhf(u)) / 2;\n    float below = 1;"),
        ("    for (int i = 0; i < WIDTH; i++) h[i] += shift[i];", ""),
        ("* (1 - s) * slope", "* slope"),
        ("(1 + 3 * CUBIC * h[i] * h[i])", "(1 + CUBIC * h[i] * h[i])"),
        ("sum[i] += d[i];", "sum[i] += h[i];"),
        ("end = min(first + height, rows)", "end = first + height"),
        ("if (warp == 0 && column < C) store", "if (warp == 0) store"),
        ("size_t at = (size_t)row * C + column;", "size_t at = (size_t)row * C + column + 1;"),
    ),
    *faults(
        "bias.cu",
        "sums",
        ("    if (column >= C) return;\n    stored* here", "    stored* here"),
        ("    if (column >= C) return;\n    size_t here", "    size_t here"),
        ("values[i] += shift[i]", "values[i] = shift[i]"),
        ("+= more[i] + shift[i]", "+= more[i]"),
    ),
    *faults(
        "classifier.cu",
        "classifier",
        ("scored += targets[row] != IGNORED", "scored += 1"),
        ("if (target == IGNORED) {", "if (target == -2) {"),
        ("store(row + column, zeros);", "break;"),
        ("losses[blockIdx.x] = 0;", ";"),
        ("row_largest - chosen)", "row_largest - to_float(row[target]))"),
        ("            if (column + i >= n_vocab) z[i] = -INFINITY;\n", ""),
        ("        sum *= exponential(before - largest);", "        //"),
        ("sum * exponential(largest - row_largest)", "sum"),
        ("block_max(largest)", "warp_max(largest)"),
        ("    if (!gradient) return;\n", ""),
        ("logf(total) + row_largest", "logf(total)"),
        ("column + i < n_vocab ? weight", "true ? weight"),
        (" - (column + i == target)", ""),
        ("column < padded; column += stride) {\n        float z", "column < n_vocab; column += stride) {\n        float z"),
        ("dloss * *share", "dloss"),
        ("sum += losses[row];", "sum = losses[row];"),
    ),
    *faults(
        "embedding.cu",
        "embedding",
        ("    if (column >= C) return;\n", ""),
        ("wpe + (size_t)(blockIdx.x % T)", "wpe + (size_t)(blockIdx.x / T)"),
        ("    if (first > 0 && tokens[order[first - 1]] == token) return;  // the whole block\n", ""),
        ("if (tokens[order[middle]] == token) last = middle;", "if (tokens[order[middle]] == token) last = middle + 1;"),
        ("k <= last;", "k < last;"),
        ("dx + order[k] * C", "dx + k * C"),
        ("row[i] += sum[i];", "row[i] = sum[i];"),
        ("if (warp != 0 || column >= C) return;\n    float* row = dwte", "if (column >= C) return;\n    float* row = dwte"),
        ("if (warp != 0 || column >= C) return;\n    float* row = dwpe", "if (warp != 0) return;\n    float* row = dwpe"),
        ("if (column < C && t < T) {", "if (column < C) {"),
        ("b = warp; b < B", "b = warp; b < 8"),
        ("add ? row[i] + sum[i] : sum[i]", "sum[i]"),
    ),
    *faults(
        "adamw.cu",
        "adamw",
        ("sum += g[k] * g[k];", "sum += g[k];"),
        ("float g[WIDTH] = {};\n", "float g[WIDTH];\n        g[WIDTH - 1] = 1;\n"),
        ("i += stride) {", "i += stride + WIDTH) {"),
        ("sqrtf(sum)", "sum"),
        ("    if (!(*norm < INFINITY)) return;\n", ""),
        ("fminf(1, clip / (*norm + 1e-6f))", "clip / (*norm + 1e-6f)"),
        ("fminf(1, clip / (*norm + 1e-6f))", "fminf(1, clip / (*norm + 1e-3f))"),
        ("rest2 * clipped * clipped", "rest2 * clipped"),
        ("i + k < n_decayed", "i + k <= n_decayed"),
        ("m[k] / correction1", "m[k]"),
        ("v[k] / correction2", "v[k]"),
        ("store_first(second + i, v, count);", "store_first(second + i, m, count);"),
        ("store_first(copy + i, p, count);", "store_first(copy + i, m, count);"),
    ),
    *faults(
        "softmax.cu",
        "softmax",
        ("    if (row >= rows) return;\n    stored* here", "    stored* here"),
        ("column + i <= query ? scale", "column + i < query ? scale"),
        ("column + i <= query ? scale", "column + i <= query + 1 ? scale"),
        ("? scale * x[round][i]", "? x[round][i]"),
        ("exponential(x[round][i] - largest)", "exponential(x[round][i] - 1)"),
        ("        if (column < T) store(here", "        store(here"),
        ("        if (column < T) store(here", "        if (column <= query) store(here"),
        ("1 / warp_sum(sum)", "1 / sum"),
        ("if (column + i > query) p", "if (column + i > query + 1) p"),
        ("    sum = warp_sum(sum);\n", ""),
        ("(d[round][i] - sum)", "d[round][i]"),
        ("scale * p[round][i]", "p[round][i]"),
    ),
    *faults(
        "attention_tiles.cuh",
        "attention",
        ("(chunk ^ (row % 8)) * 8", "chunk * 8"),
        ("bool valid = first + row < T;", "bool valid = true;"),
        ("(valid ? first + row : 0) * stride", "(first + row) * stride"),
        ("row + lane / 16 * 8 + lane % 8, 2 * k + lane / 8 % 2", "row + lane % 16, 2 * k + lane / 16"),
        ("load_matrices_transposed(b,", "load_matrices(b,"),
        ("[2 * k + i / 2][i % 2 * 2], p", "[2 * k + i % 2][i / 2 * 2], p"),
        ("clear<M, N>(c);\n", ""),
        ("k < STEPS", "k < STEPS - 1"),
        ("    __syncwarp();  // all lanes have read what was in the tile\n", ""),
        ("    __syncwarp();\n    #pragma unroll\n    for (int i = 0; i < 4 * M", "    #pragma unroll\n    for (int i = 0; i < 4 * M"),
        ("        if (first + r >= T) continue;\n", ""),
    ),
    *faults(
        "attention_forward.cu",
        "attention",
        ("        wait_for_copies<0>();\n", ""),
        ("wait_for_copies<0>", "wait_for_copies<1>"),
        ("        __syncthreads();  // this tile", "        // this tile"),
        ("        __syncthreads();  // this tile", "        __syncwarp();  // this tile"),
        ("passing + (tile + 1) % 2", "passing + tile % 2"),
        ("            commit_copies();\n        }", "        }"),
        ("if (tile + 1 < tiles) {", "{"),
        ("int tiles = (min(first_query + QUERIES, T) - 1) / TILE + 1;", "int tiles = min(first_query + QUERIES, T) / TILE;"),
        ("if (first_key > last_row) continue;", "if (first_key >= first_row && tile > 0) continue;"),
        ("if (first_key > last_row) continue;", "if (first_key > last_row || (t == 0 && tile == 1)) continue;"),
        ("if (first_key + TILE - 1 > first_row) {", "if (first_key + TILE - 1 > first_row + 64) {"),
        ("> ahead) s[m]", ">= ahead) s[m]"),
        ("> ahead) s[m]", "> ahead + 1) s[m]"),
        ("                now = fmaxf(now, __shfl_xor_sync(ALL_LANES, now, 2));\n", ""),
        ("out[m][n][i] *= shrink;", ""),
        ("sum[m][half] * shrink + more", "sum[m][half] + more"),
        ("            total += __shfl_xor_sync(ALL_LANES, total, 1);\n", ""),
        ("t == 0 && query < T", "query < T"),
        ("t == 0 && query < T", "t == 0"),
        ("largest[m][half] + logf(total)", "largest[m][half]"),
        ("scale * largest", "largest"),
        ("first_query = (gridDim.x - 1 - blockIdx.x)", "first_query = (gridDim.x - blockIdx.x)"),
        ("*v = k + H * HEAD;", "*v = k;"),
    ),
    *faults(
        "attention_backward.cu",
        "attention",
        ("    if (row >= rows || column != 0) return;", "    if (column != 0) return;"),
        ("distance = 4; distance", "distance = 2; distance"),
        ("        wait_for_copies<0>();\n        __syncthreads();  // this tile has come, for all; and all have done with the other "
         "place\n        if (tile + 1 < tiles) begin_copies(tile + 1);\n\n", "        __syncthreads();\n        if (tile + 1 < tiles) "
         "begin_copies(tile + 1);\n\n"),
        ("place\n        if (tile + 1 < tiles) begin_copies(tile + 1);\n\n", "place\n        if (tile + 1 < tiles) begin_copies(tile);\n\n"),
        ("        __syncthreads();  // this tile has come, for all; and all have done with the other place\n        if (tile + 1 < tiles) "
         "begin_copies(tile + 1);\n\n", "        if (tile + 1 < tiles) begin_copies(tile + 1);\n\n"),
        ("        __syncthreads();  // this tile has come, for all; and all have done with the other place\n        if (tile + 1 < tiles) "
         "begin_copies(tile + 1);\n        int first_key", "        if (tile + 1 < tiles) begin_copies(tile + 1);\n        int first_key"),
        ("query < T ? query : 0), query < T", "query), true"),
        ("(threadIdx.x < TILE ? lse : delta)", "(threadIdx.x < TILE ? lse : lse)"),
        ("if (first_query + PART - 1 < first_row) continue;", "if (first_query + PART - 1 < last_row) continue;"),
        ("bool diagonal = first_query < last_row;", "bool diagonal = first_query < first_row;"),
        ("(8 * n + i % 2) > ahead;", "(8 * n + i % 2) >= ahead;"),
        ("(8 * n + i % 2) > ahead;", "(8 * n + i % 2) > ahead + 1;"),
        ("(i % 2 ? l.y : l.x) * LOG2E", "(i / 2 ? l.y : l.x) * LOG2E"),
        ("(i % 2 ? d.y : d.x)", "d.x"),
        ("tile = first_tile; tile < tiles", "tile = first_tile; tile < tiles - (tiles > 1)"),
        ("first_tile = first_key / TILE", "first_tile = first_key / TILE + (first_key > 0)"),
        ("write_rows<M_KEYS>(dk, scales", "write_rows<M_KEYS>(dk, ones"),
        ("*dv_rows = dk_rows + H * HEAD", "*dv_rows = dk_rows"),
        ("query < T ? lse[", "true ? lse["),
        ("- row_delta[m][i / 2]", ""),
        ("- row_lse[m][i / 2]", "- row_lse[m][i % 2]"),
        ("(16 * m + 8 * (i / 2)) > ahead;  // key > query\n                    ds", "(16 * m + 8 * (i / 2)) > ahead + 1;\n                    ds"),
        ("if (first_key > last_row) continue;", "if (first_key >= first_row && first_key > 0) continue;"),
    ),
]  # fmt: skip


def try_one(fault):
    """(whether the tests fail, the first line that says why)."""
    with tempfile.TemporaryDirectory() as folder:
        sources = Path(folder) / "cuda"
        shutil.copytree(KERNELS, sources, ignore=shutil.ignore_patterns("__pycache__"))
        text = (sources / fault.file).read_text()
        if text.count(fault.old) != 1:
            return False, f"{fault.old!r} stands {text.count(fault.old)} times in {fault.file}"
        (sources / fault.file).write_text(text.replace(fault.old, fault.new))
        test = Path(__file__).with_name(f"test_{fault.noticed_by}.py")
        command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", str(test)]
        environment = os.environ | {"MINIGPT_KERNEL_SOURCES": str(sources)}
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    if "CalledProcessError" in done.stdout:
        return False, "it does not compile: " + (done.stderr + done.stdout)[-1500:]
    reasons = re.findall(r"^E\s+(?:\S*Error: )?(\S.*)$", done.stdout, re.MULTILINE)
    return done.returncode != 0, reasons[0][:200] if reasons else f"exit status {done.returncode}"


def main():
    words = [word for word in sys.argv[1:] if word != "--save"]
    chosen = [fault for fault in FAULTS if not words or any(word in fault.file + fault.old + fault.new for word in words)]
    missed, table = 0, []
    with ThreadPoolExecutor(2) as pool:
        for fault, (noticed, reason) in zip(chosen, pool.map(try_one, chosen), strict=True):
            missed += not noticed
            table.append({**fault._asdict(), "noticed": noticed, "by": reason})
            what = f"{' '.join(fault.old.split())[:60]!r} -> {' '.join(fault.new.split())[:50]!r}"
            print(f"{'noticed' if noticed else 'MISSED '} {fault.file}: {what}: {reason}", flush=True)
    print(f"{len(chosen) - missed} of {len(chosen)} faults noticed")
    if "--save" in sys.argv:
        print(save_record(RECORDS, "kernel-faults", {}, {"noticed": len(chosen) - missed, "planted": len(chosen), "faults": table}))
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())

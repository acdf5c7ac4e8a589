// Sums over rows, in two stages and always in the same order. Reference: dbias in minigpt/ops/linear.py.
//
//   column_sum_strips    partial[k, c] = sum of x[row, c] over the rows of strip k
//   column_sum_finish    out[c] = sum over k of partial[k, c], or that added to what out holds
//
// x (rows, C) stored, partial (strips, C) float, out (C) float.
#include "common.cuh"

// A lane owns WIDTH columns; warp w takes the strip's rows w, w + 8, ... Grid (ceil(C / (32 * WIDTH)), strips), block 256.
extern "C" __global__ void __launch_bounds__(256)
column_sum_strips(const stored* __restrict__ x, float* __restrict__ partial, int rows, int C) {
    int column = (blockIdx.x * WARP + threadIdx.x % WARP) * WIDTH, warp = threadIdx.x / WARP;
    int height = (rows + gridDim.y - 1) / gridDim.y, first = blockIdx.y * height, end = min(first + height, rows);
    float sum[WIDTH] = {};
    if (column < C) {
        #pragma unroll 4
        for (int row = first + warp; row < end; row += SUMMING_WARPS) {
            float values[WIDTH];
            load(values, x + (size_t)row * C + column);
            #pragma unroll
            for (int i = 0; i < WIDTH; i++) sum[i] += values[i];
        }
    }
    sum_over_warps(sum);
    if (warp == 0 && column < C) store(partial + (size_t)blockIdx.y * C + column, sum);
}

// Up to four sums of C columns lie side by side in partial (strips, sums, C): sum number blockIdx.y goes to its out, which
// may be null. Warp w takes the strips w, w + 8, ... of 32 columns. Grid (ceil(C / 32), sums), block 256. WIDTH is 1.
extern "C" __global__ void __launch_bounds__(256)
column_sum_finish(const float* __restrict__ partial, float* __restrict__ first_out, float* __restrict__ second_out,
                  float* __restrict__ third_out, float* __restrict__ fourth_out, int strips, int C, int add) {
    float* out = blockIdx.y == 0 ? first_out : blockIdx.y == 1 ? second_out : blockIdx.y == 2 ? third_out : fourth_out;
    if (!out) return;  // the whole block
    int column = blockIdx.x * WARP + threadIdx.x % WARP, warp = threadIdx.x / WARP;
    float sum[WIDTH] = {};
    if (column < C) {
        #pragma unroll 4
        for (int strip = warp; strip < strips; strip += SUMMING_WARPS)
            sum[0] += partial[((size_t)strip * gridDim.y + blockIdx.y) * C + column];
    }
    sum_over_warps(sum);
    if (warp == 0 && column < C) out[column] = add ? out[column] + sum[0] : sum[0];
}

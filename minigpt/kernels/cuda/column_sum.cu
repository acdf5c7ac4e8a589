// Sums over rows, in two stages and always in the same order. Reference: dbias in minigpt/ops/linear.py.
//
//   column_sum_strips    partial[k, c] = sum of x[row, c] over the rows of strip k
//   column_sum_finish    out[c] = sum over k of partial[k, c], or that added to what out holds
//
// x (rows, C) stored, partial (strips, C) float, out (C) float.
#include "common.cuh"

constexpr int WARPS = 8;

// A lane owns WIDTH columns; warp w takes the strip's rows w, w + 8, ... Grid (ceil(C / (32 * WIDTH)), strips), block 256.
extern "C" __global__ void __launch_bounds__(WARPS * WARP)
column_sum_strips(const stored* __restrict__ x, float* __restrict__ partial, int rows, int C) {
    __shared__ float of_warp[WARPS][WIDTH][WARP];
    int lane = threadIdx.x % WARP, warp = threadIdx.x / WARP;
    int column = (blockIdx.x * WARP + lane) * WIDTH;
    int height = (rows + gridDim.y - 1) / gridDim.y, first = blockIdx.y * height, end = min(first + height, rows);

    float sum[WIDTH] = {};
    if (column < C) {
        #pragma unroll 4
        for (int row = first + warp; row < end; row += WARPS) {
            float values[WIDTH];
            load(values, x + (size_t)row * C + column);
            #pragma unroll
            for (int i = 0; i < WIDTH; i++) sum[i] += values[i];
        }
    }
    #pragma unroll
    for (int i = 0; i < WIDTH; i++) of_warp[warp][i][lane] = sum[i];
    __syncthreads();
    if (warp != 0 || column >= C) return;
    #pragma unroll
    for (int i = 0; i < WIDTH; i++) {
        float total = 0;
        for (int w = 0; w < WARPS; w++) total += of_warp[w][i][lane];
        partial[(size_t)blockIdx.y * C + column + i] = total;
    }
}

// Up to three sums of C columns lie side by side in partial (strips, sums, C): sum number blockIdx.y goes to its out, which
// may be null. A warp takes 32 columns of the strips w, w + 8, ... Grid (ceil(C / 32), sums), block 256.
extern "C" __global__ void __launch_bounds__(WARPS * WARP)
column_sum_finish(const float* __restrict__ partial, float* __restrict__ first_out, float* __restrict__ second_out,
                  float* __restrict__ third_out, int strips, int C, int add) {
    __shared__ float of_warp[WARPS][WARP];
    float* out = blockIdx.y == 0 ? first_out : blockIdx.y == 1 ? second_out : third_out;
    if (!out) return;  // the whole block
    int lane = threadIdx.x % WARP, warp = threadIdx.x / WARP;
    int column = blockIdx.x * WARP + lane;

    float sum = 0;
    if (column < C) {
        #pragma unroll 4
        for (int strip = warp; strip < strips; strip += WARPS)
            sum += partial[((size_t)strip * gridDim.y + blockIdx.y) * C + column];
    }
    of_warp[warp][lane] = sum;
    __syncthreads();
    if (warp != 0 || column >= C) return;
    float total = 0;
    for (int w = 0; w < WARPS; w++) total += of_warp[w][lane];
    out[column] = add ? out[column] + total : total;
}

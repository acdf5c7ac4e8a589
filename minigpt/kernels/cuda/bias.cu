// Bias added to rows. Reference: `+ bias` in minigpt/ops/linear.py.
//
//   bias_add        x = x + bias
//   residual_add    s = x + (branch + bias)
//
// x, branch, s (rows, C) stored; bias (C) stored. Grid (rows, ceil(C / (WIDTH * block))).
#include "common.cuh"

extern "C" __global__ void __launch_bounds__(128) bias_add(stored* x, const stored* __restrict__ bias, int C) {
    int column = (blockIdx.y * blockDim.x + threadIdx.x) * WIDTH;
    if (column >= C) return;
    stored* here = x + (size_t)blockIdx.x * C + column;
    float values[WIDTH], shift[WIDTH];
    load(values, here);
    load(shift, bias + column);
    #pragma unroll
    for (int i = 0; i < WIDTH; i++) values[i] += shift[i];
    store(here, values);
}

extern "C" __global__ void __launch_bounds__(128)
residual_add(const stored* __restrict__ x, const stored* __restrict__ branch, const stored* __restrict__ bias,
             stored* __restrict__ s, int C) {
    int column = (blockIdx.y * blockDim.x + threadIdx.x) * WIDTH;
    if (column >= C) return;
    size_t here = (size_t)blockIdx.x * C + column;
    float values[WIDTH], more[WIDTH], shift[WIDTH];
    load(values, x + here);
    load(more, branch + here);
    load(shift, bias + column);
    #pragma unroll
    for (int i = 0; i < WIDTH; i++) values[i] += more[i] + shift[i];
    store(s + here, values);
}

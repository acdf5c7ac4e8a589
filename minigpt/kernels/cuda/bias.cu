// Bias added to rows. Reference: `+ bias` in minigpt/ops/linear.py.
//
//   x = x + bias        x (rows, C) stored, in place; bias (C) stored
#include "common.cuh"

// Grid (rows, ceil(C / (WIDTH * block))).
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

// Bias and GELU, tanh form. Reference: minigpt/ops/gelu.py.
//
//   h = x + bias        u = SLOPE * (h + CUBIC * h^3)        s = sigmoid(2 u) = (1 + tanh(u)) / 2
//   forward    y = h * s
//   backward   dh = dy * (s + h * 2 * s * (1 - s) * du/dh),  du/dh = SLOPE * (1 + 3 * CUBIC * h^2)
//              dbias = sum over rows of dh
//
// 1 + tanh(u) would lose its digits far left, where tanh(u) is near -1; the sigmoid keeps them.
//
// x, y, dy, dh (rows, C) stored, bias (C) stored or null; y may be x, and dh may be dy.
#include "common.cuh"

constexpr float SLOPE = 0.79788456080286536f;  // sqrt(2 / pi)
constexpr float CUBIC = 0.044715f;

__device__ __forceinline__ float sigmoid_of_twice(float u) {
    float below = 1 + exponential(-2 * u);  // may be infinite: 0 then
    return ROUNDED ? __fdividef(1, below) : 1 / below;
}

// h of WIDTH neighbouring columns.
__device__ __forceinline__ void biased(float (&h)[WIDTH], const stored* x, const stored* bias) {
    float shift[WIDTH] = {};
    load(h, x);
    if (bias) load(shift, bias);
    #pragma unroll
    for (int i = 0; i < WIDTH; i++) h[i] += shift[i];
}

// Grid (rows, ceil(C / (WIDTH * block))): rows first, because only that side of a grid may be longer than 65,535.
extern "C" __global__ void __launch_bounds__(128)
bias_gelu_forward(const stored* x, const stored* __restrict__ bias, stored* y, int C) {
    int column = (blockIdx.y * blockDim.x + threadIdx.x) * WIDTH;
    if (column >= C) return;
    size_t at = (size_t)blockIdx.x * C + column;
    float h[WIDTH];
    biased(h, x + at, bias ? bias + column : bias);
    #pragma unroll
    for (int i = 0; i < WIDTH; i++) h[i] *= sigmoid_of_twice(SLOPE * (h[i] + CUBIC * h[i] * h[i] * h[i]));
    store(y + at, h);
}

// Strips of rows as in column_sum.cu: partial (strips, C) float holds each strip's part of dbias.
// Grid (ceil(C / (32 * WIDTH)), strips), block 256.
extern "C" __global__ void __launch_bounds__(256)
bias_gelu_backward(const stored* __restrict__ x, const stored* __restrict__ bias, const stored* dy, stored* dh,
                   float* __restrict__ partial, int rows, int C) {
    int column = (blockIdx.x * WARP + threadIdx.x % WARP) * WIDTH, warp = threadIdx.x / WARP;
    int height = (rows + gridDim.y - 1) / gridDim.y, first = blockIdx.y * height, end = min(first + height, rows);
    float sum[WIDTH] = {};
    if (column < C) {
        #pragma unroll 2
        for (int row = first + warp; row < end; row += SUMMING_WARPS) {
            size_t at = (size_t)row * C + column;
            float h[WIDTH], d[WIDTH];
            biased(h, x + at, bias ? bias + column : bias);
            load(d, dy + at);
            #pragma unroll
            for (int i = 0; i < WIDTH; i++) {
                float s = sigmoid_of_twice(SLOPE * (h[i] + CUBIC * h[i] * h[i] * h[i]));
                float slope = SLOPE * (1 + 3 * CUBIC * h[i] * h[i]);
                d[i] *= s + h[i] * 2 * s * (1 - s) * slope;
                sum[i] += d[i];
            }
            store(dh + at, d);
        }
    }
    sum_over_warps(sum);
    if (warp == 0 && column < C) store(partial + (size_t)blockIdx.y * C + column, sum);
}

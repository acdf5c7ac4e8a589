// Causal softmax over scores that are written out. Reference: minigpt/ops/attention.py.
//
//   forward    probs[i, j] = exp(scale * s[i, j]) / sum over j' <= i of exp(scale * s[i, j']),  0 for j > i
//   backward   ds[i, j] = scale * probs[i, j] * (dprobs[i, j] - sum over j' of probs[i, j'] * dprobs[i, j']),  0 for j > i
//
// s, probs, dprobs, ds (B*H*T, T) stored; probs is written over s, and ds over dprobs. What stands above the diagonal is
// not read. A warp a row, which it keeps in registers: ROUNDS packets a lane. Grid ceil(rows / warps), block 32 * warps.
#include "common.cuh"

extern "C" __global__ void __launch_bounds__(128) softmax_forward(stored* scores, int rows, int T, float scale) {
    int lane = threadIdx.x % WARP, row = blockIdx.x * (blockDim.x / WARP) + threadIdx.x / WARP, query = row % T;
    if (row >= rows) return;
    stored* here = scores + (size_t)row * T;

    float x[ROUNDS][WIDTH], largest = -INFINITY;
    #pragma unroll
    for (int round = 0; round < ROUNDS; round++) {
        int column = (round * WARP + lane) * WIDTH;
        if (column <= query) load(x[round], here + column);
        #pragma unroll
        for (int i = 0; i < WIDTH; i++) {
            x[round][i] = column + i <= query ? scale * x[round][i] : -INFINITY;
            largest = fmaxf(largest, x[round][i]);
        }
    }
    largest = warp_max(largest);

    float sum = 0;
    #pragma unroll
    for (int round = 0; round < ROUNDS; round++)
        #pragma unroll
        for (int i = 0; i < WIDTH; i++) {
            x[round][i] = exponential(x[round][i] - largest);
            sum += x[round][i];
        }
    float share = 1 / warp_sum(sum);

    #pragma unroll
    for (int round = 0; round < ROUNDS; round++) {
        int column = (round * WARP + lane) * WIDTH;
        #pragma unroll
        for (int i = 0; i < WIDTH; i++) x[round][i] *= share;
        if (column < T) store(here + column, x[round]);
    }
}

extern "C" __global__ void __launch_bounds__(128)
softmax_backward(stored* dprobs, const stored* __restrict__ probs, int rows, int T, float scale) {
    int lane = threadIdx.x % WARP, row = blockIdx.x * (blockDim.x / WARP) + threadIdx.x / WARP, query = row % T;
    if (row >= rows) return;
    size_t start = (size_t)row * T;

    float p[ROUNDS][WIDTH], d[ROUNDS][WIDTH], sum = 0;
    #pragma unroll
    for (int round = 0; round < ROUNDS; round++) {
        int column = (round * WARP + lane) * WIDTH;
        if (column <= query) {
            load(p[round], probs + start + column);
            load(d[round], dprobs + start + column);
        }
        #pragma unroll
        for (int i = 0; i < WIDTH; i++) {
            if (column + i > query) p[round][i] = d[round][i] = 0;
            sum += p[round][i] * d[round][i];
        }
    }
    sum = warp_sum(sum);

    #pragma unroll
    for (int round = 0; round < ROUNDS; round++) {
        int column = (round * WARP + lane) * WIDTH;
        #pragma unroll
        for (int i = 0; i < WIDTH; i++) d[round][i] = scale * p[round][i] * (d[round][i] - sum);
        if (column < T) store(dprobs + start + column, d[round]);
    }
}

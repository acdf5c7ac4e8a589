// The length of the flat gradient, and AdamW on flat buffers. Reference: minigpt/optim.py.
//
//   norm   = sqrt(sum of g^2)
//   g'     = g * min(1, clip / (norm + 1e-6))              clip infinite: no clipping
//   first  = beta1 * first  + (1 - beta1) * g'             second = beta2 * second + (1 - beta2) * g'^2
//   params = params - lr * (first / correction1 / (sqrt(second / correction2) + eps) + weight_decay * params)
//
// with correction = 1 - beta^step; weight decay for the first n_decayed parameters only. A norm that is not a finite
// number changes nothing (minigpt/guard.py). grads, params, first, second (n) float; copy (n) stored, or null: the rounded
// new params. The norm stays on the device.
#include "common.cuh"

// partial[block] = sum of squares of the packets that this block takes in turn. Any grid, block 512.
extern "C" __global__ void __launch_bounds__(512)
norm_partial(const float* __restrict__ grads, float* __restrict__ partial, long long n) {
    float sum = 0;
    long long stride = (long long)gridDim.x * blockDim.x * WIDTH;
    #pragma unroll 4
    for (long long i = ((long long)blockIdx.x * blockDim.x + threadIdx.x) * WIDTH; i < n; i += stride) {
        float g[WIDTH] = {};
        load_first(g, grads + i, n - i);
        #pragma unroll
        for (int k = 0; k < WIDTH; k++) sum += g[k] * g[k];
    }
    sum = block_sum(sum);
    if (threadIdx.x == 0) partial[blockIdx.x] = sum;
}

// One block.
extern "C" __global__ void __launch_bounds__(1024)
norm_finish(const float* __restrict__ partial, float* __restrict__ norm, int parts) {
    float sum = 0;
    for (int i = threadIdx.x; i < parts; i += blockDim.x) sum += partial[i];
    sum = block_sum(sum);
    if (threadIdx.x == 0) *norm = sqrtf(sum);
}

// Grid ceil(n / (WIDTH * block)).
extern "C" __global__ void __launch_bounds__(256)
adamw(float* __restrict__ params, const float* __restrict__ grads, float* __restrict__ first, float* __restrict__ second,
      stored* __restrict__ copy, const float* __restrict__ norm, long long n, long long n_decayed, float clip, float lr,
      float beta1, float rest1, float beta2, float rest2, float correction1, float correction2, float eps,
      float weight_decay) {
    long long i = ((long long)blockIdx.x * blockDim.x + threadIdx.x) * WIDTH, count = n - i;
    if (!(*norm < INFINITY)) return;
    float scale = fminf(1, clip / (*norm + 1e-6f));
    float p[WIDTH] = {}, g[WIDTH] = {}, m[WIDTH] = {}, v[WIDTH] = {};
    load_first(p, params + i, count);
    load_first(g, grads + i, count);
    load_first(m, first + i, count);
    load_first(v, second + i, count);
    #pragma unroll
    for (int k = 0; k < WIDTH; k++) {
        float clipped = scale * g[k];
        m[k] = beta1 * m[k] + rest1 * clipped;
        v[k] = beta2 * v[k] + rest2 * clipped * clipped;
        float decay = i + k < n_decayed ? weight_decay * p[k] : 0;
        p[k] -= lr * (m[k] / correction1 / (sqrtf(v[k] / correction2) + eps) + decay);
    }
    store_first(params + i, p, count);
    store_first(first + i, m, count);
    store_first(second + i, v, count);
    if (copy) store_first(copy + i, p, count);
}

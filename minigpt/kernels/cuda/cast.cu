// Between float32 and the storage type. Reference: astype.
//
//   narrow    to = x rounded, ties to even            widen    to = x, exactly
#include "common.cuh"

// Grid ceil(n / (WIDTH * block)).
extern "C" __global__ void __launch_bounds__(256) narrow(const float* __restrict__ x, stored* __restrict__ to, long long n) {
    long long i = ((long long)blockIdx.x * blockDim.x + threadIdx.x) * WIDTH;
    float values[WIDTH] = {};
    load_first(values, x + i, n - i);
    store_first(to + i, values, n - i);
}

extern "C" __global__ void __launch_bounds__(256) widen(const stored* __restrict__ x, float* __restrict__ to, long long n) {
    long long i = ((long long)blockIdx.x * blockDim.x + threadIdx.x) * WIDTH;
    float values[WIDTH] = {};
    load_first(values, x + i, n - i);
    store_first(to + i, values, n - i);
}

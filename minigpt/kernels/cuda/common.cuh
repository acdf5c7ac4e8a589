// What the kernels share: how numbers are stored, loads of 16 bytes, and sums in a fixed order.
//
// Given when a file is compiled (module.py):
//   STORED  how activations and weights lie in memory: __nv_bfloat16 or float. Arithmetic is always in float.
//   WIDTH   how many neighbouring elements a thread moves at once: 16 bytes' worth, or 1 where rows do not begin on
//           multiples of 16 bytes.
#include <cuda_bf16.h>

typedef STORED stored;
constexpr bool ROUNDED = sizeof(stored) == 2;  // what is written is rounded to 8 bits: approximate exp is exact enough

#ifndef INFINITY  // nvrtc has no <cmath>
#define INFINITY __int_as_float(0x7f800000)
#endif

constexpr int WARP = 32;
constexpr unsigned ALL_LANES = 0xffffffff;

__device__ __forceinline__ float to_float(float x) { return x; }
__device__ __forceinline__ float to_float(__nv_bfloat16 x) { return __bfloat162float(x); }
__device__ __forceinline__ void round_to(float& to, float x) { to = x; }
__device__ __forceinline__ void round_to(__nv_bfloat16& to, float x) { to = __float2bfloat16(x); }

// x as it will be read back once it has been stored.
__device__ __forceinline__ float as_stored(float x) {
    stored kept;
    round_to(kept, x);
    return to_float(kept);
}

// WIDTH elements that are moved together, in one instruction where they are 16 (or 8, or 4) bytes.
template <class T> struct alignas(WIDTH * sizeof(T)) Packet { T at[WIDTH]; };

template <class T> __device__ __forceinline__ void load(float (&x)[WIDTH], const T* from) {
    Packet<T> packet = *reinterpret_cast<const Packet<T>*>(from);
    #pragma unroll
    for (int i = 0; i < WIDTH; i++) x[i] = to_float(packet.at[i]);
}

template <class T> __device__ __forceinline__ void store(T* to, const float (&x)[WIDTH]) {
    Packet<T> packet;
    #pragma unroll
    for (int i = 0; i < WIDTH; i++) round_to(packet.at[i], x[i]);
    *reinterpret_cast<Packet<T>*>(to) = packet;
}

// The same for the last elements of an array of any length: only the first `count` are there, if any.
template <class T> __device__ __forceinline__ void load_first(float (&x)[WIDTH], const T* from, long long count) {
    if (count >= WIDTH) return load(x, from);
    for (int i = 0; i < count; i++) x[i] = to_float(from[i]);
}
template <class T> __device__ __forceinline__ void store_first(T* to, const float (&x)[WIDTH], long long count) {
    if (count >= WIDTH) return store(to, x);
    for (int i = 0; i < count; i++) round_to(to[i], x[i]);
}

// exp(x) to 2 units in the last place, or, where the result will be rounded to bfloat16, to 2 + |1.16 x|.
__device__ __forceinline__ float exponential(float x) { return ROUNDED ? __expf(x) : expf(x); }

// The sum (the largest) of x over the 32 lanes, the same bits in each: in every step both partners add the same two.
__device__ __forceinline__ float warp_sum(float x) {
    #pragma unroll
    for (int distance = WARP / 2; distance > 0; distance /= 2) x += __shfl_xor_sync(ALL_LANES, x, distance);
    return x;
}
__device__ __forceinline__ float warp_max(float x) {
    #pragma unroll
    for (int distance = WARP / 2; distance > 0; distance /= 2) x = fmaxf(x, __shfl_xor_sync(ALL_LANES, x, distance));
    return x;
}

// What each warp of a block brings: lane i gets that of warp i, or `none` if there are fewer. Every thread must call it.
__device__ __forceinline__ float of_all_warps(float x, float none) {
    __shared__ float of_warp[WARP];
    int lane = threadIdx.x % WARP, warp = threadIdx.x / WARP, warps = blockDim.x / WARP;
    __syncthreads();  // what an earlier call left has been read
    if (lane == 0) of_warp[warp] = x;
    __syncthreads();
    return lane < warps ? of_warp[lane] : none;
}
__device__ __forceinline__ float block_sum(float x) { return warp_sum(of_all_warps(warp_sum(x), 0)); }
__device__ __forceinline__ float block_max(float x) { return warp_max(of_all_warps(warp_max(x), -INFINITY)); }

// Adds up, in the order of the warps, what the lanes of SUMMING_WARPS warps hold; the first warp gets the sums.
constexpr int SUMMING_WARPS = 8;
__device__ __forceinline__ void sum_over_warps(float (&sum)[WIDTH]) {
    __shared__ float of_warp[SUMMING_WARPS][WIDTH][WARP];
    int lane = threadIdx.x % WARP, warp = threadIdx.x / WARP;
    #pragma unroll
    for (int i = 0; i < WIDTH; i++) of_warp[warp][i][lane] = sum[i];
    __syncthreads();
    if (warp != 0) return;
    #pragma unroll
    for (int i = 0; i < WIDTH; i++) {
        float total = 0;
        #pragma unroll
        for (int w = 0; w < SUMMING_WARPS; w++) total += of_warp[w][i][lane];
        sum[i] = total;
    }
}

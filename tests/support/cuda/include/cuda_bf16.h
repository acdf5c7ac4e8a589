// CUDA's vocabulary for a C++ compiler, as far as the kernels use it. See tests/support/cuda/engine.h.
#pragma once
#include <math.h>
#include <string.h>
#include "../engine.h"

#define PTX_EMULATED
#define __global__
#define __device__ static
#define __forceinline__ inline
#define __launch_bounds__(...)
#define __restrict__
#define __shared__ static __attribute__((section("shared_memory")))  // one section: engine.cpp spoils it before each block

#define threadIdx (emulated::thread_index())
#define blockIdx (emulated::block_index())
#define blockDim (emulated::block_size())
#define gridDim (emulated::grid_size())

inline int min(int a, int b) { return a < b ? a : b; }
inline int max(int a, int b) { return a > b ? a : b; }
inline long long min(long long a, long long b) { return a < b ? a : b; }

struct alignas(8) float2 { float x, y; };
struct alignas(16) uint4 { unsigned x, y, z, w; };

template <class To, class From> To same_bits(From from) {
    static_assert(sizeof(To) == sizeof(From), "as many bits");
    To to;
    memcpy(&to, &from, sizeof(To));
    return to;
}
inline float __uint_as_float(unsigned bits) { return same_bits<float>(bits); }
inline unsigned __float_as_uint(float x) { return same_bits<unsigned>(x); }
inline float __int_as_float(int bits) { return same_bits<float>(bits); }
inline float rsqrtf(float x) { return 1 / sqrtf(x); }
inline float __expf(float x) { return expf(x); }
inline float __fdividef(float x, float y) { return x / y; }

inline void __syncthreads() { emulated::block_barrier(); }
inline void __syncwarp() { emulated::warp_barrier(); }
inline float __shfl_xor_sync(unsigned, float x, int distance) {
    return __uint_as_float(emulated::shuffle_xor(__float_as_uint(x), distance));
}

// bfloat16: the upper half of a float, rounded to nearest, ties to even.
struct __nv_bfloat16 { unsigned short bits; };
inline float __bfloat162float(__nv_bfloat16 x) { return __uint_as_float((unsigned)x.bits << 16); }
inline __nv_bfloat16 __float2bfloat16(float x) {
    unsigned bits = __float_as_uint(x);
    if (x != x) return {0x7fff};
    return {(unsigned short)((bits + 0x7fff + (bits >> 16 & 1)) >> 16)};
}

struct alignas(4) __nv_bfloat162 { __nv_bfloat16 x, y; };
inline __nv_bfloat162 __floats2bfloat162_rn(float x, float y) { return {__float2bfloat16(x), __float2bfloat16(y)}; }

// What minigpt/kernels/cuda/ptx.cuh holds for a GPU.
template <class T> inline T* dynamic_shared() { return (T*)emulated::dynamic_shared_memory(); }
inline void load_matrices(unsigned (&out)[4], const void* row) { emulated::load_matrices(out, row, false); }
inline void load_matrices_transposed(unsigned (&out)[4], const void* row) { emulated::load_matrices(out, row, true); }
inline void multiply_add(float (&d)[4], const unsigned (&a)[4], unsigned b0, unsigned b1) { emulated::multiply_add(d, a, b0, b1); }
inline void begin_copy_16(void* to, const void* from, bool valid) { emulated::begin_copy(to, from, 16, valid); }
inline void begin_copy_4(void* to, const void* from, bool valid) { emulated::begin_copy(to, from, 4, valid); }
inline void commit_copies() { emulated::commit_copies(); }
template <int GROUPS> inline void wait_for_copies() { emulated::wait_for_copies(GROUPS); }
inline float power_of_two(float x) { return exp2f(x); }

// Token and position embedding. Reference: minigpt/ops/embedding.py.
//
//   forward    x[b, t] = wte[tokens[b, t]] + wpe[t]
//   backward   dwte[v] += sum of dx[b, t] over the places of token v        dwpe[t] = sum over b of dx[b, t]
//
// tokens (B*T) int, checked before they came to the GPU; wte (V, C), wpe (N, C), x, dx (B*T, C) stored;
// dwte (V, C), dwpe (N, C) float, at any address.
#include "common.cuh"

// Grid (B*T, ceil(C / (WIDTH * block))).
extern "C" __global__ void __launch_bounds__(128)
embedding_forward(const int* __restrict__ tokens, const stored* __restrict__ wte, const stored* __restrict__ wpe,
                  stored* __restrict__ x, int T, int C) {
    int column = (blockIdx.y * blockDim.x + threadIdx.x) * WIDTH;
    if (column >= C) return;
    float token[WIDTH], position[WIDTH];
    load(token, wte + (size_t)tokens[blockIdx.x] * C + column);
    load(position, wpe + (size_t)(blockIdx.x % T) * C + column);
    #pragma unroll
    for (int i = 0; i < WIDTH; i++) token[i] += position[i];
    store(x + (size_t)blockIdx.x * C + column, token);
}

// order: the places 0 .. n-1 sorted by their token, equal ones as they come. Block k of grid (n, ceil(C / (32 * WIDTH)))
// has work if place order[k] is the first of its token: it then adds up all places of that token, warp w every eighth.
extern "C" __global__ void __launch_bounds__(256)
embedding_backward_tokens(const stored* __restrict__ dx, const int* __restrict__ tokens,
                          const long long* __restrict__ order, float* __restrict__ dwte, int n, int C) {
    int first = blockIdx.x, token = tokens[order[first]];
    if (first > 0 && tokens[order[first - 1]] == token) return;  // the whole block
    int last = first, past = n;  // the last place of the token lies in [last, past): halve that until one is left
    if (first + 1 < n && tokens[order[first + 1]] != token) past = first + 1;  // most tokens are alone
    while (past - last > 1) {
        int middle = last + (past - last) / 2;
        if (tokens[order[middle]] == token) last = middle;
        else past = middle;
    }

    int column = (blockIdx.y * WARP + threadIdx.x % WARP) * WIDTH, warp = threadIdx.x / WARP;
    float sum[WIDTH] = {};
    if (column < C) {
        #pragma unroll 4
        for (int k = first + warp; k <= last; k += SUMMING_WARPS) {
            float d[WIDTH];
            load(d, dx + order[k] * C + column);
            #pragma unroll
            for (int i = 0; i < WIDTH; i++) sum[i] += d[i];
        }
    }
    sum_over_warps(sum);
    if (warp != 0 || column >= C) return;
    float* row = dwte + (size_t)token * C + column;
    #pragma unroll
    for (int i = 0; i < WIDTH; i++) row[i] += sum[i];
}

// Grid (positions, ceil(C / (32 * WIDTH))), block 256; positions from T on were not used: their gradient is 0.
extern "C" __global__ void __launch_bounds__(256)
embedding_backward_positions(const stored* __restrict__ dx, float* __restrict__ dwpe, int B, int T, int C, int add) {
    int t = blockIdx.x, column = (blockIdx.y * WARP + threadIdx.x % WARP) * WIDTH, warp = threadIdx.x / WARP;
    float sum[WIDTH] = {};
    if (column < C && t < T) {
        #pragma unroll 4
        for (int b = warp; b < B; b += SUMMING_WARPS) {
            float d[WIDTH];
            load(d, dx + ((size_t)b * T + t) * C + column);
            #pragma unroll
            for (int i = 0; i < WIDTH; i++) sum[i] += d[i];
        }
    }
    sum_over_warps(sum);
    if (warp != 0 || column >= C) return;
    float* row = dwpe + (size_t)t * C + column;
    #pragma unroll
    for (int i = 0; i < WIDTH; i++) row[i] = add ? row[i] + sum[i] : sum[i];
}

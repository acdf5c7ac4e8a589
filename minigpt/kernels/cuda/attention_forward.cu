// Causal attention without the (T, T) matrix (Dao et al. 2022, arXiv:2205.14135). Reference: minigpt/ops/attention.py.
//
//   s[i, j] = scale * q[i] . k[j]  for j <= i        probs = softmax(s)        y[i] = sum_j probs[i, j] v[j]
//   lse[i]  = log(sum_j exp(s[i, j])), all that backward needs to make probs again
//
// qkv (B, T, 3, H, 64), y (B, T, H, 64) stored as bfloat16, lse (B, H, T) float.
//
// A block holds QUERIES rows of q of one head, a warp 16 * M of them, and keys and values pass through in tiles of 64. For
// each row it keeps the largest score so far, and sums relative to it; a tile with a larger one shrinks what was summed:
//
//   largest' = max(largest, max_j s[j])              shrink = exp(largest - largest')
//   sum'     = sum * shrink + sum_j exp(s[j] - largest')
//   y'       = y * shrink + sum_j exp(s[j] - largest') v[j]
//
// Grid (ceil(T / QUERIES), B * H), block 128, dynamic shared memory (QUERIES + 4 * 64) * 128 bytes.
#include "attention_tiles.cuh"

constexpr int M = QUERIES / (16 * WARPS);

extern "C" __global__ void __launch_bounds__(THREADS, 2)
attention_forward(const stored* __restrict__ qkv, stored* __restrict__ y, float* __restrict__ lse, int T, int H, float scale) {
    stored* q_tile = dynamic_shared<stored>();        // (QUERIES, 64)
    stored* passing = q_tile + QUERIES * HEAD;        // (2, 2, 64, 64): two places, for keys and values each
    int head = blockIdx.y % H, batch = blockIdx.y / H, stride = 3 * H * HEAD;
    const stored* q = qkv + (size_t)batch * T * stride + head * HEAD;
    const stored *k = q + H * HEAD, *v = k + H * HEAD;

    int first_query = (gridDim.x - 1 - blockIdx.x) * QUERIES;  // the longest rows first: the short ones fill the gaps
    int row = threadIdx.x / WARP * 16 * M, lane = threadIdx.x % WARP, g = lane / 4, t = lane % 4;
    int first_row = first_query + row, last_row = first_row + 16 * M - 1;  // of this warp
    int tiles = (min(first_query + QUERIES, T) - 1) / TILE + 1;

    begin_copy<QUERIES>(q_tile, q, stride, first_query, T);
    begin_copy<TILE>(passing, k, stride, 0, T);
    begin_copy<TILE>(passing + TILE * HEAD, v, stride, 0, T);
    commit_copies();

    Block<M, 8> out;
    clear<M, 8>(out);
    float largest[M][2], sum[M][2];  // of rows 16 m + 8 half + g; sum: of this lane's columns only, until the end
    #pragma unroll
    for (int m = 0; m < M; m++)
        #pragma unroll
        for (int half = 0; half < 2; half++) {
            largest[m][half] = -INFINITY;
            sum[m][half] = 0;
        }
    float to_log2 = scale * LOG2E;  // exp(scale * x) = 2^(to_log2 * x)

    for (int tile = 0; tile < tiles; tile++) {
        wait_for_copies<0>();
        __syncthreads();  // this tile has come, for all; and all have done with the other place
        const stored *keys = passing + tile % 2 * 2 * TILE * HEAD, *values = keys + TILE * HEAD;
        if (tile + 1 < tiles) {
            stored* next = passing + (tile + 1) % 2 * 2 * TILE * HEAD;
            begin_copy<TILE>(next, k, stride, (tile + 1) * TILE, T);
            begin_copy<TILE>(next + TILE * HEAD, v, stride, (tile + 1) * TILE, T);
            commit_copies();
        }
        int first_key = tile * TILE;
        if (first_key > last_row) continue;  // all of it is in the future

        Block<M, 8> s;
        times_turned<M, 8>(s, q_tile, row, keys);
        if (first_key + TILE - 1 > first_row) {  // some of it is
            int ahead = first_row + g - (first_key + 2 * t);  // this lane's first query, less its first key
            #pragma unroll
            for (int m = 0; m < M; m++)
                #pragma unroll
                for (int n = 0; n < 8; n++)
                    #pragma unroll
                    for (int i = 0; i < 4; i++)
                        if (8 * n + i % 2 - (16 * m + 8 * (i / 2)) > ahead) s[m][n][i] = -INFINITY;  // key > query
        }

        #pragma unroll
        for (int m = 0; m < M; m++)
            #pragma unroll
            for (int half = 0; half < 2; half++) {
                float before = largest[m][half], now = before;
                #pragma unroll
                for (int n = 0; n < 8; n++) now = fmaxf(now, fmaxf(s[m][n][2 * half], s[m][n][2 * half + 1]));
                now = fmaxf(now, __shfl_xor_sync(ALL_LANES, now, 1));  // four lanes share a row
                now = fmaxf(now, __shfl_xor_sync(ALL_LANES, now, 2));
                float shrink = power_of_two((before - now) * to_log2), shift = now * to_log2, more = 0;
                #pragma unroll
                for (int n = 0; n < 8; n++)
                    #pragma unroll
                    for (int i = 2 * half; i < 2 * half + 2; i++) {
                        s[m][n][i] = power_of_two(s[m][n][i] * to_log2 - shift);
                        more += s[m][n][i];
                        out[m][n][i] *= shrink;
                    }
                sum[m][half] = sum[m][half] * shrink + more;
                largest[m][half] = now;
            }
        add_times<M, 8>(out, s, values);
    }

    float share[M][2];
    #pragma unroll
    for (int m = 0; m < M; m++)
        #pragma unroll
        for (int half = 0; half < 2; half++) {
            float total = sum[m][half];
            total += __shfl_xor_sync(ALL_LANES, total, 1);
            total += __shfl_xor_sync(ALL_LANES, total, 2);
            share[m][half] = 1 / total;
            int query = first_row + 16 * m + 8 * half + g;
            if (t == 0 && query < T) lse[(size_t)blockIdx.y * T + query] = scale * largest[m][half] + logf(total);
        }
    stored* y_rows = y + (size_t)batch * T * H * HEAD + head * HEAD;
    write_rows<M>(out, share, q_tile, row, y_rows, H * HEAD, first_query, T);
}

// The gradient of causal attention, without the (T, T) matrix. Reference: minigpt/ops/attention.py.
//
//   probs[i, j] = exp(scale * q[i] . k[j] - lse[i])  for j <= i, else 0        (made again, from what forward kept)
//   dprobs[i, j] = dy[i] . v[j]        delta[i] = sum_j probs[i, j] dprobs[i, j] = dy[i] . y[i]
//   ds = probs * (dprobs - delta)
//   dv[j] = sum_i probs[i, j] dy[i]    dk[j] = scale * sum_i ds[i, j] q[i]    dq[i] = scale * sum_j ds[i, j] k[j]
//
// qkv, dqkv (B, T, 3, H, 64), y, dy (B, T, H, 64) stored as bfloat16; lse, delta (B, H, T) float.
//
// dk and dv are sums over queries, dq over keys: two kernels, each with its own sums in registers, make scores and dprobs
// twice, seven products instead of five. One kernel would have to add to dq from many blocks in no fixed order.
#include "attention_tiles.cuh"

// Eight lanes a row. Grid ceil(B * T * H / 32), block 256.
extern "C" __global__ void __launch_bounds__(256)
attention_delta(const stored* __restrict__ y, const stored* __restrict__ dy, float* __restrict__ delta, int T, int H, int rows) {
    int row = blockIdx.x * 32 + threadIdx.x / 8, column = threadIdx.x % 8 * WIDTH;
    float a[WIDTH] = {}, b[WIDTH] = {}, sum = 0;
    if (row < rows) {
        load(a, y + (size_t)row * HEAD + column);
        load(b, dy + (size_t)row * HEAD + column);
    }
    #pragma unroll
    for (int i = 0; i < WIDTH; i++) sum += a[i] * b[i];
    #pragma unroll
    for (int distance = 4; distance > 0; distance /= 2) sum += __shfl_xor_sync(ALL_LANES, sum, distance);
    if (row >= rows || column != 0) return;
    int head = row % H, time = row / H % T, batch = row / H / T;
    delta[((size_t)batch * H + head) * T + time] = sum;
}

// dk and dv. A block holds KEYS rows of k and v, a warp 16 * M of them; queries, dy, lse and delta pass through in tiles of 64,
// of which a warp takes 32 at a time. All blocks in registers are turned over, rows for keys and columns for queries: so
// probs and ds come out of one product as the left operand of the next.
// Grid (ceil(T / KEYS), B * H), block 128, dynamic shared memory (2 * KEYS + 4 * 64) * 128 + 4 * 64 * 4 bytes.
constexpr int M_KEYS = KEYS / (16 * WARPS), PART = 32, N_PART = PART / 8;

extern "C" __global__ void __launch_bounds__(THREADS, 2)
attention_backward_keys(const stored* __restrict__ qkv, const stored* __restrict__ dy, const float* __restrict__ lse,
                        const float* __restrict__ delta, stored* __restrict__ dqkv, int T, int H, float scale) {
    stored* k_tile = dynamic_shared<stored>();                                   // (KEYS, 64)
    stored* v_tile = k_tile + KEYS * HEAD;                                       // (KEYS, 64)
    stored* passing = v_tile + KEYS * HEAD;                                      // (2, 2, 64, 64): queries and dy
    float* passing_rows = reinterpret_cast<float*>(passing + 4 * TILE * HEAD);   // (2, 2, 64): lse and delta
    int head = blockIdx.y % H, batch = blockIdx.y / H, stride = 3 * H * HEAD, dy_stride = H * HEAD;
    size_t offset = (size_t)batch * T * stride + head * HEAD;
    const stored *q = qkv + offset, *k = q + H * HEAD, *v = k + H * HEAD;
    const stored* dy_head = dy + (size_t)batch * T * dy_stride + head * HEAD;

    int first_key = blockIdx.x * KEYS, row = threadIdx.x / WARP * 16 * M_KEYS, lane = threadIdx.x % WARP, g = lane / 4, t = lane % 4;
    int first_row = first_key + row, last_row = first_row + 16 * M_KEYS - 1;  // of this warp's keys
    int first_tile = first_key / TILE, tiles = (T + TILE - 1) / TILE;

    const float* number = (threadIdx.x < TILE ? lse : delta) + (size_t)blockIdx.y * T;  // what this thread copies of each row
    auto begin_copies = [&](int tile) {
        stored* rows = passing + tile % 2 * 2 * TILE * HEAD;
        begin_copy<TILE>(rows, q, stride, tile * TILE, T);
        begin_copy<TILE>(rows + TILE * HEAD, dy_head, dy_stride, tile * TILE, T);
        int query = tile * TILE + threadIdx.x % TILE;
        begin_copy_4(passing_rows + tile % 2 * 2 * TILE + threadIdx.x, number + (query < T ? query : 0), query < T);
        commit_copies();
    };
    begin_copy<KEYS>(k_tile, k, stride, first_key, T);
    begin_copy<KEYS>(v_tile, v, stride, first_key, T);
    begin_copies(first_tile);

    Block<M_KEYS, 8> dk, dv;
    clear<M_KEYS, 8>(dk);
    clear<M_KEYS, 8>(dv);
    float to_log2 = scale * LOG2E;
    for (int tile = first_tile; tile < tiles; tile++) {
        wait_for_copies<0>();
        __syncthreads();  // this tile has come, for all; and all have done with the other place
        if (tile + 1 < tiles) begin_copies(tile + 1);

        #pragma unroll 1
        for (int part = 0; part < TILE; part += PART) {
            int first_query = tile * TILE + part;
            if (first_query + PART - 1 < first_row) continue;  // all these queries are before all these keys
            bool diagonal = first_query < last_row;
            int ahead = first_query + 2 * t - (first_row + g);  // this lane's first query, less its first key
            const stored *queries = passing + tile % 2 * 2 * TILE * HEAD + part * HEAD, *dy_part = queries + TILE * HEAD;
            const float *lse_part = passing_rows + tile % 2 * 2 * TILE + part, *delta_part = lse_part + TILE;

            Block<M_KEYS, N_PART> probs, ds;
            times_turned<M_KEYS, N_PART>(probs, k_tile, row, queries);
            #pragma unroll
            for (int n = 0; n < N_PART; n++) {
                float2 l = *reinterpret_cast<const float2*>(lse_part + 8 * n + 2 * t);
                #pragma unroll
                for (int m = 0; m < M_KEYS; m++)
                    #pragma unroll
                    for (int i = 0; i < 4; i++) {
                        float prob = power_of_two(probs[m][n][i] * to_log2 - (i % 2 ? l.y : l.x) * LOG2E);
                        bool future = 16 * m + 8 * (i / 2) - (8 * n + i % 2) > ahead;  // key > query
                        probs[m][n][i] = diagonal && future ? 0 : prob;
                    }
            }
            add_times<M_KEYS, N_PART>(dv, probs, dy_part);

            times_turned<M_KEYS, N_PART>(ds, v_tile, row, dy_part);  // dprobs
            #pragma unroll
            for (int n = 0; n < N_PART; n++) {
                float2 d = *reinterpret_cast<const float2*>(delta_part + 8 * n + 2 * t);
                #pragma unroll
                for (int m = 0; m < M_KEYS; m++)
                    #pragma unroll
                    for (int i = 0; i < 4; i++) ds[m][n][i] = probs[m][n][i] * (ds[m][n][i] - (i % 2 ? d.y : d.x));
            }
            add_times<M_KEYS, N_PART>(dk, ds, queries);
        }
    }
    float ones[M_KEYS][2], scales[M_KEYS][2];
    #pragma unroll
    for (int m = 0; m < M_KEYS; m++) {
        ones[m][0] = ones[m][1] = 1;
        scales[m][0] = scales[m][1] = scale;
    }
    stored *dk_rows = dqkv + offset + H * HEAD, *dv_rows = dk_rows + H * HEAD;
    write_rows<M_KEYS>(dk, scales, k_tile, row, dk_rows, stride, first_key, T);
    write_rows<M_KEYS>(dv, ones, v_tile, row, dv_rows, stride, first_key, T);
}

// dq. A block holds QUERIES rows of q and dy, a warp 16 * M of them; keys and values pass through in tiles of 64.
// Grid (ceil(T / QUERIES), B * H), block 128, dynamic shared memory (2 * QUERIES + 4 * 64) * 128 bytes.
constexpr int M_QUERIES = QUERIES / (16 * WARPS);

extern "C" __global__ void __launch_bounds__(THREADS, 2)
attention_backward_queries(const stored* __restrict__ qkv, const stored* __restrict__ dy, const float* __restrict__ lse,
                           const float* __restrict__ delta, stored* __restrict__ dqkv, int T, int H, float scale) {
    stored* q_tile = dynamic_shared<stored>();    // (QUERIES, 64)
    stored* dy_tile = q_tile + QUERIES * HEAD;    // (QUERIES, 64)
    stored* passing = dy_tile + QUERIES * HEAD;   // (2, 2, 64, 64): keys and values
    int head = blockIdx.y % H, batch = blockIdx.y / H, stride = 3 * H * HEAD, dy_stride = H * HEAD;
    size_t offset = (size_t)batch * T * stride + head * HEAD;
    const stored *q = qkv + offset, *k = q + H * HEAD, *v = k + H * HEAD;
    const stored* dy_head = dy + (size_t)batch * T * dy_stride + head * HEAD;

    int first_query = (gridDim.x - 1 - blockIdx.x) * QUERIES;  // the longest rows first
    int row = threadIdx.x / WARP * 16 * M_QUERIES, lane = threadIdx.x % WARP, g = lane / 4, t = lane % 4;
    int first_row = first_query + row, last_row = first_row + 16 * M_QUERIES - 1;  // of this warp
    int tiles = (min(first_query + QUERIES, T) - 1) / TILE + 1;

    auto begin_copies = [&](int tile) {
        stored* rows = passing + tile % 2 * 2 * TILE * HEAD;
        begin_copy<TILE>(rows, k, stride, tile * TILE, T);
        begin_copy<TILE>(rows + TILE * HEAD, v, stride, tile * TILE, T);
        commit_copies();
    };
    begin_copy<QUERIES>(q_tile, q, stride, first_query, T);
    begin_copy<QUERIES>(dy_tile, dy_head, dy_stride, first_query, T);
    begin_copies(0);

    float row_lse[M_QUERIES][2], row_delta[M_QUERIES][2], scales[M_QUERIES][2];  // of rows 16 m + 8 half + g
    #pragma unroll
    for (int m = 0; m < M_QUERIES; m++)
        #pragma unroll
        for (int half = 0; half < 2; half++) {
            int query = first_row + 16 * m + 8 * half + g;
            row_lse[m][half] = query < T ? lse[(size_t)blockIdx.y * T + query] * LOG2E : 0;
            row_delta[m][half] = query < T ? delta[(size_t)blockIdx.y * T + query] : 0;
            scales[m][half] = scale;
        }

    Block<M_QUERIES, 8> dq;
    clear<M_QUERIES, 8>(dq);
    float to_log2 = scale * LOG2E;
    for (int tile = 0; tile < tiles; tile++) {
        wait_for_copies<0>();
        __syncthreads();  // this tile has come, for all; and all have done with the other place
        if (tile + 1 < tiles) begin_copies(tile + 1);
        int first_key = tile * TILE;
        if (first_key > last_row) continue;  // all of it is in the future
        bool diagonal = first_key + TILE - 1 > first_row;
        int ahead = first_row + g - (first_key + 2 * t);  // this lane's first query, less its first key
        const stored *keys = passing + tile % 2 * 2 * TILE * HEAD, *values = keys + TILE * HEAD;

        Block<M_QUERIES, 8> probs, ds;
        times_turned<M_QUERIES, 8>(probs, q_tile, row, keys);
        times_turned<M_QUERIES, 8>(ds, dy_tile, row, values);  // dprobs
        #pragma unroll
        for (int m = 0; m < M_QUERIES; m++)
            #pragma unroll
            for (int n = 0; n < 8; n++)
                #pragma unroll
                for (int i = 0; i < 4; i++) {
                    float prob = power_of_two(probs[m][n][i] * to_log2 - row_lse[m][i / 2]);
                    bool future = 8 * n + i % 2 - (16 * m + 8 * (i / 2)) > ahead;  // key > query
                    ds[m][n][i] = diagonal && future ? 0 : prob * (ds[m][n][i] - row_delta[m][i / 2]);
                }
        add_times<M_QUERIES, 8>(dq, ds, keys);
    }
    write_rows<M_QUERIES>(dq, scales, q_tile, row, dqkv + offset, stride, first_query, T);
}

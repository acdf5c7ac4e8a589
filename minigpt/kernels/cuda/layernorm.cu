// Residual sum and layer normalisation. Reference: minigpt/ops/layernorm.py, and the sums in minigpt/model.py.
//
//   forward    s = x + branch + branch_bias          n = (s - mean(s)) * rstd, rstd = 1 / sqrt(mean((s - mean)^2) + EPS)
//              y = gain * n + bias
//   backward   dn = gain * dy                        ds = dresidual + rstd * (dn - mean(dn) - n * mean(n * dn))
//              dgain = sum over rows of n * dy       dbias = sum over rows of dy
//              dbranch_bias = sum over rows of ds    (the branch was added to x as it is)
//              dlater_bias  = sum over rows of dresidual    (and so was a later branch to s)
//
// x, branch, s, y, dy, dresidual, ds (rows, C) stored; gain, bias, branch_bias (C) stored; mean, rstd (rows) float.
//
// ROUNDS is how many packets of WIDTH columns a thread holds of its row, in registers: a row is read once.
#include "common.cuh"

constexpr float EPS = 1e-5f;  // openai/gpt-2, src/model.py, norm()

// One warp a row. Grid ceil(rows / warps), block 32 * warps. Without a branch s = x, and s is not written.
extern "C" __global__ void __launch_bounds__(128)
layernorm_forward(const stored* __restrict__ x, const stored* __restrict__ branch, const stored* __restrict__ branch_bias,
                  const stored* __restrict__ gain, const stored* __restrict__ bias, stored* __restrict__ s,
                  stored* __restrict__ y, float* __restrict__ mean, float* __restrict__ rstd, int rows, int C) {
    int lane = threadIdx.x % WARP;
    int row = blockIdx.x * (blockDim.x / WARP) + threadIdx.x / WARP;
    if (row >= rows) return;
    size_t start = (size_t)row * C;

    float values[ROUNDS][WIDTH] = {};  // of s; columns from C on stay 0
    float sum = 0;
    #pragma unroll
    for (int round = 0; round < ROUNDS; round++) {
        int column = (round * WARP + lane) * WIDTH;
        if (column >= C) continue;
        load(values[round], x + start + column);
        if (branch) {
            float more[WIDTH], shift[WIDTH] = {};
            load(more, branch + start + column);
            if (branch_bias) load(shift, branch_bias + column);
            #pragma unroll
            for (int i = 0; i < WIDTH; i++) values[round][i] = as_stored(values[round][i] + more[i] + shift[i]);
            store(s + start + column, values[round]);
        }
        #pragma unroll
        for (int i = 0; i < WIDTH; i++) sum += values[round][i];
    }
    float average = warp_sum(sum) / C;

    float squares = 0;
    #pragma unroll
    for (int round = 0; round < ROUNDS; round++) {
        if ((round * WARP + lane) * WIDTH >= C) continue;
        #pragma unroll
        for (int i = 0; i < WIDTH; i++) {
            float centred = values[round][i] - average;
            squares += centred * centred;
        }
    }
    float scale = rsqrtf(warp_sum(squares) / C + EPS);

    #pragma unroll
    for (int round = 0; round < ROUNDS; round++) {
        int column = (round * WARP + lane) * WIDTH;
        if (column >= C) continue;
        float g[WIDTH], b[WIDTH], out[WIDTH];
        load(g, gain + column);
        load(b, bias + column);
        #pragma unroll
        for (int i = 0; i < WIDTH; i++) out[i] = g[i] * ((values[round][i] - average) * scale) + b[i];
        store(y + start + column, out);
    }
    if (lane == 0) {
        mean[row] = average;
        rstd[row] = scale;
    }
}

// One block takes the rows blockIdx.x, blockIdx.x + gridDim.x, ...; a thread keeps to its own columns, so the sums over
// rows stay in its registers. partial (gridDim.x, 4, C) float: this block's dgain, dbias, dbranch_bias and dlater_bias,
// which column_sum_finish adds up. Block: whole warps with ROUNDS * threads * WIDTH >= C. dresidual may be null, or be ds itself.
extern "C" __global__ void __launch_bounds__(512)
layernorm_backward(const stored* __restrict__ dy, const stored* __restrict__ s, const stored* __restrict__ gain,
                   const float* __restrict__ mean, const float* __restrict__ rstd, const stored* dresidual, stored* ds,
                   float* __restrict__ partial, int rows, int C) {
    __shared__ float of_warp[2][2][WARP];  // two sums of each warp; rows take turns between two places
    int lane = threadIdx.x % WARP, warp = threadIdx.x / WARP, warps = blockDim.x / WARP;
    float dgain[ROUNDS][WIDTH] = {}, dbias[ROUNDS][WIDTH] = {};
    float dbranch_bias[ROUNDS][WIDTH] = {}, dlater_bias[ROUNDS][WIDTH] = {};

    int turn = 0;
    for (int row = blockIdx.x; row < rows; row += gridDim.x, turn ^= 1) {
        size_t start = (size_t)row * C;
        float average = mean[row], scale = rstd[row];
        float n[ROUNDS][WIDTH], dn[ROUNDS][WIDTH];
        float sum = 0, product = 0;  // of dn and of n * dn
        #pragma unroll
        for (int round = 0; round < ROUNDS; round++) {
            int column = (round * blockDim.x + threadIdx.x) * WIDTH;
            if (column >= C) continue;
            float d[WIDTH], g[WIDTH];
            load(d, dy + start + column);
            load(n[round], s + start + column);
            load(g, gain + column);
            #pragma unroll
            for (int i = 0; i < WIDTH; i++) {
                n[round][i] = (n[round][i] - average) * scale;
                dn[round][i] = g[i] * d[i];
                sum += dn[round][i];
                product += n[round][i] * dn[round][i];
                dgain[round][i] += n[round][i] * d[i];
                dbias[round][i] += d[i];
            }
        }
        sum = warp_sum(sum);
        product = warp_sum(product);
        if (lane == 0) {
            of_warp[turn][0][warp] = sum;
            of_warp[turn][1][warp] = product;
        }
        __syncthreads();  // one is enough: who writes this place again has passed the next row's barrier
        float mean_dn = warp_sum(lane < warps ? of_warp[turn][0][lane] : 0.0f) / C;
        float mean_product = warp_sum(lane < warps ? of_warp[turn][1][lane] : 0.0f) / C;

        #pragma unroll
        for (int round = 0; round < ROUNDS; round++) {
            int column = (round * blockDim.x + threadIdx.x) * WIDTH;
            if (column >= C) continue;
            float out[WIDTH] = {};
            if (dresidual) load(out, dresidual + start + column);
            #pragma unroll
            for (int i = 0; i < WIDTH; i++) {
                dlater_bias[round][i] += out[i];
                out[i] += scale * (dn[round][i] - mean_dn - n[round][i] * mean_product);
                dbranch_bias[round][i] += out[i];
            }
            store(ds + start + column, out);
        }
    }

    float* mine = partial + (size_t)blockIdx.x * 4 * C;
    #pragma unroll
    for (int round = 0; round < ROUNDS; round++) {
        int column = (round * blockDim.x + threadIdx.x) * WIDTH;
        if (column >= C) continue;
        store(mine + column, dgain[round]);
        store(mine + C + column, dbias[round]);
        store(mine + 2 * C + column, dbranch_bias[round]);
        store(mine + 3 * C + column, dlater_bias[round]);
    }
}

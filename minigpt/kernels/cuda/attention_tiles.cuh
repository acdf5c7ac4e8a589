// What both attention files are built of: tiles in shared memory, and products of tiles by the tensor cores of one warp.
//
// A tile is rows of HEAD = 64 bfloat16: 128 bytes, or 8 chunks of 16. Chunk c of row r lies at place c ^ (r % 8) of its row.
// So the same column of eight rows, which one step of ldmatrix reads, lies in eight different groups of memory banks, and
// nothing waits.
#include "common.cuh"
#include "ptx.cuh"

static_assert(ROUNDED, "the tensor cores multiply bfloat16");

constexpr int HEAD = 64;         // channels of a head, D
constexpr int TILE = 64;         // rows of a tile that passes through
constexpr int WARPS = 4;         // of a block
constexpr int THREADS = WARPS * WARP;
constexpr int STEPS = HEAD / 16; // a product over the channels takes 16 at a time
constexpr float LOG2E = 1.4426950408889634f;

__device__ __forceinline__ int place(int row, int chunk) { return row * HEAD + (chunk ^ (row % 8)) * 8; }

// Begin to copy rows first .. first + ROWS - 1 of a matrix (T, HEAD), `stride` apart; rows from T on are zeros.
template <int ROWS> __device__ __forceinline__ void begin_copy(stored* tile, const stored* matrix, int stride, int first, int T) {
    #pragma unroll
    for (int i = 0; i < ROWS * 8 / THREADS; i++) {
        int row = (i * THREADS + threadIdx.x) / 8, chunk = threadIdx.x % 8;
        bool valid = first + row < T;
        begin_copy_16(tile + place(row, chunk), matrix + (size_t)(valid ? first + row : 0) * stride + chunk * 8, valid);
    }
}

// Operands of multiply_add from a tile. `left`: rows row .. row + 15, columns 16 k .. 16 k + 15 as a.
__device__ __forceinline__ void left(unsigned (&a)[4], const stored* tile, int row, int k) {
    int lane = threadIdx.x % WARP;
    load_matrices(a, tile + place(row + lane % 16, 2 * k + lane / 16));
}
// `right`: the same part as two b, for columns 16 k .. + 7 in b[0], b[1] and the next eight in b[2], b[3]; sums run over rows.
__device__ __forceinline__ void right(unsigned (&b)[4], const stored* tile, int row, int k) {
    int lane = threadIdx.x % WARP;
    load_matrices_transposed(b, tile + place(row + lane % 16, 2 * k + lane / 16));
}
// `right_turned`: the part turned over, as two b, for rows row .. + 7 and the next eight; sums run over columns.
__device__ __forceinline__ void right_turned(unsigned (&b)[4], const stored* tile, int row, int k) {
    int lane = threadIdx.x % WARP;
    load_matrices(b, tile + place(row + lane / 16 * 8 + lane % 8, 2 * k + lane / 8 % 2));
}

// A block of 16 M rows and 8 N columns in a warp's registers. Of its part (m, n), this lane holds four elements:
// element i is row 16 m + g + 8 (i / 2), column 8 n + 2 t + i % 2, with g = lane / 4, t = lane % 4.
template <int M, int N> using Block = float[M][N][4];

template <int M, int N> __device__ __forceinline__ void clear(Block<M, N>& c) {
    #pragma unroll
    for (int m = 0; m < M; m++)
        #pragma unroll
        for (int n = 0; n < N; n++)
            #pragma unroll
            for (int i = 0; i < 4; i++) c[m][n][i] = 0;
}

// c = rows row .. row + 16 M - 1 of x times rows 0 .. 8 N - 1 of y turned over: c[i, j] = sum_d x[i, d] y[j, d].
template <int M, int N> __device__ __forceinline__ void times_turned(Block<M, N>& c, const stored* x, int row, const stored* y) {
    clear<M, N>(c);
    #pragma unroll
    for (int k = 0; k < STEPS; k++) {
        unsigned a[M][4], b[4];
        #pragma unroll
        for (int m = 0; m < M; m++) left(a[m], x, row + 16 * m, k);
        #pragma unroll
        for (int n = 0; n < N; n += 2) {
            right_turned(b, y, 8 * n, k);
            #pragma unroll
            for (int m = 0; m < M; m++) {
                multiply_add(c[m][n], a[m], b[0], b[1]);
                multiply_add(c[m][n + 1], a[m], b[2], b[3]);
            }
        }
    }
}

// c += p, rounded to bfloat16, times rows 0 .. 8 N - 1 of y: c[i, d] += sum_j p[i, j] y[j, d]. Where the lanes hold p as a
// result is where they must hold it as an operand: it never leaves the registers.
template <int M, int N> __device__ __forceinline__ void add_times(Block<M, 8>& c, const Block<M, N>& p, const stored* y) {
    #pragma unroll
    for (int k = 0; k < N / 2; k++) {
        unsigned a[M][4], b[4];
        #pragma unroll
        for (int m = 0; m < M; m++)
            #pragma unroll
            for (int i = 0; i < 4; i++) a[m][i] = packed(p[m][2 * k + i / 2][i % 2 * 2], p[m][2 * k + i / 2][i % 2 * 2 + 1]);
        #pragma unroll
        for (int n = 0; n < 8; n += 2) {
            right(b, y, 16 * k, n / 2);
            #pragma unroll
            for (int m = 0; m < M; m++) {
                multiply_add(c[m][n], a[m], b[0], b[1]);
                multiply_add(c[m][n + 1], a[m], b[2], b[3]);
            }
        }
    }
}

// Write c, times factor[m][half] for rows 16 m + 8 half + g, to rows first + row .. of a matrix (T, HEAD). On the way it
// passes through `tile`, whose rows row .. belong to this warp alone: so whole rows of 128 bytes are written.
template <int M> __device__ __forceinline__ void write_rows(const Block<M, 8>& c, const float (&factor)[M][2], stored* tile,
                                                            int row, stored* matrix, int stride, int first, int T) {
    int lane = threadIdx.x % WARP, g = lane / 4, t = lane % 4;
    __syncwarp();  // all lanes have read what was in the tile
    #pragma unroll
    for (int m = 0; m < M; m++)
        #pragma unroll
        for (int n = 0; n < 8; n++)
            #pragma unroll
            for (int half = 0; half < 2; half++) {
                float scale = factor[m][half];
                unsigned* pair = reinterpret_cast<unsigned*>(tile + place(row + 16 * m + 8 * half + g, n) + 2 * t);
                *pair = packed(scale * c[m][n][2 * half], scale * c[m][n][2 * half + 1]);
            }
    __syncwarp();
    #pragma unroll
    for (int i = 0; i < 4 * M; i++) {  // eight lanes a row
        int r = row + 4 * i + lane / 8, chunk = lane % 8;
        if (first + r >= T) continue;
        const uint4* from = reinterpret_cast<const uint4*>(tile + place(r, chunk));
        *reinterpret_cast<uint4*>(matrix + (size_t)(first + r) * stride + chunk * 8) = *from;
    }
}

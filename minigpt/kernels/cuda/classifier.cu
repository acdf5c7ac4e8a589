// Softmax and cross-entropy over the vocabulary, forward and backward at once. Reference: minigpt/ops/cross_entropy.py.
//
//   share    = 1 / number of scored targets                    (a target of -1 is not scored)
//   loss     = sum over scored rows of share * (log(sum_v exp(z[v])) - z[target])
//   dz[v]    = dloss * share * (exp(z[v]) / sum exp(z) - [v = target]), 0 in rows that are not scored
//
// logits (rows, padded) stored; columns from n_vocab on are padding: they do not count, and their gradient is 0.
// targets (rows) int; share, loss () float; losses (rows) float: each row's part of the loss.
// Three launches: classifier_share, classifier, classifier_loss. Nothing goes to the host in between.
#include "common.cuh"

constexpr int IGNORED = -1;

// One block.
extern "C" __global__ void __launch_bounds__(1024)
classifier_share(const int* __restrict__ targets, float* __restrict__ share, int rows) {
    float scored = 0;  // whole numbers below 2^24: exact
    for (int row = threadIdx.x; row < rows; row += blockDim.x) scored += targets[row] != IGNORED;
    scored = block_sum(scored);
    if (threadIdx.x == 0) *share = 1 / scored;
}

// A block a row; any number of whole warps. The row is read twice, the second time mostly from the L2 cache, and, with
// `gradient`, written over.
extern "C" __global__ void __launch_bounds__(512)
classifier(stored* logits, const int* __restrict__ targets, const float* __restrict__ share, float* __restrict__ losses,
           int n_vocab, int padded, float dloss, int gradient) {
    stored* row = logits + (size_t)blockIdx.x * padded;
    int target = targets[blockIdx.x], first = threadIdx.x * WIDTH, stride = blockDim.x * WIDTH;
    if (target == IGNORED) {  // the whole block
        const float zeros[WIDTH] = {};
        for (int column = first; column < padded && gradient; column += stride) store(row + column, zeros);
        if (threadIdx.x == 0) losses[blockIdx.x] = 0;
        return;
    }
    float chosen = threadIdx.x == 0 ? to_float(row[target]) : 0;  // before it is written over: barriers follow

    float largest = -INFINITY, sum = 0;  // of this thread's columns: sum of exp(z - largest)
    for (int column = first; column < n_vocab; column += stride) {
        float z[WIDTH], before = largest;
        load(z, row + column);
        #pragma unroll
        for (int i = 0; i < WIDTH; i++) {
            if (column + i >= n_vocab) z[i] = -INFINITY;
            largest = fmaxf(largest, z[i]);
        }
        sum *= exponential(before - largest);  // exp(-inf) = 0 the first time
        #pragma unroll
        for (int i = 0; i < WIDTH; i++) sum += exponential(z[i] - largest);
    }
    float row_largest = block_max(largest);
    float total = block_sum(sum * exponential(largest - row_largest));  // a thread without columns: 0 * exp(-inf)
    if (threadIdx.x == 0) losses[blockIdx.x] = *share * (logf(total) + row_largest - chosen);
    if (!gradient) return;

    float weight = dloss * *share, inverse = 1 / total;
    for (int column = first; column < padded; column += stride) {
        float z[WIDTH];
        load(z, row + column);
        #pragma unroll
        for (int i = 0; i < WIDTH; i++) {
            float prob = exponential(z[i] - row_largest) * inverse;
            z[i] = column + i < n_vocab ? weight * (prob - (column + i == target)) : 0;
        }
        store(row + column, z);
    }
}

// One block.
extern "C" __global__ void __launch_bounds__(1024)
classifier_loss(const float* __restrict__ losses, float* __restrict__ loss, int rows) {
    float sum = 0;
    for (int row = threadIdx.x; row < rows; row += blockDim.x) sum += losses[row];
    sum = block_sum(sum);
    if (threadIdx.x == 0) *loss = sum;
}

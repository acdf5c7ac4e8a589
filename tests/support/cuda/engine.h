// What a kernel that runs on the CPU asks of engine.cpp. Light on purpose: every kernel is compiled with it.
#pragma once
#include <stddef.h>

namespace emulated {

struct Index { unsigned x, y, z; };
struct Array { const char* name; char* begin; size_t bytes; };
struct Launch {
    Index grid, block;
    size_t shared_bytes;
    unsigned seed;
    const Array* arrays;  // the array arguments: nothing else in memory may be touched
    size_t array_count;
    char* message;        // room for a sentence that says what went wrong
    size_t message_bytes;
    long bank_conflicts;  // counted while it runs
};

Index thread_index();
Index block_index();
Index block_size();
Index grid_size();
char* dynamic_shared_memory();

void block_barrier();
void warp_barrier();
unsigned shuffle_xor(unsigned word, unsigned distance);

// The PTX instructions of ptx.cuh, with the register layouts that the PTX manual gives.
void load_matrices(unsigned (&out)[4], const void* row, bool transposed);
void multiply_add(float (&d)[4], const unsigned (&a)[4], unsigned b0, unsigned b1);
void begin_copy(void* to, const void* from, unsigned bytes, bool valid);
void commit_copies();
void wait_for_copies(unsigned groups_left);

// Runs every thread of every block; false after a fault, which launch.message describes.
bool run(Launch& launch, void (*kernel)(void*), void* arguments, char* shared_begin, char* shared_end);

}  // namespace emulated

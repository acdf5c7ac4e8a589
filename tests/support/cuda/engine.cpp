// Runs a kernel on the CPU and watches it. For tests only.
//
// Every thread of a block is a fiber of its own. Fibers change only where a CUDA thread can wait: barriers, shuffles and
// warp-wide instructions. Blocks run one after another in an order that the seed draws; of the threads, an even seed lets
// all advance together, an odd one lets a warp run as far ahead as it can.
//
// Noticed always: a barrier or a warp-wide instruction that not all threads reach, different instructions in one warp,
// shared memory read before it was written (it begins as NaN), threads that leave with a copy under way.
//
// Compiled with -DWATCHED, and the kernels with -fsanitize=thread, every access is a call of the functions at the end.
// (No sanitizer library is used: only the compiler's calls.) Then noticed, whatever the order of threads: two threads that
// touch the same bytes, one of them writing, without a barrier in between; the same of two blocks; bytes outside the
// launch's arrays and shared memory; addresses that are no multiple of the access; bytes used while a copy is under way.
#include "engine.h"

#include <setjmp.h>
#include <ucontext.h>

#include <algorithm>
#include <cstdarg>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <vector>

namespace emulated {
namespace {

constexpr unsigned WARP = 32, NOBODY = ~0u, SEVERAL = ~1u;
constexpr size_t STACK = 64 * 1024;

enum Step { RUNS, BLOCK_BARRIER, WARP_BARRIER, SHUFFLE, LOAD, LOAD_TRANSPOSED, MULTIPLY, LEFT };
const char* const STEPS[] = {"runs", "waits at __syncthreads", "waits at __syncwarp", "waits at a shuffle", "waits at ldmatrix",
                             "waits at ldmatrix.trans", "waits at mma", "has left"};

struct Copy { void* to; const void* from; unsigned bytes, group; bool valid, done; };

struct Fiber {
    unsigned number, lane, warp;
    Step step;
    bool started;
    jmp_buf here;
    ucontext_t beginning;
    unsigned words[6];   // what the lane brings to a warp-wide instruction
    const void* row;
    std::vector<Copy> copies;
    unsigned groups;     // of copies committed so far
};

Launch* launch;
void (*kernel)(void*);
void* kernel_arguments;
Index block;
unsigned block_number, block_epoch;           // epochs count barriers: accesses in different epochs are ordered
std::vector<Fiber> fibers;
std::vector<unsigned> warp_epoch;
Fiber* current;
jmp_buf scheduler;
std::unique_ptr<char[]> stacks;
size_t stack_bytes;
char *dynamic_begin, *dynamic_end, *static_begin, *static_end;
uint64_t random_state;
bool failed;

// What the lanes of each warp brought to the last warp-wide instruction. A lane reads it before it arrives at the next, and
// until all have arrived there nothing is written over.
struct Brought { unsigned words[WARP][6]; const void* rows[WARP]; };
std::vector<Brought> brought;

unsigned random_below(unsigned n) {
    random_state = random_state * 6364136223846793005u + 1442695040888963407u;
    return unsigned(random_state >> 33) % n;
}
template <class T> void shuffle_order(std::vector<T>& items) {
    for (size_t i = items.size(); i > 1; i--) std::swap(items[i - 1], items[random_below(i)]);
}

// Leave the kernel with a sentence about what went wrong; only the first counts.
void fail(const char* format, ...) {
    if (!failed) {
        int n = snprintf(launch->message, launch->message_bytes, "block (%u, %u, %u): ", block.x, block.y, block.z);
        if (current) n += snprintf(launch->message + n, launch->message_bytes - n, "thread %u: ", current->number);
        va_list arguments;
        va_start(arguments, format);
        vsnprintf(launch->message + n, launch->message_bytes - n, format, arguments);
        va_end(arguments);
    }
    failed = true;
    if (current) _longjmp(scheduler, 1);
}

void wait_at(Step step) {
    Fiber* self = current;
    self->step = step;
    if (!_setjmp(self->here)) _longjmp(scheduler, 1);
}

void begin_fiber() {
    kernel(kernel_arguments);
    for (const Copy& copy : current->copies)
        if (!copy.done) fail("it leaves while a copy to shared memory is under way");
    current->step = LEFT;
    _longjmp(scheduler, 1);
}

void resume(Fiber& fiber) {
    current = &fiber;
    if (!_setjmp(scheduler)) {
        if (fiber.started) _longjmp(fiber.here, 1);
        fiber.started = true;
        setcontext(&fiber.beginning);
    }
    current = nullptr;
}

bool of_a_warp(Step step) { return step != RUNS && step != BLOCK_BARRIER && step != LEFT; }

// Once all lanes of a warp have arrived at the same instruction, let them go on.
bool release_warp(unsigned warp) {
    Fiber* lanes = &fibers[warp * WARP];
    for (unsigned i = 0; i < WARP; i++)
        if (lanes[i].step == RUNS) return false;
    Step step = lanes[0].step;
    for (unsigned i = 1; i < WARP; i++)
        if (lanes[i].step != step && (of_a_warp(step) || of_a_warp(lanes[i].step))) {
            fail("warp %u is divided: lane 0 %s, lane %u %s", warp, STEPS[step], i, STEPS[lanes[i].step]);
            return false;
        }
    if (!of_a_warp(step)) return false;
    for (unsigned i = 0; i < WARP; i++) {
        memcpy(brought[warp].words[i], lanes[i].words, sizeof(lanes[i].words));
        brought[warp].rows[i] = lanes[i].row;
        lanes[i].step = RUNS;
    }
    if (step == WARP_BARRIER) warp_epoch[warp]++;
    return true;
}

bool release_block() {
    unsigned waiting = 0, left = 0;
    for (const Fiber& fiber : fibers) {
        waiting += fiber.step == BLOCK_BARRIER;
        left += fiber.step == LEFT;
    }
    if (waiting + left < fibers.size() || waiting == 0) return false;
    if (left) {
        fail("%u threads wait at __syncthreads, %u have left", waiting, left);
        return false;
    }
    for (Fiber& fiber : fibers) fiber.step = RUNS;
    block_epoch++;
    return true;
}

bool advance(unsigned warp) {
    bool moved = false;
    unsigned turn = random_below(WARP);
    for (unsigned i = 0; i < WARP && !failed; i++) {
        Fiber& fiber = fibers[warp * WARP + (i + turn) % WARP];
        if (fiber.step != RUNS) continue;
        resume(fiber);
        moved = true;
    }
    if (!failed) moved |= release_warp(warp);
    return moved;
}

void begin_block();

void run_block() {
    begin_block();
    std::vector<unsigned> order(fibers.size() / WARP);
    for (unsigned i = 0; i < order.size(); i++) order[i] = i;
    shuffle_order(order);
    bool ahead = launch->seed & 1;
    while (!failed) {
        bool moved = false;
        for (unsigned warp : order) {
            moved |= advance(warp);
            if (failed || (moved && ahead)) break;
        }
        if (failed) return;
        if (!moved && !release_block()) break;
        if (!ahead) shuffle_order(order);
    }
    for (const Fiber& fiber : fibers)
        if (fiber.step != LEFT) fail("thread %u %s for ever", fiber.number, STEPS[fiber.step]);
}

#ifdef WATCHED
// --- who touched which bytes ------------------------------------------------------------------------------------------

// One for every two bytes of an array or of shared memory.
struct Cell {
    unsigned writer = NOBODY, write_epoch, write_warp_epoch, write_block = NOBODY;
    unsigned reader = NOBODY, read_epoch, read_warp_epoch, read_block = NOBODY;   // reader: a thread, or SEVERAL
    unsigned read_warp = NOBODY;                                                  // all readers' warp, or SEVERAL
    unsigned copier = NOBODY;                                                     // a copy is under way
};
struct Region {
    const char* name;
    char *begin, *end;
    bool shared;
    std::vector<Cell> cells;
    Region(const char* name, char* begin, char* end, bool shared)
        : name(name), begin(begin), end(end), shared(shared), cells((end - begin + 1) / 2) {}
};
std::vector<Region> regions;

void begin_watching() {
    regions.clear();
    for (size_t i = 0; i < launch->array_count; i++) {
        const Array& array = launch->arrays[i];
        bool known = false;
        for (const Region& region : regions) known |= region.begin == array.begin && region.end >= array.begin + array.bytes;
        if (!known) regions.emplace_back(array.name, array.begin, array.begin + array.bytes, false);
    }
    regions.emplace_back("shared memory", static_begin, static_end, true);
    regions.emplace_back("dynamic shared memory", dynamic_begin, dynamic_end, true);
}
void watch_new_block() {
    for (Region& region : regions)
        if (region.shared) std::fill(region.cells.begin(), region.cells.end(), Cell());
}

// Whether this thread's access comes after one made then, by another thread of the block, by way of a barrier.
bool ordered(unsigned warp, unsigned epoch, unsigned epoch_in_warp) {
    return epoch != block_epoch || (warp == current->warp && epoch_in_warp != warp_epoch[warp]);
}

Region* region_of(char* address, size_t bytes, bool write) {
    for (Region& region : regions)
        if (address >= region.begin && address + bytes <= region.end) return &region;
    const Region* near = nullptr;
    for (const Region& region : regions)
        if (!near || std::min(std::abs(address - region.begin), std::abs(address - region.end)) <
                         std::min(std::abs(address - near->begin), std::abs(address - near->end)))
            near = &region;
    fail("it %s %zu bytes at byte %td of %s, which has %td", write ? "writes" : "reads", bytes, address - near->begin, near->name,
         near->end - near->begin);
    return nullptr;
}

void watch_cell(Region& region, Cell& cell, size_t offset, bool write) {
    unsigned self = current->number;
    const char* what = write ? "writes" : "reads";
    if (cell.copier != NOBODY) fail("it %s byte %zu of %s while a copy to it is under way", what, offset, region.name);
    if (region.shared && !write && cell.writer == NOBODY) fail("it reads byte %zu of %s, which nobody wrote", offset, region.name);
    if (cell.writer != NOBODY) {
        if (cell.write_block != block_number) fail("it %s byte %zu of %s, which another block writes", what, offset, region.name);
        if (cell.writer != self && !ordered(cell.writer / WARP, cell.write_epoch, cell.write_warp_epoch))
            fail("it %s byte %zu of %s, which thread %u wrote since the last barrier", what, offset, region.name, cell.writer);
    }
    if (!write) {
        bool at_once = cell.read_block == block_number && cell.read_epoch == block_epoch;  // with the reads already noted
        bool other_warp = at_once && cell.read_warp != current->warp;
        bool other_lane = at_once && cell.reader != self && cell.read_warp_epoch == warp_epoch[current->warp];
        cell.reader = other_warp || other_lane ? SEVERAL : self;
        cell.read_warp = other_warp ? SEVERAL : current->warp;
        cell.read_block = cell.read_block == NOBODY || cell.read_block == block_number ? block_number : SEVERAL;
        cell.read_epoch = block_epoch;
        cell.read_warp_epoch = warp_epoch[current->warp];
        return;
    }
    if (cell.read_block != NOBODY && cell.read_block != block_number)
        fail("it writes byte %zu of %s, which another block reads", offset, region.name);
    if (cell.reader != NOBODY && cell.reader != self && !ordered(cell.read_warp, cell.read_epoch, cell.read_warp_epoch))
        fail("it writes byte %zu of %s, which another thread read since the last barrier", offset, region.name);
    cell.writer = self;
    cell.write_block = block_number;
    cell.write_epoch = block_epoch;
    cell.write_warp_epoch = warp_epoch[current->warp];
}

void watch(const void* where, size_t bytes, bool write, bool aligned = true) {
    if (!current) return;
    char* address = (char*)where;
    if (address >= stacks.get() && address < stacks.get() + stack_bytes) return;  // a thread's own variables
    if (aligned && (uintptr_t)address % bytes) fail("it %s %zu bytes at an address that is no multiple of it", write ? "writes" : "reads", bytes);
    Region* region = region_of(address, bytes, write);
    size_t first = (address - region->begin) / 2, last = (address + bytes - 1 - region->begin) / 2;
    for (size_t i = first; i <= last; i++) watch_cell(*region, region->cells[i], 2 * i, write);
}
void watch_copy(const Copy& copy, bool begins) {
    Region* region = region_of((char*)copy.to, copy.bytes, true);
    size_t first = ((char*)copy.to - region->begin) / 2;
    if (!begins)
        for (size_t i = first; i < first + copy.bytes / 2; i++) region->cells[i].copier = NOBODY;
    watch(copy.to, copy.bytes, true);
    if (begins) {
        region_of((char*)copy.from, copy.bytes, false);  // an address all the same
        if (copy.valid) watch(copy.from, copy.bytes, false);
        for (size_t i = first; i < first + copy.bytes / 2; i++) region->cells[i].copier = current->number;
    }
}
#else
void begin_watching() {}
void watch_new_block() {}
void watch(const void*, size_t, bool, bool = true) {}
void watch_copy(const Copy&, bool) {}
#endif

void begin_block() {
    if (dynamic_end > dynamic_begin) memset(dynamic_begin, 0xff, dynamic_end - dynamic_begin);
    if (static_end > static_begin) memset(static_begin, 0xff, static_end - static_begin);
    std::fill(warp_epoch.begin(), warp_epoch.end(), 0);
    block_epoch = 0;
    for (unsigned i = 0; i < fibers.size(); i++) {
        Fiber& fiber = fibers[i];
        fiber.number = i;
        fiber.lane = i % WARP;
        fiber.warp = i / WARP;
        fiber.step = RUNS;
        fiber.started = false;
        fiber.copies.clear();
        fiber.groups = 0;
        getcontext(&fiber.beginning);
        fiber.beginning.uc_stack.ss_sp = stacks.get() + STACK * i;
        fiber.beginning.uc_stack.ss_size = STACK;
        fiber.beginning.uc_link = nullptr;
        makecontext(&fiber.beginning, begin_fiber, 0);
    }
    watch_new_block();
}

// Bring words (and an address) to a warp-wide instruction; returns what all 32 lanes brought.
const Brought& meet(Step step, const unsigned* words, unsigned count, const void* row = nullptr) {
    std::copy(words, words + count, current->words);
    current->row = row;
    wait_at(step);
    return brought[current->warp];
}

void perform(Copy& copy) {
    if (copy.valid) memcpy(copy.to, copy.from, copy.bytes);
    else memset(copy.to, 0, copy.bytes);
    copy.done = true;
}

float half_of(unsigned word, bool upper) {
    unsigned bits = upper ? word & 0xffff0000 : word << 16;
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

}  // namespace

Index thread_index() { return {current->number, 0, 0}; }
Index block_index() { return block; }
Index block_size() { return launch->block; }
Index grid_size() { return launch->grid; }
char* dynamic_shared_memory() { return dynamic_begin; }
void block_barrier() { wait_at(BLOCK_BARRIER); }
void warp_barrier() { meet(WARP_BARRIER, nullptr, 0); }
unsigned shuffle_xor(unsigned word, unsigned distance) {
    return meet(SHUFFLE, &word, 1).words[(current->lane ^ distance) % WARP][0];
}

// Lane 8i + r gives the address of row r, 8 numbers of 16 bits, of matrix i. With g = lane / 4 and t = lane % 4, register i
// then holds row g, columns 2t and 2t + 1 of matrix i; transposed, rows 2t and 2t + 1 of column g.
void load_matrices(unsigned (&out)[4], const void* row, bool transposed) {
    if ((uintptr_t)row % 16) fail("ldmatrix of an address that is no multiple of 16");
    watch(row, 16, false);
    unsigned mine[4];
    memcpy(mine, row, 16);
    const Brought& all = meet(transposed ? LOAD_TRANSPOSED : LOAD, mine, 4, row);
    unsigned g = current->lane / 4, t = current->lane % 4;
    for (unsigned i = 0; i < 4; i++) {
        auto at = [&](unsigned y, unsigned x) { return all.words[8 * i + y][x / 2] >> x % 2 * 16 & 0xffff; };
        out[i] = transposed ? at(2 * t, g) | at(2 * t + 1, g) << 16 : at(g, 2 * t) | at(g, 2 * t + 1) << 16;
    }
    for (unsigned i = 0; i < 4 && current->lane == 0; i++) {  // eight rows at once: best from eight different groups of banks
        unsigned uses[8] = {}, most = 0;
        for (unsigned y = 0; y < 8; y++) most = std::max(most, ++uses[(uintptr_t)all.rows[8 * i + y] / 16 % 8]);
        launch->bank_conflicts += most - 1;
    }
}

// d (16, 8) += a (16, 16) b (16, 8). Register i of a: row g + 8 (i % 2), columns 2t + 8 (i / 2) and the next; b0, b1:
// column g, rows 2t (+ 8) and the next; element i of d: row g + 8 (i / 2), column 2t + i % 2.
void multiply_add(float (&d)[4], const unsigned (&a)[4], unsigned b0, unsigned b1) {
    unsigned mine[6] = {a[0], a[1], a[2], a[3], b0, b1};
    const Brought& all = meet(MULTIPLY, mine, 6);
    auto a_at = [&](unsigned row, unsigned k) { return half_of(all.words[row % 8 * 4 + k % 8 / 2][row / 8 + k / 8 * 2], k % 2); };
    auto b_at = [&](unsigned k, unsigned column) { return half_of(all.words[column * 4 + k % 8 / 2][4 + k / 8], k % 2); };
    unsigned g = current->lane / 4, t = current->lane % 4;
    for (unsigned i = 0; i < 4; i++)
        for (unsigned k = 0; k < 16; k++) d[i] += a_at(g + i / 2 * 8, k) * b_at(k, 2 * t + i % 2);
}

// A copy happens at some time between here and the wait: at once, at the last moment, or as chance has it.
void begin_copy(void* to, const void* from, unsigned bytes, bool valid) {
    if ((uintptr_t)to % bytes || (uintptr_t)from % bytes) fail("cp.async at an address that is no multiple of %u", bytes);
    Copy copy = {to, from, bytes, current->groups, valid, false};
    watch_copy(copy, true);
    unsigned when = launch->seed % 3;
    if (when == 1 || (when == 2 && random_below(2))) perform(copy);
    current->copies.push_back(copy);
}
void commit_copies() { current->groups++; }
void wait_for_copies(unsigned groups_left) {
    std::vector<Copy> later;
    for (Copy& copy : current->copies) {
        if (copy.group + groups_left >= current->groups) {
            later.push_back(copy);
            continue;
        }
        if (!copy.done) perform(copy);
        watch_copy(copy, false);
    }
    current->copies.swap(later);
}

bool run(Launch& todo, void (*body)(void*), void* arguments, char* shared_begin, char* shared_end) {
    launch = &todo;
    kernel = body;
    kernel_arguments = arguments;
    current = nullptr;
    failed = false;
    launch->message[0] = 0;
    unsigned threads = todo.block.x;
    if (todo.block.y != 1 || todo.block.z != 1 || threads % WARP || threads > 1024 || todo.grid.y > 65535 || todo.grid.z > 65535 ||
        !todo.grid.x || !todo.grid.y || !todo.grid.z) {
        snprintf(launch->message, launch->message_bytes, "grid (%u, %u, %u), block (%u, %u, %u): not whole warps, or out of bounds",
                 todo.grid.x, todo.grid.y, todo.grid.z, todo.block.x, todo.block.y, todo.block.z);
        return false;
    }
    random_state = todo.seed * 977 + 5;
    fibers.resize(threads);
    warp_epoch.assign(threads / WARP, 0);
    brought.resize(threads / WARP);
    if (stack_bytes < STACK * threads) stacks.reset(new char[stack_bytes = STACK * threads]);
    void* memory = nullptr;
    if (todo.shared_bytes && posix_memalign(&memory, 1024, todo.shared_bytes)) abort();
    dynamic_begin = (char*)memory;
    dynamic_end = dynamic_begin + todo.shared_bytes;
    static_begin = shared_begin;
    static_end = shared_end;
    begin_watching();

    std::vector<unsigned> order(todo.grid.x * todo.grid.y * todo.grid.z);
    for (unsigned i = 0; i < order.size(); i++) order[i] = i;
    shuffle_order(order);
    for (unsigned number : order) {
        block_number = number;
        block = {number % todo.grid.x, number / todo.grid.x % todo.grid.y, number / (todo.grid.x * todo.grid.y)};
        run_block();
        if (failed) break;
    }
    free(memory);
    return !failed;
}

}  // namespace emulated

#ifdef WATCHED
// What the compiler calls, before every access to memory, in code compiled with -fsanitize=thread.
extern "C" {
void __tsan_init() {}
void __tsan_func_entry(void*) {}
void __tsan_func_exit() {}
#define ACCESS(n)                                                                                             \
    void __tsan_read##n(void* where) { emulated::watch(where, n, false); }                                    \
    void __tsan_write##n(void* where) { emulated::watch(where, n, true); }                                    \
    void __tsan_unaligned_read##n(void* where) { emulated::watch(where, n, false, false); }                   \
    void __tsan_unaligned_write##n(void* where) { emulated::watch(where, n, true, false); }
ACCESS(1) ACCESS(2) ACCESS(4) ACCESS(8) ACCESS(16)
void __tsan_read_range(void* where, unsigned long bytes) { emulated::watch(where, bytes, false, false); }
void __tsan_write_range(void* where, unsigned long bytes) { emulated::watch(where, bytes, true, false); }
}
#endif

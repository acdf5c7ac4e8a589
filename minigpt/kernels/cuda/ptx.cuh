// The instructions of the GPU that CUDA C has no words for, each as a function of what it does.
// Registers and lanes as in NVIDIA's PTX manual; g = lane / 4 and t = lane % 4.

#ifndef PTX_EMULATED  // tests/support/cuda has these functions in C++

template <class T> __device__ __forceinline__ T* dynamic_shared() {
    extern __shared__ __align__(128) unsigned char dynamic_shared_bytes[];
    return reinterpret_cast<T*>(dynamic_shared_bytes);
}

__device__ __forceinline__ unsigned shared_address(const void* p) { return (unsigned)__cvta_generic_to_shared(p); }

// Four 8x8 matrices of bfloat16; lane 8i + r gives the address of row r of matrix i. Register i of a lane then holds
// row g, columns 2t and 2t + 1 of matrix i; transposed, rows 2t and 2t + 1 of column g.
__device__ __forceinline__ void load_matrices(unsigned (&out)[4], const void* row) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(out[0]), "=r"(out[1]), "=r"(out[2]), "=r"(out[3]) : "r"(shared_address(row)) : "memory");
}
__device__ __forceinline__ void load_matrices_transposed(unsigned (&out)[4], const void* row) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(out[0]), "=r"(out[1]), "=r"(out[2]), "=r"(out[3]) : "r"(shared_address(row)) : "memory");
}

// d (16, 8) += a (16, 16) @ b (16, 8), products of bfloat16 added up in float.
//   register i of a    row g + 8 (i % 2), columns 2t + 8 (i / 2) and the next
//   b0, b1             column g, rows 2t and the next, 2t + 8 and the next
//   element i of d     row g + 8 (i / 2), column 2t + i % 2
__device__ __forceinline__ void multiply_add(float (&d)[4], const unsigned (&a)[4], unsigned b0, unsigned b1) {
    asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
        "{%0, %1, %2, %3};"
                 : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

// Copies from global to shared memory that go on by themselves; zeros where not valid (`from` must be an address all the
// same). Those begun since the last commit_copies are a group; wait_for_copies<N> waits until only N groups are under way.
__device__ __forceinline__ void begin_copy_16(void* to, const void* from, bool valid) {
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;"
                 :: "r"(shared_address(to)), "l"(__cvta_generic_to_global(from)), "r"(valid ? 16 : 0) : "memory");
}
__device__ __forceinline__ void begin_copy_4(void* to, const void* from, bool valid) {
    asm volatile("cp.async.ca.shared.global [%0], [%1], 4, %2;"
                 :: "r"(shared_address(to)), "l"(__cvta_generic_to_global(from)), "r"(valid ? 4 : 0) : "memory");
}
__device__ __forceinline__ void commit_copies() { asm volatile("cp.async.commit_group;" ::: "memory"); }
template <int GROUPS> __device__ __forceinline__ void wait_for_copies() {
    asm volatile("cp.async.wait_group %0;" :: "n"(GROUPS) : "memory");
}

// 2^x, to 2 units in the last place.
__device__ __forceinline__ float power_of_two(float x) {
    float y;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
}

#endif

// Two floats as bfloat16 in one register, the first in the lower half.
__device__ __forceinline__ unsigned packed(float first, float second) {
    __nv_bfloat162 pair = __floats2bfloat162_rn(first, second);
    return *reinterpret_cast<unsigned*>(&pair);
}

// For processors with a matrix unit (AMX): leaves on a grid as bytes, 32 rows with 32 columns at a time.
// A row is STEPS lines of 64 bytes. Sixteen rows are STEPS blocks: as rows of a product each block is sixteen lines, a row
// each (`lines`); as columns it is the same turned, sixteen words side by side (`turned`). Sums are whole numbers that a
// float holds: the keys are those of the other ways to multiply.

#define STEPS ((D + 63) / 64)
#define BLOCK 1024

// Word by word: vectors would take a tenth of a second more to compile, and no less to run.
inline void turn(__global const uint* restrict lines, __global uint* restrict turned) {
    for (uint word = 0; word < 16; word++) for (uint row = 0; row < 16; row++) turned[word * 16 + row] = lines[row * 16 + word];
}

// A row on its grid, into its lines; answers its squared length.
inline float round_row(__global const float* restrict x, __global const float* restrict cen, float scale,
                       __global char* restrict to) {
    float16 sum = 0;
    for (uint c = 0; c < D / 16; c++) {
        float16 v = ON_GRID(vload16(c, x) - vload16(c, cen), scale);
        sum = fma(v, v, sum);
        *(__global char16*)(to + c / 4 * BLOCK + c % 4 * 16) = convert_char16(convert_int16(v));
    }
    float8 eight = sum.lo + sum.hi;
    float4 four = eight.lo + eight.hi;
    float norm = four.x + four.y + (four.z + four.w);
    for (uint k = D / 16 * 16; k < STEPS * 64; k++) {
        float v = k < D ? ON_GRID(x[k] - cen[k], scale) : 0.0f;
        norm = fma(v, v, norm);
        to[k / 64 * BLOCK + k % 64] = (char)(int)v;
    }
    return norm;
}

// Sums of two times sixteen rows with two times sixteen columns: of the first rows with the first and the second columns,
// then of the second rows.
inline void multiply(__global const char* a0, __global const char* a1, __global const char* b0, __global const char* b1,
                     __private int* sums) {
    long steps = STEPS;
    __asm__ volatile(
        "tilezero %%tmm0\n\t" "tilezero %%tmm1\n\t" "tilezero %%tmm2\n\t" "tilezero %%tmm3\n"
        "1:\n\t"
        "tileloadd (%3,%6,1), %%tmm6\n\t" "tileloadd (%1,%6,1), %%tmm4\n\t"
        "tileloadd (%4,%6,1), %%tmm7\n\t" "tileloadd (%2,%6,1), %%tmm5\n\t"
        "tdpbssd %%tmm6, %%tmm4, %%tmm0\n\t" "tdpbssd %%tmm7, %%tmm4, %%tmm1\n\t"
        "tdpbssd %%tmm6, %%tmm5, %%tmm2\n\t" "tdpbssd %%tmm7, %%tmm5, %%tmm3\n\t"
        "add $1024, %1\n\t" "add $1024, %2\n\t" "add $1024, %3\n\t" "add $1024, %4\n\t"
        "dec %0\n\t" "jnz 1b\n\t"
        "tilestored %%tmm0, (%5,%6,1)\n\t" "tilestored %%tmm1, 1024(%5,%6,1)\n\t"
        "tilestored %%tmm2, 2048(%5,%6,1)\n\t" "tilestored %%tmm3, 3072(%5,%6,1)"
        : "+r"(steps), "+r"(a0), "+r"(a1), "+r"(b0), "+r"(b1)
        : "r"(sums), "r"(64L)
        : "memory", "cc");
}

inline void set_up(void) {
    // The first palette: eight tiles of sixteen lines of 64 bytes.
    uchar config[64] __attribute__((aligned(64)));
    for (int i = 0; i < 64; i++) config[i] = 0;
    config[0] = 1;
    for (int tile = 0; tile < 8; tile++) { config[16 + 2 * tile] = 64; config[48 + tile] = 16; }
    __asm__ volatile("ldtilecfg (%0)" : : "r"(config) : "memory");
}

// The four nearest other members of each member of each leaf, as places in the leaf. Every scale is above 0.
__kernel __attribute__((reqd_work_group_size(1, 1, 1)))
void leaf(__global const float* restrict X, __global const uint* restrict starts, __global const uint* restrict members,
          uint leaves, __global const float* restrict scales, __global const float* restrict centres,
          __global float16* restrict scratch,
          volatile __global uint* next, __global uint* restrict out) {
    // Memory as in the kernel for floats, whose panels are at least as long as both kinds of blocks.
    __global char* lines = (__global char*)(scratch + get_global_id(0) * (size_t)(66 * (D + 5)));
    __global char* turned = lines + 64 * STEPS * BLOCK;
    __global float* norms = (__global float*)(lines + 66 * D * 64);
    __global uint16* columns = (__global uint16*)(norms + 66 * 16);
    int sums[4 * 256] __attribute__((aligned(64)));
    set_up();
    for (;;) {
        uint lf = atomic_inc(next);
        if (lf >= leaves) break;
        uint o = starts[lf], L = starts[lf + 1] - o, count = (L + 15) / 16;
        for (uint p = 0; p < count; p++) {
            __global char* block = lines + p * (STEPS * BLOCK);
            for (uint r = 0; r < 16; r++) {
                uint at = p * 16 + r;
                // What fills up the last panel is infinitely long: its values do not matter.
                norms[at] = at < L
                    ? round_row(X + (size_t)members[o + at] * D, centres + (size_t)lf * D, scales[lf], block + r * 64)
                    : INFINITY;
            }
            for (uint s = 0; s < STEPS; s++)
                turn((__global const uint*)(block + s * BLOCK), (__global uint*)(turned + (p * STEPS + s) * BLOCK));
            for (int q = 0; q < 4; q++) columns[p * 4 + q] = (uint16)NONE;
        }
        for (uint own = 0; own < count; own += 2) {
            // Where there is no second panel the first is met twice.
            uint beside = min(own + 1, count - 1);
            uint16 rows[32][4];
            for (int r = 0; r < 32; r++) for (int q = 0; q < 4; q++) rows[r][q] = (uint16)NONE;
            for (uint at = own; at < count; at += 2) {
                uint then = min(at + 1, count - 1);
                multiply(lines + own * (STEPS * BLOCK), lines + beside * (STEPS * BLOCK),
                         turned + at * (STEPS * BLOCK), turned + then * (STEPS * BLOCK), sums);
                for (uint tile = 0; tile < 4; tile++) {
                    uint row = own + tile / 2, column = at + tile % 2;
                    if (row >= count || column >= count || row > column) continue;
                    float16 lengths = ((__global const float16*)norms)[column];
                    uint16 below[4];
                    for (int q = 0; q < 4; q++) below[q] = columns[column * 4 + q];
                    for (uint r = 0; r < 16; r++)
                        meet(convert_float16(vload16(tile * 16 + r, sums)), (float16)norms[row * 16 + r] + lengths,
                             row * 16 + r, column, rows[tile / 2 * 16 + r], below);
                    for (int q = 0; q < 4; q++) columns[column * 4 + q] = below[q];
                }
            }
            for (uint r = 0; r < 32 && own * 16 + r < L; r++)
                finish(rows[r], (__global const uint*)(columns + (own + r / 16) * 4) + r % 16,
                       out + (size_t)(o + own * 16 + r) * 4);
        }
    }
    __asm__ volatile("tilerelease");
}

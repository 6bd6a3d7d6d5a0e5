// For GPUs: work-groups of 64, a row each; sixteen columns at a time pass by in local memory, in chunks of values.
// Chunks come in order and each product is one chain through all of them, so the bits are those of the other tier.

#define GROUP 64
#define COLUMNS 16
#define CHUNK 32

// acc[c] of each work-item: its row times column c, for values of rows and columns at (place in the block, k).
#define PRODUCTS(acc, rows_left, row_value, columns_left, column_value) do { \
    for (uint c = 0; c < COLUMNS; c++) acc[c] = 0.0f; \
    for (uint k0 = 0; k0 < D; k0 += CHUNK) { \
        barrier(CLK_LOCAL_MEM_FENCE); \
        for (uint t = lid; t < GROUP * CHUNK; t += GROUP) { \
            uint r = t / CHUNK, k = k0 + t % CHUNK; \
            rows[r * (CHUNK + 1) + t % CHUNK] = r < (rows_left) && k < D ? (row_value) : 0.0f; \
        } \
        for (uint t = lid; t < COLUMNS * CHUNK; t += GROUP) { \
            uint c = t % COLUMNS, k = k0 + t / COLUMNS; \
            columns[t] = c < (columns_left) && k < D ? (column_value) : 0.0f; \
        } \
        barrier(CLK_LOCAL_MEM_FENCE); \
        uint upto = min((uint)CHUNK, (uint)D - k0); \
        for (uint k = 0; k < upto; k++) { \
            float v = rows[lid * (CHUNK + 1) + k]; \
            for (uint c = 0; c < COLUMNS; c++) acc[c] = fma(v, columns[k * COLUMNS + c], acc[c]); \
        } \
    } \
} while (0)

// A distance as sortable bits. What is not above zero, rounded or no number, is zero.
inline uint bits_of(float dot, float norms) {
    float d = fma(-2.0f, dot, norms);
    return d > 0.0f ? as_uint(d) : 0u;
}

// For each row of X the F nearest of k centres. `packed` holds panels of sixteen, `cn` their squared lengths.
__kernel __attribute__((reqd_work_group_size(GROUP, 1, 1)))
void assign(__global const float* restrict X, uint n, __global const float* restrict packed,
            __global const float* restrict cn, uint k, __global const float* restrict cen,
            __global uint* restrict out) {
    __local float rows[GROUP * (CHUNK + 1)];
    __local float columns[COLUMNS * CHUNK];
    uint lid = get_local_id(0), i0 = get_group_id(0) * GROUP, i = i0 + lid;
    float acc[COLUMNS];
    float norm = 0.0f;
    if (i < n) for (uint d = 0; d < D; d++) {
        float v = X[(size_t)i * D + d] - cen[d];
        norm = fma(v, v, norm);
    }
#if F == 1
    float best = INFINITY;
    uint which = 0;
#else
    uint list[F];
    for (uint q = 0; q < F; q++) list[q] = NONE;
#endif
    for (uint c0 = 0; c0 < k; c0 += COLUMNS) {
        PRODUCTS(acc, n - i0, X[(size_t)(i0 + r) * D + k] - cen[k], COLUMNS, packed[((size_t)(c0 / COLUMNS) * D + k) * COLUMNS + c]);
        for (uint c = 0; c < COLUMNS && c0 + c < k; c++) {
#if F == 1
            float d = fma(-2.0f, acc[c], cn[c0 + c]);
            if (d < best) { best = d; which = c0 + c; }
#else
            uint key = (bits_of(acc[c], cn[c0 + c] + norm) & ~INDEX) | (c0 + c);
            for (uint q = 0; q < F; q++) { uint m = min(list[q], key); key = max(list[q], key); list[q] = m; }
#endif
        }
    }
    if (i < n) {
#if F == 1
        out[i] = which;
#else
        for (uint q = 0; q < F; q++) out[(size_t)i * F + q] = min(list[q] & INDEX, k - 1);
#endif
    }
}

// A value on the grid of its leaf, if there is one.
inline float on_grid(float v, float scale) {
    return scale > 0.0f ? clamp(rint(v * scale), -MOST, MOST) : v;
}

// The four nearest other members of each member of each leaf, as places in the leaf. A work-group takes a leaf.
__kernel __attribute__((reqd_work_group_size(GROUP, 1, 1)))
void leaf(__global const float* restrict X, __global const uint* restrict starts, __global const uint* restrict members,
          __global const float* restrict scales, __global const float* restrict centres, __global uint* restrict out) {
    __local float rows[GROUP * (CHUNK + 1)];
    __local float columns[COLUMNS * CHUNK];
    __local float norms[INDEX + 1];
    uint lid = get_local_id(0), lf = get_group_id(0), o = starts[lf], L = starts[lf + 1] - o;
    __global const float* cen = centres + (size_t)lf * D;
    float scale = scales[lf];
    float acc[COLUMNS];
    for (uint r = lid; r < L; r += GROUP) {
        float norm = 0.0f;
        for (uint d = 0; d < D; d++) {
            float v = on_grid(X[(size_t)members[o + r] * D + d] - cen[d], scale);
            norm = fma(v, v, norm);
        }
        norms[r] = norm;
    }
    barrier(CLK_LOCAL_MEM_FENCE);
    for (uint r0 = 0; r0 < L; r0 += GROUP) {
        uint row = r0 + lid;
        uint list[4];
        for (uint q = 0; q < 4; q++) list[q] = NONE;
        for (uint c0 = 0; c0 < L; c0 += COLUMNS) {
            PRODUCTS(acc, L - r0, on_grid(X[(size_t)members[o + r0 + r] * D + k] - cen[k], scale),
                     L - c0, on_grid(X[(size_t)members[o + c0 + c] * D + k] - cen[k], scale));
            for (uint c = 0; c < COLUMNS; c++) {
                uint column = c0 + c;
                if (row < L && column < L && column != row) {
                    uint key = (bits_of(acc[c], norms[row] + norms[column]) & ~INDEX) | column;
                    for (uint q = 0; q < 4; q++) { uint m = min(list[q], key); key = max(list[q], key); list[q] = m; }
                }
            }
        }
        if (row < L)
            for (uint q = 0; q < 4; q++) out[(size_t)(o + row) * 4 + q] = list[q] < FAR ? list[q] & INDEX : NONE;
    }
}

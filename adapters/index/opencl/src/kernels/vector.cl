// For processors: explicit vectors of sixteen, work-groups of one, as many of them as there are compute units.
// Panels are 16 rows side by side (value k of all, then k + 1); a tile is 8 rows with 3 panels, in registers.

#define PANELS 3
#define ROWS 8

// Packs rows less the centre into a panel, zeros where there are fewer than 16; answers their squared lengths.
#define PACK(panel, count, row_of, cen, norm) do { \
    __global float* to = (__global float*)(panel); \
    for (uint lane = 0; lane < 16; lane++) { \
        if (lane < (count)) { \
            __global const float* x = X + (size_t)(row_of) * D; \
            for (uint k = 0; k < D; k++) to[k * 16 + lane] = x[k] - (cen)[k]; \
        } else for (uint k = 0; k < D; k++) to[k * 16 + lane] = 0.0f; \
    } \
    float16 sum = 0; \
    for (uint k = 0; k < D; k++) { float16 v = (panel)[k]; sum = fma(v, v, sum); } \
    norm = sum; \
} while (0)

inline void tile(__global const float* restrict a, __global const float16* restrict b, float16 out[ROWS][PANELS]) {
    float16 acc[ROWS][PANELS];
    #pragma unroll
    for (int r = 0; r < ROWS; r++) {
        #pragma unroll
        for (int p = 0; p < PANELS; p++) acc[r][p] = (float16)0;
    }
    for (uint k = 0; k < D; k++) {
        float16 b0 = b[k], b1 = b[D + k], b2 = b[2 * D + k];
        #pragma unroll
        for (int r = 0; r < ROWS; r++) {
            float16 v = (float16)(a[k * 16 + r]);
            acc[r][0] = fma(v, b0, acc[r][0]);
            acc[r][1] = fma(v, b1, acc[r][1]);
            acc[r][2] = fma(v, b2, acc[r][2]);
        }
    }
    #pragma unroll
    for (int r = 0; r < ROWS; r++) {
        #pragma unroll
        for (int p = 0; p < PANELS; p++) out[r][p] = acc[r][p];
    }
}

// Distances as sortable bits. What is not above zero, rounded or no number, is zero.
inline uint16 bits_of(float16 dot, float16 norms) {
    float16 d = fma((float16)-2.0f, dot, norms);
    return as_uint16(select((float16)0, d, d > (float16)0));
}

#define LANES (uint16)(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15)

// For each row of X the F nearest of k centres. `packed` holds their panels, `cn` their squared lengths.
__kernel __attribute__((reqd_work_group_size(1, 1, 1)))
void assign(__global const float* restrict X, uint n, __global const float* restrict packed,
            __global const float* restrict cn, uint k, __global const float* restrict cen,
            __global float16* restrict scratch, volatile __global uint* next, __global uint* restrict out) {
    __global float16* points = scratch + get_global_id(0) * (size_t)(PANELS * D);
    float16 dots[ROWS][PANELS];
    for (;;) {
        uint i0 = atomic_inc(next) * (PANELS * 16);
        if (i0 >= n) break;
        float16 norms[PANELS];
        for (uint p = 0; p < PANELS; p++) {
            uint first = i0 + p * 16, count = first < n ? min(16u, n - first) : 0;
            PACK(points + p * D, count, first + lane, cen, norms[p]);
        }
#if F == 1
        float16 best[PANELS];
        uint16 which[PANELS];
        for (int p = 0; p < PANELS; p++) { best[p] = (float16)INFINITY; which[p] = (uint16)0; }
        for (uint c = 0; c < k; c += ROWS) {
            tile(packed + (size_t)(c / 16) * D * 16 + c % 16, points, dots);
            for (uint r = 0; r < ROWS; r++) for (int p = 0; p < PANELS; p++) {
                float16 d = fma((float16)-2.0f, dots[r][p], (float16)cn[c + r]);
                int16 nearer = d < best[p];
                best[p] = select(best[p], d, nearer);
                which[p] = select(which[p], (uint16)(c + r), nearer);
            }
        }
        for (uint p = 0; p < PANELS; p++) {
            uint found[16];
            vstore16(which[p], 0, found);
            for (uint lane = 0; lane < 16 && i0 + p * 16 + lane < n; lane++) out[i0 + p * 16 + lane] = found[lane];
        }
#else
        uint16 lists[PANELS][F];
        for (int p = 0; p < PANELS; p++) for (int q = 0; q < F; q++) lists[p][q] = (uint16)NONE;
        for (uint c = 0; c < k; c += ROWS) {
            tile(packed + (size_t)(c / 16) * D * 16 + c % 16, points, dots);
            for (int p = 0; p < PANELS; p++) for (uint r = 0; r < ROWS; r++) {
                uint16 key = (bits_of(dots[r][p], (float16)cn[c + r] + norms[p]) & (uint16)~INDEX) | (uint16)(c + r);
                #pragma unroll
                for (int q = 0; q < F; q++) { uint16 m = min(lists[p][q], key); key = max(lists[p][q], key); lists[p][q] = m; }
            }
        }
        for (uint p = 0; p < PANELS; p++) for (uint q = 0; q < F; q++) {
            uint found[16];
            vstore16(lists[p][q], 0, found);
            for (uint lane = 0; lane < 16 && i0 + p * 16 + lane < n; lane++)
                out[(size_t)(i0 + p * 16 + lane) * F + q] = min(found[lane] & INDEX, k - 1);
        }
#endif
    }
}

inline void insert(uint16 list[4], uint16 key) {
    #pragma unroll
    for (int q = 0; q < 4; q++) { uint16 m = min(list[q], key); key = max(list[q], key); list[q] = m; }
}

inline uint take_least(uint16 list[4]) {
    uint8 a = min(list[0].lo, list[0].hi);
    uint4 b = min(a.lo, a.hi);
    uint2 c = min(b.lo, b.hi);
    uint least = min(c.x, c.y);
    int16 hit = list[0] == (uint16)least;
    list[0] = select(list[0], list[1], hit);
    list[1] = select(list[1], list[2], hit);
    list[2] = select(list[2], list[3], hit);
    list[3] = select(list[3], (uint16)NONE, hit);
    return least;
}

// The four nearest other members of each member of each leaf, as places in the leaf. Each pair is multiplied once.
__kernel __attribute__((reqd_work_group_size(1, 1, 1)))
void leaf(__global const float* restrict X, __global const uint* restrict starts, __global const uint* restrict members,
          uint leaves, __global const float* restrict centres, __global float16* restrict scratch,
          volatile __global uint* next, __global uint* restrict out) {
    // Panels of a full leaf and two a tile may read beyond, their lengths, the lists of their columns.
    __global float16* panels = scratch + get_global_id(0) * (size_t)(66 * (D + 5));
    __global float16* norms = panels + 66 * D;
    __global uint16* columns = (__global uint16*)(norms + 66);
    float16 dots[ROWS][PANELS];
    for (;;) {
        uint lf = atomic_inc(next);
        if (lf >= leaves) break;
        uint o = starts[lf], L = starts[lf + 1] - o, count = (L + 15) / 16;
        __global const float* cen = centres + (size_t)lf * D;
        for (uint p = 0; p < count; p++) {
            uint full = min(16u, L - p * 16);
            float16 norm;
            PACK(panels + p * D, full, members[o + p * 16 + lane], cen, norm);
            norms[p] = select(norm, (float16)INFINITY, LANES >= (uint16)full);
            for (int q = 0; q < 4; q++) columns[p * 4 + q] = (uint16)NONE;
        }
        for (uint first = 0; first < L; first += ROWS) {
            uint own = first / 16;
            __global const float* length = (__global const float*)norms + first;
            uint16 rows[ROWS][4];
            for (int r = 0; r < ROWS; r++) for (int q = 0; q < 4; q++) rows[r][q] = (uint16)NONE;
            for (uint at = own; at < count; at += PANELS) {
                tile((__global const float*)(panels + own * D) + first % 16, panels + at * D, dots);
                for (uint p = 0; p < PANELS && at + p < count; p++) {
                    uint16 column = LANES + (uint16)((at + p) * 16);
                    float16 lengths = norms[at + p];
                    uint16 below[4];
                    for (int q = 0; q < 4; q++) below[q] = columns[(at + p) * 4 + q];
                    for (uint r = 0; r < ROWS; r++) {
                        uint16 d = bits_of(dots[r][p], (float16)length[r] + lengths) & (uint16)~INDEX;
                        if (at + p == own) d = select(d, (uint16)NONE, column <= (uint16)(first + r));
                        insert(rows[r], d | column);
                        insert(below, (d & (uint16)~INDEX) | (uint16)(first + r));
                    }
                    for (int q = 0; q < 4; q++) columns[(at + p) * 4 + q] = below[q];
                }
            }
            for (uint r = 0; r < ROWS && first + r < L; r++) {
                __global const uint* above = (__global const uint*)(columns + own * 4) + (first + r) % 16;
                uint least = take_least(rows[r]), taken = 0;
                for (uint q = 0; q < 4; q++) {
                    uint key = taken < 4 ? above[taken * 16] : NONE;
                    if (key <= least) taken++;
                    else { key = least; least = take_least(rows[r]); }
                    out[(size_t)(o + first + r) * 4 + q] = key < FAR ? key & INDEX : NONE;
                }
            }
        }
    }
}

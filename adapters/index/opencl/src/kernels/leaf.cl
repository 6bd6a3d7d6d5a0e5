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
          uint leaves, __global const float* restrict scales, __global const float* restrict centres,
          __global float16* restrict scratch,
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
        float scale = scales[lf];
        for (uint p = 0; p < count; p++) {
            uint full = min(16u, L - p * 16);
            float16 norm;
            PACK(panels + p * D, full, members[o + p * 16 + lane], cen, scale, norm);
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

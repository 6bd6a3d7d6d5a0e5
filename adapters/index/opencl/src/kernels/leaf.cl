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
            uint full = min(16u, L - p * 16), each[16];
            for (uint lane = 0; lane < 16; lane++) each[lane] = members[o + p * 16 + min(lane, full - 1)];
            float16 norm = pack(X, each, full, cen, scale, panels + p * D);
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
                    float16 lengths = norms[at + p];
                    uint16 below[4];
                    for (int q = 0; q < 4; q++) below[q] = columns[(at + p) * 4 + q];
                    for (uint r = 0; r < ROWS; r++)
                        meet(dots[r][p], (float16)length[r] + lengths, first + r, at + p, rows[r], below);
                    for (int q = 0; q < 4; q++) columns[(at + p) * 4 + q] = below[q];
                }
            }
            for (uint r = 0; r < ROWS && first + r < L; r++)
                finish(rows[r], (__global const uint*)(columns + own * 4) + (first + r) % 16,
                       out + (size_t)(o + first + r) * 4);
        }
    }
}

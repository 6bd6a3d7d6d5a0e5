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
            uint rows[16];
            for (uint lane = 0; lane < 16; lane++) rows[lane] = first + lane;
            norms[p] = pack(X, rows, count, cen, 0.0f, points + p * D);
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

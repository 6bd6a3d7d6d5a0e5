// For processors: explicit vectors of sixteen, work-groups of one, as many of them as there are compute units.
// Panels are 16 rows side by side (value k of all, then k + 1); a tile is 8 rows with 3 panels, in registers.

#define PANELS 3
#define ROWS 8

// Packs rows less the centre into a panel, zeros where there are fewer than 16; answers their squared lengths. With a
// scale above 0 they are rounded to a grid.
#define PACK(panel, count, row_of, cen, scale, norm) do { \
    __global float* to = (__global float*)(panel); \
    for (uint lane = 0; lane < 16; lane++) { \
        if (lane < (count)) { \
            __global const float* x = X + (size_t)(row_of) * D; \
            for (uint k = 0; k < D; k++) to[k * 16 + lane] = x[k] - (cen)[k]; \
        } else for (uint k = 0; k < D; k++) to[k * 16 + lane] = 0.0f; \
    } \
    float16 sum = 0; \
    for (uint k = 0; k < D; k++) { \
        float16 v = (panel)[k]; \
        if ((scale) > 0.0f) (panel)[k] = v = clamp(rint(v * (scale)), -MOST, MOST); \
        sum = fma(v, v, sum); \
    } \
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

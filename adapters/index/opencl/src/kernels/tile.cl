// For processors: explicit vectors of sixteen, work-groups of one, as many of them as there are compute units.
// Panels are 16 rows side by side (value k of all, then k + 1); a tile is 8 rows with 3 panels, in registers.

#define PANELS 3
#define ROWS 8

// Turning 16 lines of 16 takes four rounds: the first and the second halves of two lines, one by one.
#define LOW(T, a, b) (T)(a.s0, b.s0, a.s1, b.s1, a.s2, b.s2, a.s3, b.s3, a.s4, b.s4, a.s5, b.s5, a.s6, b.s6, a.s7, b.s7)
#define HIGH(T, a, b) (T)(a.s8, b.s8, a.s9, b.s9, a.sa, b.sa, a.sb, b.sb, a.sc, b.sc, a.sd, b.sd, a.se, b.se, a.sf, b.sf)
#define ROUND(T, to, from) _Pragma("unroll") \
    for (int i = 0; i < 8; i++) { to[2 * i] = LOW(T, from[i], from[i + 8]); to[2 * i + 1] = HIGH(T, from[i], from[i + 8]); }
#define TURN(T, a, b) ROUND(T, b, a) ROUND(T, a, b) ROUND(T, b, a) ROUND(T, a, b)

// A value, or sixteen, on a grid with that scale, if it is above 0.
#define ON_GRID(v, scale) ((scale) > 0.0f ? clamp(rint((v) * (scale)), -MOST, MOST) : (v))

// Packs rows less the centre into a panel, zeros where there are fewer than 16; answers their squared lengths.
inline float16 pack(__global const float* restrict X, const uint rows[16], uint count, __global const float* restrict cen,
                    float scale, __global float16* restrict panel) {
    float16 sum = 0, a[16], b[16];
    for (uint k = 0; k + 16 <= D; k += 16) {
        float16 less = vload16(0, cen + k);
        for (uint lane = 0; lane < 16; lane++)
            a[lane] = lane < count ? vload16(0, X + (size_t)rows[lane] * D + k) - less : (float16)0;
        TURN(float16, a, b)
        for (uint i = 0; i < 16; i++) {
            float16 v = ON_GRID(a[i], scale);
            panel[k + i] = v;
            sum = fma(v, v, sum);
        }
    }
    for (uint k = D / 16 * 16; k < D; k++) {
        float values[16];
        for (uint lane = 0; lane < 16; lane++)
            values[lane] = lane < count ? X[(size_t)rows[lane] * D + k] - cen[k] : 0.0f;
        float16 v = ON_GRID(vload16(0, values), scale);
        panel[k] = v;
        sum = fma(v, v, sum);
    }
    return sum;
}

// Panels lie in the second-level cache, which takes its time.
#if __has_builtin(__builtin_prefetch)
#define AHEAD(at) __builtin_prefetch((const void*)(size_t)(at))
#else
#define AHEAD(at)
#endif

inline void tile(__global const float* restrict a, __global const float16* restrict b, float16 out[ROWS][PANELS]) {
    float16 acc[ROWS][PANELS];
    #pragma unroll
    for (int r = 0; r < ROWS; r++) {
        #pragma unroll
        for (int p = 0; p < PANELS; p++) acc[r][p] = (float16)0;
    }
    for (uint k = 0; k < D; k++) {
        AHEAD(b + k + 16);
        AHEAD(b + D + k + 16);
        AHEAD(b + 2 * D + k + 16);
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

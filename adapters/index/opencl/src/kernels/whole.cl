// Whole numbers: exact on every device, so no bit depends on which one it was.

// For each point of D coordinates the first of its nearest centres.
__kernel void nearest(__global const int* restrict points, uint n, __global const int* restrict centres, uint k,
                      __global uint* restrict out) {
    size_t i = get_global_id(0);
    if (i >= n) return;
    ulong least = ULONG_MAX;
    uint which = 0;
    for (uint c = 0; c < k; c++) {
        ulong sum = 0;
        for (uint d = 0; d < D; d++) {
            long by = (long)points[i * D + d] - (long)centres[(size_t)c * D + d];
            sum += (ulong)(by * by);
        }
        if (sum < least) { least = sum; which = c; }
    }
    out[i] = which;
}

// Sorted lists of the four least keys, one in each lane: what both ways to multiply a leaf have in common.
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

// The keys of row `this` with the columns of a panel, taken into the row's list and into those of the columns.
inline void meet(float16 dots, float16 norms, uint this, uint panel, uint16 row[4], uint16 below[4]) {
    uint16 column = LANES + (uint16)(panel * 16);
    uint16 d = bits_of(dots, norms) & (uint16)~INDEX;
    // Each pair once, and none with itself.
    if (panel == this / 16) d = select(d, (uint16)NONE, column <= (uint16)this);
    insert(row, d | column);
    insert(below, (d & (uint16)~INDEX) | (uint16)this);
}

// Writes the four least keys of a row that has met all columns; `above` is its place in the list of its own column.
inline void finish(uint16 row[4], __global const uint* above, __global uint* restrict out) {
    uint least = 0, taken = 0, used = 1;
    #pragma nounroll
    for (uint q = 0; q < 4; q++) {
        if (used) least = take_least(row);
        uint key = taken < 4 ? above[taken * 16] : NONE;
        used = key > least;
        if (used) key = least;
        else taken++;
        out[q] = key < FAR ? key & INDEX : NONE;
    }
}

// What the kernels share. D is the number of values of a row, F the number of centres found for each.
// Every product is one chain of fma, k from 0 up, and nothing else is contracted: the bits are those of the CPU engine.
#pragma OPENCL FP_CONTRACT OFF
#define INDEX 1023u
#define FAR 0x7f800000u
#define NONE 0xffffffffu
// The greatest number of a grid.
#define MOST 127.0f

//! Products of bytes by the matrix unit of a processor (AMX): 16 by 16 sums, 64 bytes deep, by one instruction.
//!
//! The unit adds up whole numbers, and those have one sum in any order: what it finds is what every other tier finds.
//! Columns (`b`) are panels of words as the other tiers read them; rows (`a`) are turned beforehand, so that the words of
//! a row follow each other ([`turn`]). A **step** is 16 words of each row; shorter rows are one step, less deep.
//!
//! Operating systems keep the unit's registers for those alone who asked for them; [`granted`] asks. There are no
//! intrinsics for it in stable Rust, hence the assembly.

use super::avx512::turn_sixteen;
use super::{Counts, LANES, Words};
use std::arch::asm;
use std::arch::x86_64::__cpuid_count;
use std::marker::PhantomData;

/// Words of a row that one instruction takes.
pub(crate) const DEEP: usize = 16;
/// Bytes of a tile: sixteen lines of 64.
const TILE: usize = 1_024;
/// Bytes of a line of a tile.
const LINE: usize = 64;

/// Sums of sixteen rows (turned) with sixteen columns: a lane for each column.
pub(crate) type Sums = [Counts; LANES];

/// Whether the processor has the unit, and the system lets this process use it.
pub(super) fn granted() -> bool {
    const TILES: u32 = 1 << 24;
    const BYTES: u32 = 1 << 25;
    let has = __cpuid_count(0, 0).eax >= 7 && __cpuid_count(7, 0).edx & (TILES | BYTES) == TILES | BYTES;
    has && ask()
}

/// Asks for the registers; once for all threads of the process.
#[cfg(target_os = "linux")]
#[expect(unsafe_code, reason = "a call of the system that the standard library lacks")]
fn ask() -> bool {
    const ARCH_REQ_XCOMP_PERM: libc::c_ulong = 0x1023;
    const TILE_DATA: libc::c_ulong = 18;
    // SAFETY: it takes two numbers and touches no memory of ours.
    unsafe { libc::syscall(libc::SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, TILE_DATA) == 0 }
}

#[cfg(not(target_os = "linux"))]
fn ask() -> bool {
    false
}

/// Words of a row with what fills up its last step.
pub(crate) fn padded(words: usize) -> usize {
    if words <= DEEP { words } else { words.next_multiple_of(DEEP) }
}

/// Turns panels of rows of `width` words (padded): for each panel and step sixteen lines, a row each.
///
/// # Safety
/// The unit was [`granted`], and AVX-512F was detected.
#[expect(unsafe_code, reason = "a function compiled for a detected instruction set")]
pub(crate) unsafe fn turn(panels: &[Words], width: usize, lines: &mut Vec<Words>) {
    lines.clear();
    for step in panels.chunks_exact(width).flat_map(|panel| panel.chunks(DEEP)) {
        let mut sixteen = [Words::ZERO; LANES];
        sixteen[..step.len()].copy_from_slice(step);
        // SAFETY: the caller vouches for the instructions.
        unsafe { turn_sixteen(&mut sixteen) };
        lines.extend_from_slice(&sixteen);
    }
}

/// The unit, set up on this thread for rows of some width.
#[derive(Debug)]
pub(crate) struct Unit {
    width: usize,
    /// Not to be sent: the registers are this thread's.
    here: PhantomData<*const ()>,
}

#[repr(C, align(64))]
struct Config {
    palette: u8,
    start: u8,
    reserved: [u8; 14],
    bytes: [u16; 16],
    lines: [u8; 16],
}

/// Multiplies two panels of turned rows with two panels of columns by the instruction of that name.
macro_rules! multiply {
    ($multiply:literal, $unit:ident, $a:ident, $b:ident, $out:ident) => {{
        let steps = $unit.width.div_ceil(DEEP);
        assert!($a.iter().all(|a| a.len() == steps * LANES) && $b.iter().all(|b| b.len() == $unit.width));
        // SAFETY: each step reads sixteen lines of each of `a` and, of each of `b`, as many as the row has words left:
        // less than sixteen only where there is one step. Four tiles of sums are written to `out`.
        unsafe {
            asm!(
                "tilezero tmm0",
                "tilezero tmm1",
                "tilezero tmm2",
                "tilezero tmm3",
                "2:",
                "tileloadd tmm6, [{b0} + {line}]",
                "tileloadd tmm4, [{a0} + {line}]",
                "tileloadd tmm7, [{b1} + {line}]",
                "tileloadd tmm5, [{a1} + {line}]",
                concat!($multiply, " tmm0, tmm4, tmm6"),
                concat!($multiply, " tmm1, tmm4, tmm7"),
                concat!($multiply, " tmm2, tmm5, tmm6"),
                concat!($multiply, " tmm3, tmm5, tmm7"),
                "add {a0}, {tile}",
                "add {a1}, {tile}",
                "add {b0}, {tile}",
                "add {b1}, {tile}",
                "dec {steps}",
                "jnz 2b",
                "tilestored [{out} + {line}], tmm0",
                "tilestored [{out} + {line} + {second}], tmm1",
                "tilestored [{out} + {line} + {third}], tmm2",
                "tilestored [{out} + {line} + {fourth}], tmm3",
                a0 = inout(reg) $a[0].as_ptr() => _,
                a1 = inout(reg) $a[1].as_ptr() => _,
                b0 = inout(reg) $b[0].as_ptr() => _,
                b1 = inout(reg) $b[1].as_ptr() => _,
                steps = inout(reg) steps => _,
                line = in(reg) LINE,
                out = in(reg) $out.as_mut_ptr(),
                tile = const TILE,
                second = const TILE,
                third = const 2 * TILE,
                fourth = const 3 * TILE,
                out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
                out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
                options(nostack),
            );
        }
    }};
}

impl Unit {
    /// Sets up the registers for rows of `width` words (padded).
    ///
    /// # Safety
    /// The unit was [`granted`].
    #[expect(unsafe_code, reason = "an instruction that only some processors have")]
    pub(crate) unsafe fn set_up(width: usize) -> Self {
        let deep = width.min(DEEP);
        assert!(deep > 0 && width == padded(width));
        let mut config = Config { palette: 1, start: 0, reserved: [0; 14], bytes: [0; 16], lines: [0; 16] };
        // 0 to 3 are sums, 4 and 5 rows, 6 and 7 columns.
        for tile in 0..8 {
            config.bytes[tile] = if (4..6).contains(&tile) { 4 * deep as u16 } else { LINE as u16 };
            config.lines[tile] = if tile < 6 { LANES as u8 } else { deep as u8 };
        }
        // SAFETY: the caller vouches for the instruction; the configuration is one that the first palette allows.
        unsafe { asm!("ldtilecfg [{}]", in(reg) &raw const config, options(nostack, readonly)) };
        Self { width, here: PhantomData }
    }

    /// Sums of signed bytes of two panels of turned rows with unsigned ones of two panels of columns: of the first rows
    /// with the first and the second columns, then of the second rows.
    #[expect(unsafe_code, reason = "assembly, whose reads and writes are bounded by what is asserted")]
    pub(crate) fn quads(&self, a: [&[Words]; 2], b: [&[Words]; 2], out: &mut [Sums; 4]) {
        multiply!("tdpbsud", self, a, b, out);
    }

    /// The same of signed bytes with signed ones.
    #[expect(unsafe_code, reason = "assembly, whose reads and writes are bounded by what is asserted")]
    pub(crate) fn signed(&self, a: [&[Words]; 2], b: [&[Words]; 2], out: &mut [Sums; 4]) {
        multiply!("tdpbssd", self, a, b, out);
    }

    /// Sums of 16-bit values that are cut in two, high bytes (signed) and low bytes (unsigned), each as wide as the unit
    /// was set up for: of high with high bytes, of high with low ones either way, and of low with low ones.
    #[expect(unsafe_code, reason = "assembly, whose reads and writes are bounded by what is asserted")]
    pub(crate) fn halves(&self, a: &[Words], b: &[Words], out: &mut [Sums; 3]) {
        let steps = self.width.div_ceil(DEEP);
        assert!(a.len() == 2 * steps * LANES && b.len() == 2 * self.width);
        let (a_high, a_low) = a.split_at(steps * LANES);
        let (b_high, b_low) = b.split_at(self.width);
        // SAFETY: as in `quads`; three tiles of sums are written to `out`.
        unsafe {
            asm!(
                "tilezero tmm0",
                "tilezero tmm1",
                "tilezero tmm2",
                "2:",
                "tileloadd tmm6, [{b_high} + {line}]",
                "tileloadd tmm4, [{a_high} + {line}]",
                "tileloadd tmm7, [{b_low} + {line}]",
                "tileloadd tmm5, [{a_low} + {line}]",
                "tdpbssd tmm0, tmm4, tmm6",
                "tdpbsud tmm1, tmm4, tmm7",
                "tdpbuud tmm2, tmm5, tmm7",
                "tdpbusd tmm1, tmm5, tmm6",
                "add {a_high}, {tile}",
                "add {a_low}, {tile}",
                "add {b_high}, {tile}",
                "add {b_low}, {tile}",
                "dec {steps}",
                "jnz 2b",
                "tilestored [{out} + {line}], tmm0",
                "tilestored [{out} + {line} + {second}], tmm1",
                "tilestored [{out} + {line} + {third}], tmm2",
                a_high = inout(reg) a_high.as_ptr() => _,
                a_low = inout(reg) a_low.as_ptr() => _,
                b_high = inout(reg) b_high.as_ptr() => _,
                b_low = inout(reg) b_low.as_ptr() => _,
                steps = inout(reg) steps => _,
                line = in(reg) LINE,
                out = in(reg) out.as_mut_ptr(),
                tile = const TILE,
                second = const TILE,
                third = const 2 * TILE,
                out("tmm0") _, out("tmm1") _, out("tmm2") _,
                out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
                options(nostack),
            );
        }
    }
}

impl Drop for Unit {
    /// Gives the registers back, so that they need not be kept when another thread runs.
    #[expect(unsafe_code, reason = "an instruction that only some processors have")]
    fn drop(&mut self) {
        // SAFETY: where there is a `Unit`, there are its registers.
        unsafe { asm!("tilerelease", options(nostack, nomem)) };
    }
}

//! The device: chosen among those there are, asked for its limits, and given work.
//!
//! The kernels were tuned on processors alone, so the first processor is taken; `GAMEDAY_OPENCL_DEVICE` names another
//! device by a part of its name.

use crate::Failure;
use crate::cache::{Cache, Key};
use crate::packed::Packed;
use crate::programs::{GROUP, Tier, Work};
use ocl::enums::{DeviceInfo, DeviceInfoResult, ProgramInfo, ProgramInfoResult};
use ocl::flags::{DEVICE_TYPE_ALL, DEVICE_TYPE_CPU, MEM_READ_ONLY};
use ocl::prm::Float16;
use ocl::{Buffer, Context, Kernel, Platform, Program, Queue};
use std::env;
use std::io::Read;

/// The platform that keeps compiled programs itself.
const POCL: &str = "Portable Computing Language";
/// Values copied to the device at a time.
const PIECE: usize = 1 << 18;
/// Rows a work-item of a kernel takes at a time.
const POINTS: usize = 48;
/// Coordinates of a point in whole numbers, and the largest of them.
const MOST_WHOLE: usize = 4_096;
const WIDEST: u32 = 1 << 24;
/// Panels of a leaf in a worker's memory, and lanes beside them for each.
const LEAF_PANELS: usize = 66;
const BESIDE: usize = 5;

pub(crate) struct Device {
    name: String,
    tier: Tier,
    device: ocl::Device,
    context: Context,
    queue: Queue,
    /// Workers of a kernel: one for each compute unit.
    units: usize,
    dim: usize,
    rows: usize,
    data: Option<Buffer<f32>>,
    /// What decides how a program is compiled, beside its source and options.
    driver: String,
    cache: Cache,
    /// Those compiled for rows of some dimension.
    programs: Vec<((usize, Tier, Work), Program)>,
}

impl Device {
    /// The best device of this machine.
    pub(crate) fn open() -> Result<Self, Failure> {
        let (platform, device) = choose()?;
        let context = Context::builder().platform(platform).devices(device).build()?;
        let queue = Queue::new(&context, device, None)?;
        let units = match device.info(DeviceInfo::MaxComputeUnits)? {
            DeviceInfoResult::MaxComputeUnits(units) => units.max(1) as usize,
            _ => 1,
        };
        let pocl = platform.name()?.trim() == POCL;
        // Another compiler may not know the instructions.
        let tier = Tier::of(processor(device)?, || pocl && index::matrix_unit())?;
        let name = format!("{} on {} ({})", tier.words(), device.name()?.trim(), platform.name()?.trim());
        let mut driver = format!("{} {}", platform.name()?, platform.version()?);
        for info in [DeviceInfo::Name, DeviceInfo::Vendor, DeviceInfo::Version, DeviceInfo::DriverVersion] {
            driver += &format!("\n{}", device.info(info)?);
        }
        let (cache, programs) = (Cache::of_user(pocl), Vec::new());
        Ok(Self {
            name,
            tier,
            device,
            context,
            queue,
            units,
            dim: 1,
            rows: 0,
            data: None,
            driver,
            cache,
            programs,
        })
    }

    /// Kernels and device, for a report.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn dim(&self) -> usize {
        self.dim
    }

    /// Takes the rows that the next requests are about; none give back the memory of those that were held.
    pub(crate) fn hold(&mut self, dim: usize, rows: usize, input: &mut impl Read) -> Result<(), Failure> {
        let values = dim.checked_mul(rows).filter(|_| dim > 0).ok_or("rows of such a length are none")?;
        (self.dim, self.rows, self.data) = (dim, rows, None);
        if rows == 0 {
            return Ok(());
        }
        if let DeviceInfoResult::MaxMemAllocSize(most) = self.device.info(DeviceInfo::MaxMemAllocSize)?
            && most < (values * 4) as u64
        {
            let (most, wanted) = (most >> 20, values >> 18);
            return Err(format!("the device grants {most} MB at a time, the vectors are {wanted} MB").into());
        }
        let data =
            Buffer::<f32>::builder().queue(self.queue.clone()).flags(MEM_READ_ONLY).len(values).build()?;
        let mut done = 0;
        while done < values {
            let piece = crate::floats(input, PIECE.min(values - done))?;
            data.write(&piece).offset(done).enq()?;
            done += piece.len();
        }
        self.data = Some(data);
        Ok(())
    }

    /// The `f` nearest of the centres to each row.
    pub(crate) fn assign(&mut self, centres: &[f32], centre: &[f32], f: usize) -> Result<Found, Failure> {
        let k = (centres.len() / self.dim) as u32;
        if !(1..=16).contains(&f) || f > k as usize || (f > 1 && k > 1_024) {
            return Err(format!("{f} of {k} centres cannot be found").into());
        }
        let program = self.program(self.tier.for_rows(self.dim, &[]), Work::Rows(f))?;
        let data = self.data.as_ref().ok_or("there are no rows yet")?;
        let out = self.room(self.rows * f)?;
        let centre_values = self.copy(centre)?;
        let mut kernel = Kernel::builder();
        kernel.program(&program).name("assign").queue(self.queue.clone());
        let packed = Packed::of(centres, self.dim, centre);
        let (panels, norms) = (self.copy(&packed.panels)?, self.copy(&packed.norms)?);
        kernel.arg(data).arg(self.rows as u32).arg(&panels).arg(&norms).arg(k).arg(&centre_values);
        if self.tier == Tier::Local {
            kernel.global_work_size(self.rows.next_multiple_of(GROUP)).local_work_size(GROUP).arg(&out);
            return self.run(&kernel.build()?, out);
        }
        let (scratch, next) = (self.scratch(3 * self.dim)?, self.copy(&[0u32])?);
        let workers = self.units.min(self.rows.div_ceil(POINTS));
        kernel.global_work_size(workers).local_work_size(1);
        kernel.arg(&scratch).arg(&next).arg(&out);
        self.run(&kernel.build()?, out)
    }

    /// The four nearest other members of each member of each leaf, as places in the leaf. Rows less the leaf's centre are
    /// multiplied by its scale and rounded to whole numbers of at most 127; a scale of 0 leaves them as they are.
    pub(crate) fn leaves(
        &mut self,
        starts: &[u32],
        members: &[u32],
        scales: &[f32],
        centres: &[f32],
    ) -> Result<Found, Failure> {
        let (leaves, rows) = (starts.len() - 1, self.rows);
        let sound = starts.windows(2).all(|pair| (1..=1_024).contains(&pair[1].wrapping_sub(pair[0])));
        if !sound
            || starts[0] != 0
            || members.is_empty()
            || members.iter().any(|&member| member as usize >= rows)
        {
            return Err("leaves have 1 to 1,024 members each, all of them rows".into());
        }
        let tier = self.tier.for_rows(self.dim, scales);
        // Any number of centres: the one whose program is there.
        let fit =
            |(dim, of, work): &(usize, Tier, Work)| (*dim, *of) == (self.dim, tier) && *work != Work::Whole;
        let held = self.programs.iter().find(|(of, _)| fit(of)).map(|((_, _, work), _)| *work);
        let program = self.program(tier, held.unwrap_or(Work::Rows(1)))?;
        let data = self.data.as_ref().ok_or("there are no rows yet")?;
        let out = self.room(members.len() * 4)?;
        let (starts, members) = (self.copy(starts)?, self.copy(members)?);
        let (scales, centres) = (self.copy(scales)?, self.copy(centres)?);
        let mut kernel = Kernel::builder();
        kernel.program(&program).name("leaf").queue(self.queue.clone());
        kernel.arg(data).arg(&starts).arg(&members);
        if self.tier == Tier::Local {
            kernel.global_work_size(leaves * GROUP).local_work_size(GROUP);
            kernel.arg(&scales).arg(&centres).arg(&out);
            return self.run(&kernel.build()?, out);
        }
        let (scratch, next) = (self.scratch(LEAF_PANELS * (self.dim + BESIDE))?, self.copy(&[0u32])?);
        kernel.global_work_size(self.units.min(leaves)).local_work_size(1);
        kernel.arg(leaves as u32).arg(&scales).arg(&centres);
        kernel.arg(&scratch).arg(&next).arg(&out);
        self.run(&kernel.build()?, out)
    }

    /// For each point the first of its nearest centres; coordinates are whole.
    pub(crate) fn whole(&mut self, dim: usize, points: &[i32], centres: &[i32]) -> Result<Found, Failure> {
        // The sum of squares of the largest differences fits for so many coordinates.
        let sound = |all: &[i32]| all.iter().all(|x| x.unsigned_abs() <= WIDEST);
        if !(1..=MOST_WHOLE).contains(&dim) || centres.is_empty() || !sound(points) || !sound(centres) {
            return Err(format!("points have 1 to {MOST_WHOLE} coordinates of at most {WIDEST}").into());
        }
        // What is held for an index has another dimension.
        (self.dim, self.rows, self.data) = (dim, 0, None);
        let n = points.len() / dim;
        if n == 0 {
            return Ok(Found(None));
        }
        let program = self.program(self.tier, Work::Whole)?;
        let (out, points, k) = (self.room(n)?, self.copy(points)?, (centres.len() / dim) as u32);
        let centres = self.copy(centres)?;
        let mut kernel = Kernel::builder();
        kernel.program(&program).name("nearest").queue(self.queue.clone()).global_work_size(n);
        kernel.arg(&points).arg(n as u32).arg(&centres).arg(k).arg(&out);
        self.run(&kernel.build()?, out)
    }

    /// The program for rows of this dimension: held, kept in the cache, or compiled.
    fn program(&mut self, tier: Tier, work: Work) -> Result<Program, Failure> {
        if let Some((_, held)) = self.programs.iter().find(|(of, _)| *of == (self.dim, tier, work)) {
            return Ok(held.clone());
        }
        let (source, options) = work.program(tier, self.dim);
        let key = Key::of(&[&self.driver, &source, &options]);
        let kept = self.cache.read(&key).and_then(|binary| {
            let binaries = [binary.as_slice()];
            let mut builder = Program::builder();
            // A driver may refuse what it made itself, say after an update that it does not tell: then it compiles.
            builder.devices(self.device).binaries(&binaries).cmplr_opt(&options).build(&self.context).ok()
        });
        let program = match kept {
            Some(program) => program,
            None => {
                let mut builder = Program::builder();
                let program =
                    builder.devices(self.device).src(source).cmplr_opt(options).build(&self.context)?;
                self.cache.keep(&key, || match program.info(ProgramInfo::Binaries) {
                    Ok(ProgramInfoResult::Binaries(mut binaries)) if binaries.len() == 1 => binaries.pop(),
                    _ => None,
                });
                program
            }
        };
        self.programs.push(((self.dim, tier, work), program.clone()));
        Ok(program)
    }

    fn copy<T: ocl::OclPrm>(&self, values: &[T]) -> Result<Buffer<T>, Failure> {
        let buffer = Buffer::<T>::builder().queue(self.queue.clone()).len(values.len());
        Ok(buffer.copy_host_slice(values).build()?)
    }

    fn room(&self, len: usize) -> Result<Buffer<u32>, Failure> {
        Ok(Buffer::<u32>::builder().queue(self.queue.clone()).len(len).build()?)
    }

    /// Memory of each worker of a kernel, in lanes.
    fn scratch(&self, lanes: usize) -> Result<Buffer<Float16>, Failure> {
        Ok(Buffer::<Float16>::builder().queue(self.queue.clone()).len(lanes * self.units).build()?)
    }

    /// Runs a kernel to its end.
    #[expect(unsafe_code, reason = "OpenCL cannot check what a kernel does with its buffers")]
    fn run(&self, kernel: &Kernel, out: Buffer<u32>) -> Result<Found, Failure> {
        // SAFETY: every kernel reads and writes within the bounds of its arguments: rows below the number held, members
        // checked to be rows, leaves checked to fit the scratch memory, and `out` made for what is written.
        unsafe { kernel.enq()? };
        self.queue.finish()?;
        Ok(Found(Some(out)))
    }
}

/// What a kernel found, still on the device; nothing where there was nothing to ask.
pub(crate) struct Found(Option<Buffer<u32>>);

impl Found {
    pub(crate) fn len(&self) -> usize {
        self.0.as_ref().map_or(0, Buffer::len)
    }

    /// Fetches the numbers from `at` on.
    pub(crate) fn read(&self, at: usize, piece: &mut [u32]) -> Result<(), Failure> {
        let found = self.0.as_ref().ok_or("nothing was found")?;
        Ok(found.read(piece).offset(at).enq()?)
    }
}

fn processor(device: ocl::Device) -> Result<bool, Failure> {
    let kind = device.info(DeviceInfo::Type)?;
    Ok(matches!(kind, DeviceInfoResult::Type(kind) if kind.contains(DEVICE_TYPE_CPU)))
}

fn choose() -> Result<(Platform, ocl::Device), Failure> {
    let wanted = env::var("GAMEDAY_OPENCL_DEVICE").ok();
    let mut found = Vec::new();
    // Not `Platform::list`, which panics where there is none.
    for id in ocl::core::get_platform_ids().map_err(|error| format!("no OpenCL platform: {error}"))? {
        let platform = Platform::from(id);
        for device in ocl::Device::list(platform, Some(DEVICE_TYPE_ALL)).unwrap_or_default() {
            let name = device.name()?;
            let processor = processor(device)?;
            if wanted.as_ref().is_none_or(|wanted| name.contains(wanted.as_str())) {
                found.push((!processor, platform, device));
            }
        }
    }
    found.sort_by_key(|(other, _, _)| *other);
    let first = found.into_iter().next();
    first.map(|(_, platform, device)| (platform, device)).ok_or_else(|| match wanted {
        Some(name) => format!("no OpenCL device has `{name}` in its name").into(),
        None => {
            "this machine has no OpenCL device; `ci/setup` installs one that runs on the processor".into()
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_has_room_for_a_full_leaf_as_bytes() {
        for dim in index::BYTES {
            // As rows and as columns: 64 panels of whole steps, a kilobyte each.
            let bytes = 2 * 64 * dim.div_ceil(64) * 1_024;
            assert!(bytes <= LEAF_PANELS * dim * size_of::<Float16>(), "{dim}");
        }
    }
}

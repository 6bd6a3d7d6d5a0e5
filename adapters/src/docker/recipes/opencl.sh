# The base with an OpenCL device that runs on the processor (PoCL, from Debian's packages): a tar archive on standard
# output that a container engine can build. The loader is named too: the device alone is content without it.
set -eu
mkdir -p "$WORK/opencl"
cat >"$WORK/opencl/Dockerfile" <<'D'
FROM gameday/base:bookworm
RUN apt-get update \
 && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends pocl-opencl-icd ocl-icd-libopencl1 \
 && rm -rf /var/lib/apt/lists/* /var/cache/apt/archives/*.deb
D
exec tar -C "$WORK/opencl" -cf - Dockerfile

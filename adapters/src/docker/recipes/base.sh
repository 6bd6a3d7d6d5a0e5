# Debian's smallest system, as a tar archive on standard output. Needs root and debootstrap.
# $WORK is a folder that may be kept between builds.
set -eu
command -v debootstrap >/dev/null || { echo "debootstrap is missing: ci/setup --docker installs it" >&2; exit 1; }
if [ ! -e "$WORK/base.done" ]; then
    rm -rf "$WORK/base"
    debootstrap --variant=minbase bookworm "$WORK/base" http://deb.debian.org/debian >&2
    # What apt downloaded is of no use to anybody.
    rm -rf "$WORK/base/var/cache/apt/archives"/*.deb
    touch "$WORK/base.done"
fi
exec tar --numeric-owner -C "$WORK/base" -cf - .

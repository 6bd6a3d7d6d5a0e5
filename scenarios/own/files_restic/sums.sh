#!/bin/sh
# Prints mode and digest of every file in the folder of this place, and where each link leads to.
set -eu
cd "${SCRATCH:-${FILES:-}}"
find . -path ./.gameday -prune -o -type f -printf '%m %p\n' -o -type l -printf '%p -> %l\n'
find . -path ./.gameday -prune -o -type f -exec sha256sum -- {} +

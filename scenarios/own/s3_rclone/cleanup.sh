#!/bin/sh
# Removes every object of the bucket `scratch`, and leaves it there, empty.
set -eu
. ./lib.sh
rclone delete scratch:scratch

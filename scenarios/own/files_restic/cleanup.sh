#!/bin/sh
# Empties the folder $SCRATCH, and leaves it there. `:?`: nothing is removed if the variable is empty.
set -eu
find "${SCRATCH:?}/" -mindepth 1 -delete

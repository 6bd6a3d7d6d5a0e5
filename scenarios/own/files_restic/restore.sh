#!/bin/sh
# Restores the newest snapshot into the folder $SCRATCH.
set -eu
restic --no-cache --quiet restore latest --target "$SCRATCH"

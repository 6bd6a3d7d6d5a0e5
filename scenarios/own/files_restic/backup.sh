#!/bin/sh
# Takes the backup: a snapshot of the folder $FILES in $RESTIC_REPOSITORY. Made for cron; no drill runs it.
set -eu
cd "$FILES"
restic --no-cache cat config >/dev/null 2>&1 || restic --no-cache --quiet init
restic --no-cache --quiet backup .

#!/bin/sh
# Copies the backup in the folder $BACKUP into the bucket `scratch`.
set -eu
. ./lib.sh
rclone copy --checksum --transfers=8 "$BACKUP" scratch:scratch

#!/bin/sh
# Restores the dump $BACKUP (pg_dump --format=custom) into the scratch database.
set -eu
pg_restore --no-owner --no-privileges --exit-on-error --dbname="$SCRATCH_DSN" "$BACKUP"

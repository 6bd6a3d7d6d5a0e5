#!/bin/sh
# Restores the dump $DUMP into the scratch database.
set -eu
pg_restore --no-owner --no-privileges --exit-on-error --dbname="$SCRATCH_DSN" "$DUMP"

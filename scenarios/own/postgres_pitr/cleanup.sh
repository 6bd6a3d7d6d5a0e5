#!/bin/sh
# Stops the scratch server if there is one, and removes its files; of a folder that no PostgreSQL made, nothing.
set -eu
. ./lib.sh
[ -e "$SCRATCH_DATA" ] || exit 0
if as_server pg_ctl status --pgdata="$SCRATCH_DATA" >/dev/null; then
    as_server pg_ctl stop --mode=immediate --wait --silent --pgdata="$SCRATCH_DATA"
fi
rmdir "$SCRATCH_DATA" 2>/dev/null || [ -f "$SCRATCH_DATA/PG_VERSION" ] || [ -f "$SCRATCH_DATA/backup_label" ]
rm -rf "$SCRATCH_DATA"

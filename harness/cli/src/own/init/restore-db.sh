#!/bin/sh
# Restores the dump $BACKUP (pg_dump --format=custom) into the scratch database.
set -eu
case $BACKUP in /*) ;; *) echo "BACKUP has to be a whole path: it begins with no /" >&2; exit 2 ;; esac
pg_restore --no-owner --no-privileges --exit-on-error --dbname="$SCRATCH_DSN" "$BACKUP"

#!/bin/sh
# Empties the file of the scratch instance, which goes on running.
set -eu
sqlite3 "$SCRATCH_FILE" '.timeout 5000' 'drop table if exists notes; drop table if exists canaries; vacuum'

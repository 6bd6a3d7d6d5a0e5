#!/bin/sh
# Ends the server in $DB_DATA as a crash does: at once, without a checkpoint.
set -eu
cd / # a folder that its owner may enter
run() { if [ "$(id -u)" = 0 ]; then runuser -u "$(stat -c %U "$DB_DATA")" -- "$@"; else "$@"; fi; }
run pg_ctl stop -m immediate -w -s -D "$DB_DATA"

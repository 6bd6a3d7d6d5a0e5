#!/bin/sh
# Starts the server in $DB_DATA, if it does not run.
set -eu
cd / # a folder that its owner may enter
run() { if [ "$(id -u)" = 0 ]; then runuser -u "$(stat -c %U "$DB_DATA")" -- "$@"; else "$@"; fi; }
run pg_ctl status -s -D "$DB_DATA" >/dev/null && exit 0
run pg_ctl start -w -s -D "$DB_DATA" -l "$DB_DATA/gameday.log"

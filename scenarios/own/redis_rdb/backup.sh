#!/bin/sh
# Takes the backup: has the Redis $CACHE_URL send a snapshot to the file $SNAPSHOT. Made for cron; no drill runs it.
set -eu
redis-cli -e -u "$CACHE_URL" --rdb "$SNAPSHOT.part" >/dev/null 2>&1
mv "$SNAPSHOT.part" "$SNAPSHOT"

#!/bin/sh
# Empties the scratch Redis, and its snapshot with it.
set -eu
redis-cli -e -u "$SCRATCH_URL" replicaof no one >/dev/null
redis-cli -e -u "$SCRATCH_URL" flushall sync >/dev/null
redis-cli -e -u "$SCRATCH_URL" save >/dev/null

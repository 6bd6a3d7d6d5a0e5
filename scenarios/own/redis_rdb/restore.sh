#!/bin/sh
# Loads the snapshot $SNAPSHOT: a helper on the port $HELPER_PORT reads it, and the scratch Redis becomes its copy.
set -eu
folder=$(mktemp -d)
scratch() { redis-cli -e -u "$SCRATCH_URL" "$@"; }
helper() { redis-cli -e -p "$HELPER_PORT" "$@"; }
trap 'helper shutdown nosave >/dev/null 2>&1 || :; rm -rf "$folder"' EXIT
cp "$SNAPSHOT" "$folder/dump.rdb"
redis-server --port "$HELPER_PORT" --bind 127.0.0.1 --dir "$folder" --save '' --repl-diskless-sync-delay 0 \
    --daemonize yes --logfile "$folder/log" >/dev/null
until [ "$(helper ping 2>/dev/null)" = PONG ]; do sleep 0.1; done
scratch replicaof 127.0.0.1 "$HELPER_PORT" >/dev/null
until scratch info replication | grep -q '^master_link_status:up'; do sleep 0.1; done
scratch replicaof no one >/dev/null

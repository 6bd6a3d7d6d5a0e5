#!/bin/sh
# Plants, lists or removes canaries in the Redis of this place. `-e`: an error of the server is an error of the command.
set -eu
redis() { redis-cli -e -u "${SCRATCH_URL:-${CACHE_URL:-}}" "$@"; }
case $1 in
    plant) redis hset gameday:canary "$GAMEDAY_CANARY_ID" "$GAMEDAY_CANARY_AT $GAMEDAY_CANARY_VALUE" ;;
    remove) redis hdel gameday:canary "$GAMEDAY_CANARY_ID" ;;
    list) all=$(redis hgetall gameday:canary) && printf '%s\n' "$all" | sed '/^$/d' | paste -d' ' - - ;;
esac

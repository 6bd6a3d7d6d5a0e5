#!/bin/sh
# Prints a line for each key of this place, with a digest of what it holds. A key that a scan finds twice is one.
set -eu
script=$(cat keys.lua) cursor=0 all=
while :; do
    piece=$(redis-cli -e --raw -u "${SCRATCH_URL:-${CACHE_URL:-}}" eval "$script" 0 "$cursor")
    cursor=$(printf '%s\n' "$piece" | head -n 1)
    all="$all$(printf '%s\n' "$piece" | tail -n +2)
"
    [ "$cursor" != 0 ] || break
done
printf %s "$all" | sed '/^$/d' | sort -u

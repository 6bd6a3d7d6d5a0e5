#!/bin/sh
# Plants, lists or removes canaries in the folder of this place: a file each.
set -eu
cd "${SCRATCH:-${FILES:-}}"
case $1 in
    plant) mkdir -p .gameday && printf '%s %s\n' "$GAMEDAY_CANARY_AT" "$GAMEDAY_CANARY_VALUE" >".gameday/$GAMEDAY_CANARY_ID" ;;
    remove) rm -f ".gameday/$GAMEDAY_CANARY_ID" && { rmdir .gameday 2>/dev/null || :; } ;;
    list) [ ! -d .gameday ] || find .gameday -type f | while read -r f; do echo "${f#.gameday/} $(cat "$f")"; done ;;
esac

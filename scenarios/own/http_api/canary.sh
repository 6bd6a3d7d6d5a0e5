#!/bin/sh
# Plants, lists or removes canaries by the API of this place.
set -eu
at=${SCRATCH_URL:-${NOTES_URL:-}}/canaries
ask() { curl --silent --show-error --fail --noproxy '*' --max-time 8 "$@"; }
case $1 in
    plant) ask -X PUT --data "$GAMEDAY_CANARY_AT $GAMEDAY_CANARY_VALUE" "$at/$GAMEDAY_CANARY_ID" ;;
    remove) ask -X DELETE "$at/$GAMEDAY_CANARY_ID" ;;
    list) ask "$at" ;;
esac

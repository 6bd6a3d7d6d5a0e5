#!/bin/sh
# Prints all notes of this place, as its users would read them.
set -eu
exec curl --silent --show-error --fail --noproxy '*' --max-time 60 "${SCRATCH_URL:-${NOTES_URL:-}}/notes"

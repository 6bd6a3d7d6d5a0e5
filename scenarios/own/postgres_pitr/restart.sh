#!/bin/sh
# Restarts the scratch server as a power cut would: nothing is written before it stops.
set -eu
. ./lib.sh
as_server pg_ctl restart --mode=immediate --wait --silent --pgdata="$SCRATCH_DATA" --log="$SCRATCH_DATA/server.log"

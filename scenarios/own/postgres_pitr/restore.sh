#!/bin/sh
# Starts a server on a copy of the base backup $BASE in the new folder $SCRATCH_DATA, and has it read all of the log in the
# folder $WAL. It listens on $SCRATCH_PORT, which $SCRATCH_DSN names, too, and archives nothing.
set -eu
. ./lib.sh
mkdir -m 700 "$SCRATCH_DATA"
cp -R "$BASE/." "$SCRATCH_DATA"
cat >>"$SCRATCH_DATA/postgresql.auto.conf" <<E
archive_mode = off
restore_command = 'cp "$WAL/%f" "%p"'
recovery_target_timeline = 'latest'
listen_addresses = '127.0.0.1'
unix_socket_directories = ''
port = $SCRATCH_PORT
E
touch "$SCRATCH_DATA/recovery.signal"
if [ "$(id -u)" = 0 ]; then chown -R postgres "$SCRATCH_DATA"; fi
as_server pg_ctl start --wait --timeout=3600 --silent --pgdata="$SCRATCH_DATA" --log="$SCRATCH_DATA/server.log"
# It answers before it has read all of the log.
until [ "$(psql --no-psqlrc --dbname="$SCRATCH_DSN" -Atc 'select pg_is_in_recovery()')" = f ]; do sleep 0.1; done

#!/bin/sh
# Takes the backup: a copy of the files of the server $BACKUP_DSN (a role with REPLICATION) in the new folder $BASE. The log
# comes by archive_command. Made for cron; no drill runs it.
set -eu
pg_basebackup --dbname="$BACKUP_DSN" --pgdata="$BASE.part" --checkpoint=fast --wal-method=none
mv "$BASE.part" "$BASE"

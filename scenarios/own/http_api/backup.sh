#!/bin/sh
# Takes the backup: a copy of the SQLite file $NOTES_FILE, of one moment. Made for cron; no drill runs it.
set -eu
rm -f "$BACKUP.part"
sqlite3 "$NOTES_FILE" "vacuum into '$BACKUP.part'"
mv "$BACKUP.part" "$BACKUP"

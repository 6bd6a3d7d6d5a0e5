#!/bin/sh
# Takes the backup: a dump of the database $DB_DSN into the file $DUMP. Made for cron; no drill runs it.
set -eu
pg_dump --format=custom --file="$DUMP.part" --dbname="$DB_DSN"
mv "$DUMP.part" "$DUMP"

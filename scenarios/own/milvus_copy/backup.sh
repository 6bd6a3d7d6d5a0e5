#!/bin/sh
# Takes the backup: copies all collections of the Milvus $MILVUS_URL into the folder $BACKUP. Made for cron; no drill runs it.
set -eu
"${PYTHON:-python3}" save.py "$MILVUS_URL" "$BACKUP.part"
rm -rf "$BACKUP.old"
[ ! -e "$BACKUP" ] || mv "$BACKUP" "$BACKUP.old"
mv "$BACKUP.part" "$BACKUP"

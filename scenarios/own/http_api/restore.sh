#!/bin/sh
# Copies the backup $BACKUP page by page into the file of the running scratch instance.
set -eu
sqlite3 "$SCRATCH_FILE" '.timeout 5000' ".restore '$BACKUP'"

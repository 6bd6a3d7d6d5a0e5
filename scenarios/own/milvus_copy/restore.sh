#!/bin/sh
# Restores the copy in the folder $BACKUP into the Milvus $SCRATCH_URL.
set -eu
exec "${PYTHON:-python3}" load.py "$SCRATCH_URL" "$BACKUP"

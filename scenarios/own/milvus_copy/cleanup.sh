#!/bin/sh
# Empties the Milvus $SCRATCH_URL.
set -eu
exec "${PYTHON:-python3}" - "$SCRATCH_URL" <<'P'
import sys
from pymilvus import MilvusClient

client = MilvusClient(uri=sys.argv[1], timeout=60)
for name in client.list_collections():
    client.drop_collection(name)
P

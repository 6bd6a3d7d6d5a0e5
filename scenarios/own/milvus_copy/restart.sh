#!/bin/sh
# Crashes the scratch Milvus, and waits until whoever keeps it running has started it again and all is loaded. $SCRATCH_SERVER is
# a file with the number of its process. With Docker this is `docker kill` and `docker start`.
set -eu
was=$(cat "$SCRATCH_SERVER")
kill -9 "$was"
until now=$(cat "$SCRATCH_SERVER") && [ "$now" != "$was" ]; do sleep 0.2; done
exec "${PYTHON:-python3}" - "$SCRATCH_URL" <<'P'
import sys, time
from pymilvus import MilvusClient

while True:
    try:
        client = MilvusClient(uri=sys.argv[1], timeout=5)
        if all("Loaded" == client.get_load_state(name)["state"].name for name in client.list_collections()):
            break
    except Exception:  # not yet
        pass
    time.sleep(0.5)
P

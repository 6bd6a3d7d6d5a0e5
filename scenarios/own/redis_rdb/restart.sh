#!/bin/sh
# Stops the scratch Redis after it has saved, and waits until whoever keeps it running has started it again.
set -eu
id() { redis-cli -e -u "$SCRATCH_URL" info server 2>/dev/null | sed -n 's/^run_id://p'; }
was=$(id)
redis-cli -e -u "$SCRATCH_URL" shutdown save
until now=$(id) && [ -n "$now" ] && [ "$now" != "$was" ]; do sleep 0.1; done

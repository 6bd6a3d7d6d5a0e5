#!/bin/sh
# Breaks the database: whatever you fear. What it leaves running is ended before the undo, but for servers in a session of their own. Examples: docker stop db; systemctl stop postgresql; kubectl delete pod db-0
echo "edit break-db.sh: say how the database is broken" >&2
exit 1

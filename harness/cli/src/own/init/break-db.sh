#!/bin/sh
# Edit it, then: chmod +x break-db.sh
# Breaks the database: whatever you fear. What it leaves running is ended before the undo, but for servers in a session of their own. Examples:
#   docker stop db
#   systemctl stop postgresql
#   runuser -u postgres -- pg_ctl stop -m immediate -w -D /var/lib/postgresql/15/main
echo "edit break-db.sh: say how the database is broken" >&2
exit 1

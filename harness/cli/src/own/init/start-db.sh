#!/bin/sh
# Edit it, then: chmod +x start-db.sh
# Brings the database back, and does no harm where it runs. A server started here has to be in a session of its own, as those
# of pg_ctl, docker and systemctl are; else it ends with the drill. Examples:
#   docker start db
#   systemctl start postgresql
#   pg="runuser -u postgres -- pg_ctl -D /var/lib/postgresql/15/main"; $pg status >/dev/null || $pg start -w -l /tmp/db.log
echo "edit start-db.sh: say how the database is brought back" >&2
exit 1

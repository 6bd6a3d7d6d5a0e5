#!/bin/sh
# Brings the database back, and does no harm where it runs. A server started here has to be in a session of its own, as those
# of pg_ctl, docker and systemctl are; else it ends with the drill. Examples: docker start db; systemctl start postgresql
echo "edit start-db.sh: say how the database is brought back" >&2
exit 1

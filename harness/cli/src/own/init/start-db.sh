#!/bin/sh
# Brings the database back, and does no harm where it runs. Examples: docker start db; systemctl start postgresql
echo "edit start-db.sh: say how the database is brought back" >&2
exit 1

#!/bin/sh
# 0 while the database is broken, 1 while it is not. It must only look. A question that hangs is ended by the drill, and then
# nobody can tell: give it a time limit of its own.
if pg_isready -q -t 2 -d "$DB_DSN"; then exit 1; fi

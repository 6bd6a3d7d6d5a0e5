#!/bin/sh
# 0 while nobody answers at port $DB_PORT of this machine; 1 while somebody does.
if pg_isready -q -t 2 -h 127.0.0.1 -p "$DB_PORT"; then exit 1; fi

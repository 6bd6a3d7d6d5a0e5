#!/bin/sh
# Empties the scratch database: everything in it, and nothing outside of it.
set -eu
psql --no-psqlrc --quiet --set=ON_ERROR_STOP=1 --dbname="$SCRATCH_DSN" <<'SQL'
set client_min_messages = warning;
drop schema public cascade;
create schema public;
SQL

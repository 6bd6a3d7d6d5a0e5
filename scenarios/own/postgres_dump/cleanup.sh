#!/bin/sh
# Empties the scratch database: its schemas, and its large objects, which lie in none.
set -eu
psql --no-psqlrc --quiet --set=ON_ERROR_STOP=1 --output=/dev/null --dbname="$SCRATCH_DSN" <<'SQL'
set client_min_messages = warning;
select format('drop schema %I cascade', nspname) from pg_namespace
where nspname not like 'pg\_%' and nspname <> 'information_schema' \gexec
create schema public;
select lo_unlink(oid) from pg_largeobject_metadata;
SQL

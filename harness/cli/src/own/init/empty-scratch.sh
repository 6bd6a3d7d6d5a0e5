#!/bin/sh
# Empties the scratch database: every schema in it, and nothing outside of it.
set -eu
psql --no-psqlrc --quiet --set=ON_ERROR_STOP=1 --dbname="$SCRATCH_DSN" <<'SQL'
set client_min_messages = warning;
do $$
declare name text;
begin
    for name in select nspname from pg_namespace where nspname not like 'pg\_%' and nspname <> 'information_schema' loop
        execute format('drop schema %I cascade', name);
    end loop;
    perform lo_unlink(oid) from pg_largeobject_metadata;
end $$;
create schema public;
SQL

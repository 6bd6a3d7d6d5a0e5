# PostgreSQL from Debian's packages: a tar archive on standard output that a container engine can build.
# The image has no entry point of its own: who runs it says what to do, by initdb and postgres in
# /usr/lib/postgresql/15/bin, as the user postgres.
set -eu
mkdir -p "$WORK/postgres"
cat >"$WORK/postgres/Dockerfile" <<'D'
FROM gameday/base:bookworm
RUN apt-get update \
 && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends postgresql-15 locales \
 && pg_dropcluster 15 main \
 && rm -rf /var/lib/apt/lists/* /var/cache/apt/archives/*.deb
ENV PATH=/usr/lib/postgresql/15/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8
RUN mkdir -p /var/lib/postgresql/data && chown postgres:postgres /var/lib/postgresql/data /var/run/postgresql
VOLUME /var/lib/postgresql/data
EXPOSE 5432
USER postgres
CMD ["postgres", "-D", "/var/lib/postgresql/data"]
D
exec tar -C "$WORK/postgres" -cf - Dockerfile

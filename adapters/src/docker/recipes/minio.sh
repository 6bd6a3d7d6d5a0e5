# MinIO's server, built from the module that its makers published: a tar archive on standard output that a container
# engine can build. Needs Go. The proxy of Go modules offers no release tag, so the last commit stands in by its
# pseudo-version. Its client goes with it: replication between regions is set up by it.
set -eu
command -v go >/dev/null || { echo "go is missing: install Go 1.24 or newer" >&2; exit 1; }
mkdir -p "$WORK/minio"
if [ ! -x "$WORK/minio/minio" ]; then
    GOBIN="$WORK/minio" CGO_ENABLED=0 go install -trimpath -ldflags "-s -w" "github.com/minio/minio@$VERSION" >&2
fi
if [ ! -x "$WORK/minio/mc" ]; then
    GOBIN="$WORK/minio" CGO_ENABLED=0 go install -trimpath -ldflags "-s -w" \
        "github.com/minio/mc@v0.0.0-20250313080218-cf909e1063a9" >&2
fi
cat >"$WORK/minio/Dockerfile" <<'D'
FROM gameday/base:bookworm
COPY minio mc /usr/local/bin/
VOLUME /data
EXPOSE 9000
ENTRYPOINT ["/usr/local/bin/minio"]
CMD ["server", "/data"]
D
exec tar -C "$WORK/minio" -cf - Dockerfile minio mc

# The program that plays drills, as an image: workers, and links between regions, are the program itself with another
# subcommand. A tar archive on standard output that a container engine can build. $VERSION is the program's file.
set -eu
own=$(mktemp -d)
trap 'rm -rf "$own"' EXIT
cat >"$own/Dockerfile" <<'D'
FROM gameday/base:bookworm
COPY gameday /usr/local/bin/gameday
D
tar -cf - -C "$own" Dockerfile -C "$(dirname "$VERSION")" --transform "s|^$(basename "$VERSION")\$|gameday|" \
    "$(basename "$VERSION")"

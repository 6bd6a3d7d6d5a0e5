# The program that plays drills, as an image: workers, and links between regions, are the program itself with another
# subcommand. A tar archive on standard output that a container engine can build. $VERSION is the program's file, $BASE
# the image it stands on, $COMPANION the file of the OpenCL engine, or nothing.
set -eu
own=$(mktemp -d)
trap 'rm -rf "$own"' EXIT
# Not copied beforehand: links to the files are packed as what they lead to.
ln -s "$VERSION" "$own/gameday"
printf 'FROM %s\nCOPY gameday* /usr/local/bin/\n' "$BASE" >"$own/Dockerfile"
[ -z "$COMPANION" ] || ln -s "$COMPANION" "$own/gameday-opencl"
tar -chf - -C "$own" .

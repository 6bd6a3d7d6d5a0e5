#!/bin/sh
# Checks a folder of gameday evidence with ssh-keygen and sha256sum alone. Nothing in the folder is believed but what a
# key in SIGNERS signed; get SIGNERS, and an older copy of HEAD, on another way than the folder.
# usage: sh verify.sh FOLDER SIGNERS [OLDER_HEAD]            ends with 0: verified, 5: does not verify, 2: usage
set -u; export LC_ALL=C
[ $# -ge 2 ] || { sed -n 4p "$0"; exit 2; }
signers=$(realpath "$2"); older=${3:+$(realpath "$3")}; cd "$1" || exit 2
die() { echo "DOES NOT VERIFY: $*" >&2; exit 5; }
sha() { sha256sum | cut -d' ' -f1; }
who() { ssh-keygen -Y find-principals -f "$signers" -s "$1.sig" 2>/dev/null </dev/null | head -n 1; }
# Armour leaves room for spaces; ours has none.
armour() { echo '-----BEGIN SSH SIGNATURE-----'; sed '1d;$d' "$1.sig" | base64 -d 2>/dev/null | base64 | tr -d '\n' | fold -w 70; echo; echo '-----END SSH SIGNATURE-----'; }
signed() { armour "$1" | cmp -s - "$1.sig" || die "$1.sig: its armour"; w=$(who "$1"); [ "$w" ] && ssh-keygen -Y verify -f "$signers" -I "$w" -n "$2" -s "$1.sig" <"$1" >/dev/null 2>&1 || die "$1: its signature"; }
odd() { [ -z "$(find . -type l)" ] && [ "$(ls -A | wc -l)" = "$(find . ! -name . -prune -exec echo x \; | wc -l)" ]; }
signed HEAD gameday-head@v1
[ "$(sha <runs.jsonl)" = "$(sed -n 's/^ledger //p' HEAD)" ] || die "runs.jsonl is not the one that HEAD was signed for"
n=0 prev=
while IFS= read -r line; do
    case $line in "{\"seq\":$n,\"prev\":\"$prev\","*) ;; *) die "runs.jsonl:$((n + 1)): the chain";; esac
    prev=$(printf '%s\n' "$line" | sha) n=$((n + 1))
    [ -z "$older" ] || [ "entries $n" != "$(head -n 1 "$older")" ] || { [ "head $prev" = "$(sed -n 2p "$older")" ] || die "runs.jsonl:$n: history was rewritten"; older=; }
done <runs.jsonl
[ "$(printf 'entries %s\nhead %s' "$n" "$prev")" = "$(head -n 2 HEAD)" ] || die "HEAD: its count"
[ -z "$older" ] || die "runs.jsonl is shorter than the older HEAD says: it was rolled back"
runs() { sed -n "s/.*\"kind\":{\"run.$1\":{\"run\":\"\\([^\"]*\\)\".*/\\1/p" runs.jsonl; }
field() { grep "\"kind\":{\"run.$2\":{\"run\":\"$1\"" runs.jsonl | tail -n 1 | sed "s/.*\"$3\":\"\\([0-9a-f]*\\)\".*/\\1/"; }
bundle=; [ ! -e bundle.json ] || { signed SHA256SUMS gameday-evidence@v1; sha256sum --strict --quiet -c SHA256SUMS || die "bundle"; bundle='AUDITOR.md SHA256SUMS SHA256SUMS.sig bundle.json verify.sh'; }
if runs declared | grep -q -e '[^A-Za-z0-9._-]' -e '^[.-]'; then die "runs.jsonl: a name that cannot name a run"; fi
odd || die "a link, or a name that hides another"
extra=$(ls -A | grep -vxF "$(printf '%s\n' HEAD HEAD.sig runs.jsonl $bundle; runs declared)")
[ -z "$extra" ] || die "$extra: no run explains it"
for run in $(runs closed); do
    [ -z "$bundle" ] || grep -q "\"run\": \"$run\"" bundle.json || { echo "not in this bundle: $run"; continue; }
    ( cd "$run" 2>/dev/null || die "$run: its folder is missing"
    signed SHA256SUMS gameday-evidence@v1; by=$w
    sha256sum --strict --quiet -c SHA256SUMS || die "$run: a file was changed"
    odd || die "$run: a link, or a name that hides another"
    [ "$(ls -A | grep -vx -e SHA256SUMS -e SHA256SUMS.sig -e record.toml -e review.md -e review.md.sig)" = "$(cut -c67- SHA256SUMS)" ] || die "$run: a file was added" ) || exit 5
    [ "$(sha <"$run/SHA256SUMS")" = "$(field "$run" closed sums)" ] || die "$run: SHA256SUMS is not the one in the ledger"
    [ "$(sha <"$run/SHA256SUMS.sig")" = "$(field "$run" closed sig)" ] || die "$run: SHA256SUMS.sig"
    [ "$(sha <"$run/scenario.toml")" = "$(field "$run" declared scenario_sha256)" ] || die "$run: not the scenario that was declared"
    if runs reviewed | grep -qx "$run"; then
        ( cd "$run" && signed review.md gameday-review@v1 && [ "$w" != "$(who SHA256SUMS)" ] ) || die "$run: its review"
        [ "$(sha <"$run/record.toml")" = "$(field "$run" reviewed record)" ] || die "$run: record.toml was changed after the review"
        [ "$(sha <"$run/review.md.sig")" = "$(field "$run" reviewed sig)" ] || die "$run: review.md.sig"
        [ "$(sha <"$run/review.md")" = "$(field "$run" reviewed review)" ] || die "$run: review.md"
    elif [ -e "$run/review.md" ] || [ -e "$run/review.md.sig" ]; then die "$run: a review that the ledger does not know"; fi
done
runs declared | while read -r run; do runs closed | grep -qx "$run" || echo "never closed, counts as failed: $run"; done
echo "VERIFIED: $n entries, head $prev"

#!/bin/sh
# Checks a folder of gameday evidence with ssh-keygen and sha256sum alone. Nothing in the folder is believed but what a
# key in SIGNERS signed; get SIGNERS, and an older copy of HEAD, on another way than the folder.
# usage: sh verify.sh FOLDER SIGNERS [OLDER_HEAD]            ends with 0: verified, 2: usage, 3: a tool is missing,
#   4: cannot be told, INCOMPLETE (files are missing) or LINE ENDS CONVERTED (nothing else differs), 5: altered
set -u; export LC_ALL=C
[ $# -ge 2 ] || { sed -n 4,5p "$0"; exit 2; }
for tool in ssh-keygen sha256sum; do command -v $tool >/dev/null || { echo "$tool is missing: install it" >&2; exit 3; }; done
for file in "$2" ${3:+"$3"}; do [ -f "$file" ] && [ -r "$file" ] || { echo "$file is no file that can be read" >&2; exit 2; }; done
sha() { sha256sum | cut -d' ' -f1; }

# Whether a folder that does not verify would, had its line ends not been converted, is found out on a copy.
converted() {
    [ -d "$1" ] && [ -z "$(find "$1" ! -type f ! -type d)" ] && cr=$(printf '\r') || return 1
    copy=$(mktemp -d) && trap 'rm -rf "$copy"' EXIT && cp -R "$1" "$copy/folder" || return 1
    find "$copy/folder" -type f | while IFS= read -r file; do
        # A scenario keeps what it was declared with.
        case $file in */scenario.toml | */stack.toml)
            grep -q "$(sha <"$file")" "$copy/folder/runs.jsonl" && continue
            sed "s/\$/$cr/" "$file" >"$copy/one"
            if grep -q "$(sha <"$copy/one")" "$copy/folder/runs.jsonl"; then cat "$copy/one" >"$file"; continue; fi ;;
        esac
        sed "s/$cr\$//" "$file" >"$copy/one" && cat "$copy/one" >"$file"
    done
    shift; GAMEDAY_CHECK=1 sh "$0" "$copy/folder" "$@" >/dev/null 2>&1
}
if [ -z "${GAMEDAY_CHECK-}" ]; then
    said=$(GAMEDAY_CHECK=1 sh "$0" "$@" 2>&1); code=$?
    case $code in
    0) printf '%s\n' "$said" ;;
    5) if converted "$@"; then echo "LINE ENDS CONVERTED, and nothing else: copy the folder again, byte by byte" >&2; exit 4; fi
        printf '%s\n' "$said" >&2 ;;
    *) printf '%s\n' "$said" >&2 ;;
    esac
    exit $code
fi

signers=$(realpath "$2"); older=${3:+$(realpath "$3")}; cd "$1" || exit 2
die() { echo "DOES NOT VERIFY: $*" >&2; exit 5; }
# What is altered counts more than what is missing, so missing files are told last.
lost=
here() { [ -e "$1" ] || { lost="$lost $1"; return 1; }; }
incomplete() { echo "INCOMPLETE: missing:$lost" >&2; exit 4; }
who() { ssh-keygen -Y find-principals -f "$signers" -s "$1.sig" 2>/dev/null </dev/null | head -n 1; }
# Armour leaves room for spaces; ours has none.
armour() { echo '-----BEGIN SSH SIGNATURE-----'; sed '1d;$d' "$1.sig" | base64 -d 2>/dev/null | base64 | tr -d '\n' | fold -w 70; echo; echo '-----END SSH SIGNATURE-----'; }
signed() { armour "$1" | cmp -s - "$1.sig" || die "$1.sig: its armour"; w=$(who "$1"); [ "$w" ] && ssh-keygen -Y verify -f "$signers" -I "$w" -n "$2" -s "$1.sig" <"$1" >/dev/null 2>&1 || die "$1: its signature"; }
odd() { [ "$(ls -A "$1" | wc -l)" = "$(cd "$1" && find . ! -name . -prune -exec echo x \; | wc -l)" ]; }
sums() {
    while IFS= read -r line; do
        file=${line#*  }
        case $file in '' | .* | -* | *[!A-Za-z0-9._-]*) die "$1/SHA256SUMS: a name" ;; esac
        if here "$1/$file"; then [ "$(sha <"$1/$file")  $file" = "$line" ] || die "$1/$file: it was altered"; fi
    done <"$1/SHA256SUMS"
}
strange=$(find . ! -type f ! -type d | head -n 1)
[ -z "$strange" ] || die "$strange: it is not a plain file"
long=$(find . -type f -size +33554432 | head -n 1)
[ -z "$long" ] || die "$long: it is longer than any that gameday writes"
for file in HEAD HEAD.sig runs.jsonl; do here $file; done
[ -z "$lost" ] || incomplete
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
bundle='' marks='bundle.json SHA256SUMS SHA256SUMS.sig'
for file in $marks; do [ ! -e $file ] || bundle="AUDITOR.md verify.sh $marks"; done
if [ "$bundle" ]; then
    for file in $marks; do here $file; done
    [ -z "$lost" ] || incomplete
    signed SHA256SUMS gameday-evidence@v1; sums .
fi
if runs declared | grep -q -e '[^A-Za-z0-9._-]' -e '^[.-]'; then die "runs.jsonl: a name that cannot name a run"; fi
odd . || die "a name that hides another"
extra=$(ls -A | grep -vxF "$(printf '%s\n' HEAD HEAD.sig runs.jsonl $bundle; runs declared)")
[ -z "$extra" ] || die "$extra: no run explains it"
for run in $(runs closed); do
    [ -z "$bundle" ] || grep -q "\"run\": \"$run\"" bundle.json || { echo "not in this bundle: $run"; continue; }
    here "$run" || continue
    [ -d "$run" ] || die "$run: it is no folder"
    if here "$run/SHA256SUMS" && here "$run/SHA256SUMS.sig"; then
        signed "$run/SHA256SUMS" gameday-evidence@v1
        sums "$run"
        odd "$run" || die "$run: a name that hides another"
        stated=$(field "$run" closed attestation); case $stated in '{'*) stated= ;; esac
        extra=$(ls -A "$run" | grep -vxF "$(printf '%s\n' SHA256SUMS SHA256SUMS.sig ${stated:+attestation.dsse.json} record.toml review.md review.md.sig; cut -c67- "$run/SHA256SUMS")")
        [ -z "$extra" ] || die "$run/$extra: it was added"
        [ "$(sha <"$run/SHA256SUMS")" = "$(field "$run" closed sums)" ] || die "$run: SHA256SUMS is not the one in the ledger"
        [ "$(sha <"$run/SHA256SUMS.sig")" = "$(field "$run" closed sig)" ] || die "$run: SHA256SUMS.sig"
        if [ "$stated" ] && here "$run/attestation.dsse.json"; then [ "$(sha <"$run/attestation.dsse.json")" = "$stated" ] || die "$run/attestation.dsse.json: it was altered"; fi
        [ ! -e "$run/scenario.toml" ] || [ "$(sha <"$run/scenario.toml")" = "$(field "$run" declared scenario_sha256)" ] || die "$run: not the scenario that was declared"
        [ ! -e "$run/stack.toml" ] || [ "$(sha <"$run/stack.toml")" = "$(field "$run" declared stack_sha256)" ] || die "$run: not the stack that was declared"
    fi
    if runs reviewed | grep -qx "$run"; then
        for pair in record.toml:record review.md:review review.md.sig:sig; do
            file=$run/${pair%:*}
            if here "$file"; then [ "$(sha <"$file")" = "$(field "$run" reviewed "${pair#*:}")" ] || die "$file: it was altered after the review"; fi
        done
        if [ -e "$run/review.md" ] && [ -e "$run/review.md.sig" ]; then
            signed "$run/review.md" gameday-review@v1
            [ ! -e "$run/SHA256SUMS.sig" ] || [ "$w" != "$(who "$run/SHA256SUMS")" ] || die "$run: its review is by its operator"
        fi
    elif [ -e "$run/review.md" ] || [ -e "$run/review.md.sig" ]; then die "$run: a review that the ledger does not know"; fi
done
[ -z "$lost" ] || incomplete
runs declared | while read -r run; do runs closed | grep -qx "$run" || echo "never closed, counts as failed: $run"; done
echo "VERIFIED: $n entries, head $prev"

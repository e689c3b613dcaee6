#!/bin/sh
# Forced command of every key of another server or an auditor: gate.sh PEER STATE VERBS MARK
#
# PEER is the id of the server that owns the key, or audit:USER; STATE the absolute state
# directory, VERBS a comma list of what this key may ask (receive-pack, upload-pack,
# probe), MARK a digest of the key. All of them come from authorized_keys, never from the
# other end. What the other end asked is compared whole, byte by byte; it is never split,
# expanded or run.
# Everything else is refused and written to STATE/gate.log, and so is what auditors fetch;
# the running program is told as well, for the audit log.
# An auditor may only fetch, and sees no drafts.
set -u -f
PATH=/usr/local/bin:/usr/bin:/bin
LC_ALL=C
export PATH LC_ALL
umask 077

peer=$1
state=$2
verbs=$3
mark=${4-}
asked=${SSH_ORIGINAL_COMMAND-}

case $peer in
    audit:*) who="auditor ${peer#audit:}" verbs=upload-pack ;;
    *) who="server $peer" ;;
esac

note() {
    log=$state/gate.log
    if [ -f "$log" ] && [ "$(wc -c <"$log")" -gt 1048576 ]; then
        mv -f "$log" "$log.1"
    fi
    shown=$(printf '%s' "$asked" | head -c 200 | tr -c '[:print:]' '?')
    printf '%s %s %s: %s\n' \
        "$(date -u +%Y-%m-%dT%H:%M:%SZ)" "$who" "$1" "$shown" >>"$log"
}

tell() {
    address=${SSH_CONNECTION-}
    cd -- "$state/run" 2>/dev/null || return 0
    nc -N -w 5 -U receive.sock >/dev/null 2>&1 <<END || :
gate
$peer
${address%% *}
$1
$shown
END
}

refuse() {
    note "refused ($1)"
    tell "refused: $1"
    printf 'BQN: refused: %s\n' "$1" >&2
    exit 126
}

case $asked in
    "git-receive-pack 'config.git'") verb=receive-pack ;;
    "git-upload-pack 'config.git'") verb=upload-pack ;;
    "git-upload-pack '/git/cluster.git'") verb=upload-pack ;;
    bqn-probe) verb=probe ;;
    *) refuse 'this key may only exchange the configuration' ;;
esac
case ,$verbs, in
    *",$verb,"*) ;;
    *) refuse "this key may not ask for $verb" ;;
esac

# A connection outlives the key that opened it: who was removed or replaced, and a person
# whose key was taken away, may ask no more.
let_in=$state/run/let-in
if [ -d "$let_in" ] && [ ! -f "$let_in/$mark" ]; then
    refuse 'this key is not let in any more'
fi

if [ "$verb" = probe ]; then
    printf 'bqn-gate 1\n'
    exit 0
fi

git=
for place in /usr/bin/git /usr/local/bin/git; do
    if [ -x "$place" ]; then
        git=$place
        break
    fi
done
[ -n "$git" ] || refuse 'git is not installed on this server'

if [ "$who" != "server $peer" ]; then
    # As many clones of people as over HTTPS; each holds its place as long as it runs.
    place=
    if [ -d "$state/run" ]; then
        for number in 1 2 3 4; do
            exec 9>>"$state/run/clone-$number"
            flock -n 9 && place=$number && break
        done
        [ -n "$place" ] || refuse 'too many clones run at this moment; try again in some seconds'
    fi
    note fetches
fi

# A pack that never ends, or unfolds without end, costs at most this much time and memory
# (1 KiB units); git itself stops at a single object that is larger than any file may be.
alloc= silence=
if [ "$verb" = receive-pack ]; then
    ulimit -t 20
    ulimit -v 262144
    alloc=GIT_ALLOC_LIMIT=33554432
else
    ulimit -t 120
    ulimit -v 2097152
    silence=--timeout=60
fi

hooks=${0%/*}
if [ "$who" = "server $peer" ]; then
    hidden=refs/bqn/none
else
    hidden=refs/bqn/drafts
fi
set -- /usr/bin/env -i \
    PATH="$PATH" LC_ALL=C HOME=/nonexistent \
    GIT_CONFIG_NOSYSTEM=1 GIT_CONFIG_GLOBAL=/dev/null GIT_TERMINAL_PROMPT=0 \
    GIT_OPTIONAL_LOCKS=0 BQN_PEER="$peer" BQN_STATE="$state" $alloc \
    "$git" --no-replace-objects -c core.hooksPath="$hooks" -c core.bigFileThreshold=1024g \
    -c uploadpack.hideRefs="$hidden" "$verb" $silence "$state/config.git"
[ "$who" = "server $peer" ] && exec "$@"
"$@"
status=$?
if [ "$status" -eq 0 ]; then
    tell done
else
    tell 'broken off'
fi
exit "$status"

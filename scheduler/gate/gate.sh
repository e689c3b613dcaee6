#!/bin/sh
# Forced command of every key of another server or an auditor: gate.sh PEER STATE VERBS MARK
#
# PEER is the id of the server that owns the key, or audit:USER; STATE the absolute state
# directory, VERBS a comma list of what this key may ask (receive-pack, upload-pack,
# probe), MARK a digest of the key. All of them come from authorized_keys, never from the
# other end. What the other end asked is compared whole, byte by byte; it is never split,
# expanded or run.
# Everything else is refused and written to STATE/gate.log, and so is what auditors fetch,
# and a push that git itself does not take; the running program is told as well, for the
# audit log.
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
address=${SSH_CONNECTION-}
longest=

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
    # As many clones of people as over HTTPS; each holds its place as long as it runs, and it
    # runs at most half an hour, or as long as 64 KiB/s take for all that is there.
    place=
    if [ -d "$state/run" ]; then
        for number in 1 2 3 4; do
            exec 9>>"$state/run/clone-$number"
            flock -n 9 && place=$number && break
        done
        [ -n "$place" ] || refuse 'too many clones run at this moment; try again in some seconds'
    fi
    note fetches
    size=$(du -sk "$state/config.git/objects" 2>/dev/null)
    longest=$((${size%%[!0-9]*}+0))
    longest=$((longest / 64))
    [ "$longest" -gt 1800 ] || longest=1800
fi

# A pack that never ends, or unfolds without end, costs at most this much work (seconds of
# CPU of each process) and memory (1 KiB units); git itself stops at a single object that is
# larger than any file may be. The largest that servers send takes half a second.
# Git hides from its caller that it did not take a push, so it writes down how its parts
# ended (trace2). The running program removes that when git asks it to judge the push: who
# finds it afterwards knows that it did not come so far.
limits= silence=
trace=$state/run/git-$peer-$$
if [ "$verb" = receive-pack ]; then
    ulimit -H -t 10
    ulimit -S -t 5
    ulimit -v 262144
    limits=GIT_ALLOC_LIMIT=33554432
    true 2>/dev/null >"$trace" && exec 8>"$trace" && limits="$limits GIT_TRACE2=8"
else
    ulimit -t 120
    ulimit -v 2097152
    silence=--timeout=60
fi

why_not() {
    awk '
        /^child_start.* --pack_header=/ { split($0, part, "--pack_header=[0-9]*,"); count = part[2] + 0 }
        /^error / && !said { said = substr($0, 7, 200) }
        /^child_exit.* code:[1-9]/ { ended = 1; if (/ code:152 /) said = "more than 5 s of work" }
        /^child_start.*pre-receive.?$/ { judged = 1 }
        END {
            if (!ended || judged) exit
            print said ~ /EOF/ ? "broken off:" : "refused:", count, "objects,", said
        }
    ' "$trace" | tr -c '[:print:]\n' '?'
}

hooks=${0%/*}
if [ "$who" = "server $peer" ]; then
    hidden=refs/bqn/none
else
    hidden=refs/bqn/drafts
fi
set -- ${longest:+/usr/bin/timeout -k 5 "$longest"} /usr/bin/env -i \
    PATH="$PATH" LC_ALL=C HOME=/nonexistent \
    GIT_CONFIG_NOSYSTEM=1 GIT_CONFIG_GLOBAL=/dev/null GIT_TERMINAL_PROMPT=0 \
    GIT_OPTIONAL_LOCKS=0 GIT_TRACE2_BRIEF=1 \
    BQN_PEER="$peer" BQN_STATE="$state" BQN_ADDRESS="${address%% *}" BQN_GATE=$$ $limits \
    "$git" --no-replace-objects -c core.hooksPath="$hooks" \
    -c core.bigFileThreshold=1024g -c core.alternateRefsCommand=true \
    -c uploadpack.hideRefs="$hidden" "$verb" $silence "$state/config.git"
[ "$verb" = upload-pack ] && [ "$who" = "server $peer" ] && exec "$@"
"$@"
status=$?
if [ "$verb" = receive-pack ]; then
    if [ -e "$trace" ]; then
        why=$(why_not)
        rm -f -- "$trace"
        [ -z "$why" ] || { note "push $why"; tell "$why"; }
    fi
elif [ "$status" -eq 0 ]; then
    tell done
elif [ "$status" -eq 124 ]; then
    tell "broken off: it took more than $longest s"
else
    tell 'broken off'
fi
exit "$status"

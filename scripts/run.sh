#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# A relay, two people and their first conversation, all of it in ./run: real processes, real TLS.
# The second time the same relay and the same people go on. With a terminal on stdin a chat opens
# at the end; without one everything that was started is stopped.
set -eu

cd "$(dirname "$0")/.."
umask 077
dir=run
sottod=build/sottod
sotto=build/sotto
relay_pid=
mkdir -p "$dir"

stop() {
    if [ -n "$relay_pid" ]; then
        kill "$relay_pid" 2>/dev/null || true
        wait "$relay_pid" 2>/dev/null || true
        relay_pid=
    fi
}
trap stop EXIT
trap 'exit 130' INT TERM HUP

fail() {
    echo "make run: $*" >&2
    exit 1
}

say() {
    printf '\n== %s\n' "$*"
}

# as NAME COMMAND...: runs sotto as that person and shows what was typed.
as() {
    who=$1
    shift
    printf '$ sotto --profile %s/%s' "$dir" "$who" >&2
    for word in "$@"; do
        case $word in
        *[!A-Za-z0-9_./:=+-]*) printf " '%s'" "$word" >&2 ;;
        *) printf ' %s' "$word" >&2 ;;
        esac
    done
    printf '\n' >&2
    "$sotto" --profile "$dir/$who" --passphrase-file "$dir/$who.passphrase" "$@"
}

# --- the relay ---

start_relay() { # start_relay PORT
    : >"$dir/relay.out"
    "$sottod" --data "$dir/relay" --listen "127.0.0.1:$1" >"$dir/relay.out" 2>>"$dir/relay.log" &
    relay_pid=$!
    waited=0
    while ! grep -q '^sottod ready' "$dir/relay.out"; do
        kill -0 "$relay_pid" 2>/dev/null || { relay_pid=; return 1; }
        [ "$waited" -lt 100 ] || return 1
        sleep 0.1
        waited=$((waited + 1))
    done
}

port=12345
known_port=
[ -f "$dir/port" ] && known_port=$(cat "$dir/port") && port=$known_port
if [ -f "$dir/relay/cert/server_cert.pem" ]; then
    say "Starting the relay with its certificate in $dir/relay/cert"
else
    say "Starting the relay; it makes its certificate in $dir/relay/cert"
fi
if ! start_relay "$port"; then
    tail -n 1 "$dir/relay.log" >&2
    echo "Port $port is not free: taking another one."
    start_relay 0 || { tail -n 3 "$dir/relay.log" >&2; fail "the relay does not start"; }
fi
ready=$(grep '^sottod ready' "$dir/relay.out")
port=$(printf '%s\n' "$ready" | sed 's/^sottod ready .*:\([0-9]*\) pin .*/\1/')
printf '%s\n' "$port" >"$dir/port"
echo "\$ sottod --data $dir/relay --listen 127.0.0.1:$port"
echo "$ready"

# --- two people ---

for name in alice bob; do
    if [ ! -f "$dir/$name.passphrase" ]; then
        od -An -N12 -tx1 /dev/urandom | tr -d ' \n' >"$dir/$name.passphrase"
    fi
    if [ -f "$dir/$name.registered" ]; then
        say "$name is signed up already"
        if [ -n "$known_port" ] && [ "$known_port" != "$port" ]; then
            as "$name" trust-relay "$("$sottod" invite --data "$dir/relay")"
        fi
        continue
    fi
    say "Signing $name up with an invite"
    echo "\$ sottod invite --data $dir/relay"
    invite=$("$sottod" invite --data "$dir/relay")
    echo "$invite"
    as "$name" register "$invite" --name "$name"
    : >"$dir/$name.registered"
done

# --- a conversation ---

stamp=$(date +%s)
hello="Good morning Bob, the kettle is on ($stamp)"
answer="On my way, Alice; I bring the bread ($stamp)"
later="You were away: the back door is open ($stamp)"
expect() { # expect WHAT TEXT: stdin must hold TEXT
    got=$(cat)
    printf '%s\n' "$got"
    printf '%s\n' "$got" | grep -qF "$2" || fail "$1 did not arrive"
}

say 'alice writes to bob'
as alice send bob "$hello"
say 'bob reads, and answers'
as bob receive --wait 10 --count 1 | expect 'the greeting' "$hello"
as bob send alice "$answer"
as alice receive --wait 10 --count 1 | expect 'the answer' "$answer"
say 'bob is away; alice writes; bob comes back'
as alice send bob "$later"
as bob receive --wait 10 --count 1 | expect 'the late message' "$later"
say 'What became of them, as alice sees it'
as alice receive
as alice history bob --limit 3

say 'Safety numbers: both see the same'
number_a=$(as alice verify bob)
number_b=$(as bob verify alice)
printf 'alice: %s\nbob:   %s\n' "$number_a" "$number_b"
[ "$number_a" = "$number_b" ] || fail 'the safety numbers differ'

# --- what the relay has seen ---

say "Searching the relay's folder and log for what was written"
marker="planted-$stamp"
printf '%s' "$marker" >"$dir/relay/marker"
for text in "$hello" "$answer" "$later"; do
    echo "\$ grep -rlaF '$text' $dir/relay $dir/relay.log"
    if grep -rlaF "$text" "$dir/relay" "$dir/relay.log"; then
        fail "the relay holds a text"
    fi
    echo 'nothing'
done
echo "\$ grep -rlaF '$marker' $dir/relay $dir/relay.log   (planted, so the search works)"
grep -rlaF "$marker" "$dir/relay" "$dir/relay.log" || fail 'the search does not work'
rm -f "$dir/relay/marker"

# --- and now you ---

if [ -t 0 ]; then
    say 'The chat of alice opens. For bob, in another terminal:'
    echo "build/sotto --profile $dir/bob --passphrase-file $dir/bob.passphrase chat alice"
    as alice chat bob
else
    say 'Everything works; stopping the relay'
fi

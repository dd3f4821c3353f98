#!/bin/sh
# A private network of three real nodes on this machine: a seed, Alice and Bob. Bob answers by himself; you are Alice.
# AUTO=1 plays the scene without a terminal, and succeeds only if everything that was said has arrived and was kept.
# Everything lives in a temporary folder, speaks to loopback only, and is gone at the end, also after Ctrl-C.
set -eu

parley=${PARLEY:-$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)/bin/parley}
greeting='hello Bob, is it really you?'
answer='it is me, Alice: you said'

fail() {
	echo "demo: $*" >&2
	for log in "$work"/*.log; do
		[ ! -s "$log" ] || sed "s|^|  ${log##*/}: |" "$log" >&2
	done
	exit 1
}

# stop NAME: end a person's node, if it runs, and wait until it has ended.
stop() {
	eval "pid=\${$1_pid:-}"
	eval "$1_pid="
	[ -z "$pid" ] || kill "$pid" 2>/dev/null || true
	[ -z "$pid" ] || wait "$pid" || true
}

clean() {
	trap '' INT TERM HUP
	silence
	stop alice
	stop seed
	rm -rf "$work"
}

# run NAME COMMAND...: one command on a person's home.
run() {
	name=$1
	shift
	"$parley" --home "$work/$name" "$@"
}

# soon COMMAND...: wait until a command succeeds.
soon() {
	tries=0
	until "$@" >/dev/null 2>&1; do
		tries=$((tries + 1))
		[ "$tries" -lt 200 ] || fail "waited in vain for: $*"
		sleep 0.1
	done
}

# up NAME [FLAG...]: start a person's node in the background, on loopback and any free port.
up() {
	name=$1
	shift
	"$parley" --home "$work/$name" up --no-mdns --listen /ip4/127.0.0.1/tcp/0 "$@" 2>>"$work/$name.log" &
	eval "${name}_pid=\$!"
	soon run "$name" status
}

# answering: be Bob while his node runs, and say something back to each message.
answering() {
	while run bob status >/dev/null 2>&1; do
		line=$(run bob recv alice --max 1 --timeout 1s --json 2>/dev/null) || continue
		text=${line#*\"text\":\"}
		text=$(printf '%s\n' "${text%%\",\"at\":*}" | sed 's/\\"/"/g; s/\\\\/\\/g')
		run bob send alice -- "$answer \"$text\"" >>"$work/answering.log" 2>&1 || true
	done
}

# silence: stop Bob's node, and wait until he has noticed.
silence() {
	stop bob
	[ -z "${answering_pid:-}" ] || wait "$answering_pid" || true
	answering_pid=
}

knows() { run "$1" contact list | grep -q "^$2 "; }
kept() { run "$1" history "$2" | grep -Fq "$3"; }

# say: show a command as if it had been typed, and run it.
say() {
	name=$1
	shift
	printf '%s$ parley %s\n' "$name" "$*"
	run "$name" "$@"
}

world() {
	run seed init --name Seed --network demo --no-passphrase >"$work/init.log"
	up seed --seed
	run alice init --name Alice --join "$(run seed net invite 2>/dev/null)" --no-passphrase -y >"$work/init.log" 2>&1
	up alice
	run bob init --name Bob --join "$(run alice net invite 2>/dev/null)" --no-passphrase -y >"$work/init.log" 2>&1
	up bob
	soon knows alice Bob

	answering &
	answering_pid=$!
}

# auto: the scene without anybody at the keyboard.
auto() {
	say alice send bob "$greeting" --wait delivered --timeout 20s || fail "Alice's message was not delivered"
	say alice recv bob --max 1 --timeout 20s || fail "Bob's answer did not come"
	echo '-- both nodes are restarted --'
	silence
	stop alice
	up alice
	up bob
	for name in alice bob; do
		other=bob
		[ "$name" = alice ] || other=alice
		say "$name" history "$other"
		kept "$name" "$other" "$greeting" && kept "$name" "$other" "$answer" || fail "$name's history is not whole"
	done
	echo 'demo: delivered, answered, and kept by both'
}

[ -x "$parley" ] || { echo "demo: $parley is missing: make build" >&2 && exit 1; }
if [ "${AUTO:-}" != 1 ] && ! { [ -t 0 ] && [ -t 1 ]; }; then
	echo "demo: a chat needs a terminal; AUTO=1 plays without one" >&2
	exit 2
fi

work=$(mktemp -d "${TMPDIR:-/tmp}/parley-demo.XXXXXX")
trap clean EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM
for setting in $(env | sed -n 's/^\(PARLEY_[A-Z_]*\)=.*/\1/p'); do unset "$setting"; done
export PARLEY_NODE_MDNS=false XDG_RUNTIME_DIR="$work"

echo 'demo: a seed, Alice and Bob: three nodes on this machine'
world
if [ "${AUTO:-}" = 1 ]; then
	auto
else
	echo 'demo: you are Alice. Write to Bob; /help helps, /quit ends it all'
	run alice chat bob
fi

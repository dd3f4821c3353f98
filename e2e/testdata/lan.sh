# Two machines on one LAN: network namespaces joined by a bridge, inside a namespace of their own with no way out.
# Alice's address changes after the invite was made, so that only the LAN itself can tell Bob where she is.
set -eu
parley=$1
cd "$2"
mount -t tmpfs tmpfs /run
ip link add bridge type bridge
ip link set bridge up
for name in alice bob; do
	ip netns add "$name"
	ip link add "$name" type veth peer name eth0 netns "$name"
	ip link set "$name" master bridge up
	ip -n "$name" link set lo up
	ip -n "$name" link set eth0 up
done
at() { # NAME ADDRESS
	ip -n "$1" addr flush dev eth0 scope global
	ip -n "$1" addr add "$2/24" dev eth0
	ip -n "$1" route replace default dev eth0
}
on() { # NAME COMMAND...
	name=$1
	shift
	ip netns exec "$name" "$parley" --home "$name" "$@"
}
up() { # NAME: start the node, and wait until it is ready
	ip netns exec "$1" "$parley" --home "$1" up 2>"$1.log" &
	until grep -q 'parley: ready' "$1.log"; do
		kill -0 $! || { cat "$1.log"; exit 1; }
		sleep 0.05
	done
}
at alice 192.168.77.1
at bob 192.168.77.2
on alice init --name Alice --network lan --no-passphrase
on alice net invite >link
at alice 192.168.77.9
on bob init --name Bob --join - --no-passphrase -y <link
up alice
alice=$!
up bob
bob=$!
on bob send alice 'found by mDNS' --wait delivered --timeout 20s
on bob peers
kill "$alice" "$bob"
wait "$alice" "$bob" || true

package cli

import "time"

const (
	// lockWait is how long up waits for a node on the same home to end, so that a restart needs no pause in between.
	lockWait = 3 * time.Second
	// attachWait is how long a command waits for a node that starts or stops at this moment.
	attachWait = 10 * time.Second
	// attachPoll is how often it looks.
	attachPoll = 100 * time.Millisecond
	// probeTime is how long init and join try to be let in: a few times a dial, since over a slow line somebody who is there takes that long to say so.
	probeTime = 15 * time.Second
	// sendGrace is how long a node that send or contact add has started stays, so that what was queued can leave at once.
	// Less than up waits for the lock, so that a node started meanwhile is not refused.
	sendGrace = 2 * time.Second
	// recvGrace is how long a node that recv has started stays, so that others can hand over what they keep for us.
	recvGrace = 2 * time.Second
	// waitDefault is how long send waits for the state that was asked for.
	waitDefault = 30 * time.Second
	// joinPoll is how often up looks whether the network has answered.
	joinPoll = time.Second
	// keyWatch is how long up looks, in the beginning, whether the network has another key by now: a few attempts to connect.
	keyWatch = 30 * time.Second
	// keyLook is how often it looks later: seldom enough to cost nothing, and soon enough for somebody who wonders.
	keyLook = 30 * time.Second
	// doctorTime is how long doctor waits for a node's answers: a busy machine's, and a database's that restarts.
	doctorTime = 10 * time.Second
	// stopWait bounds what a command still asks its own node before it stops it.
	stopWait = 2 * time.Second
	// markTime bounds the last call of a recv whose time is up.
	markTime = 5 * time.Second
	// hostEnding is the least that names a node by how its id ends: as much as libp2p itself shows of ids.
	hostEnding = 6
	// historyDefault is how many messages history shows: a screen or two.
	historyDefault = 50
	// maxSecretFile bounds a file that holds a passphrase or a database URL, and a link on standard input, in bytes.
	maxSecretFile = 64 << 10
	// entryBuffer is how many events wait while a batch is shown.
	entryBuffer = 256
)

package api

import (
	"time"

	"parley/chat"
)

// Sizes and counts.
const (
	// maxBody is the longest request body in bytes: JSON may write every byte of a text or client id as \u00XX, six for one. The most are
	// many messages at once, whose texts have together no more bytes than one may have.
	maxBody = 6*chat.MaxText + chat.SendBatch*(6*chat.MaxClientID+64)
	// maxHeader bounds a request's line and headers in bytes: the longest path holds a client id of chat.MaxClientID bytes,
	// percent-encoded, and curl's own headers are short.
	maxHeader = 16 << 10
	// maxAnswer is the longest answer in bytes that a client reads: a full page of the longest messages.
	maxAnswer = chat.MaxPage * maxEntry
	// maxEntry is the longest event in bytes: a message of the longest text, escaped, with its ids and names.
	maxEntry = 6*chat.MaxText + 8<<10
	// maxConnections bounds what is open at once: each costs the node about 20 KiB and a descriptor, of which 1,024 are usual.
	maxConnections = 256
	// maxStreams bounds event readers, a quarter of the connections, so that readers never lock everybody else out.
	maxStreams = 64
	// clientConnections bounds what one client opens, half of what the node takes; further calls queue in the client.
	clientConnections = maxConnections / 2
	// maxMarks is the most message ids of one request to mark as read; a client splits longer lists.
	maxMarks = 1000
	// maxSocketPath is the longest path of a socket in bytes: macOS has room for 103 and a zero byte, Linux for four more.
	maxSocketPath = 103
	// defaultPage is how many messages an answer holds when nobody says: a screen or two.
	defaultPage = 50
	// streamBuffer is how many events wait for a slow reader before the reading of further ones pauses.
	streamBuffer = 64
)

// Times that the server keeps.
const (
	// headerTimeout ends a connection that does not finish its headers: on one machine they arrive at once.
	headerTimeout = 5 * time.Second
	// bodyTimeout ends a request that does not finish its body; it counts from the first byte of the header.
	bodyTimeout = 10 * time.Second
	// writeTimeout cuts a reader off that takes nothing; it resumes by sequence number.
	writeTimeout = 10 * time.Second
	// idleTimeout closes connections without a request. Clients of this package close theirs earlier (clientIdle).
	idleTimeout = 60 * time.Second
	// shutdownGrace is what requests under way get to finish when the node stops. Streams and waits end at once.
	shutdownGrace = 3 * time.Second
	// keepAlive is the time between comments in a quiet stream, so that both ends notice when the other is gone.
	keepAlive = 15 * time.Second
	// defaultWait is how long ?wait= waits when no timeout is given.
	defaultWait = 20 * time.Second
	// maxWait bounds one wait or poll; longer ones are cut to it, and the caller asks again.
	maxWait = 60 * time.Second
	// pollLinger is how long a poll that has an event waits for the next one of the same burst.
	pollLinger = 10 * time.Millisecond
)

// Times that a client keeps.
const (
	// dialTimeout ends the attempt to connect; a socket on this machine answers at once or never.
	dialTimeout = 2 * time.Second
	// requestTimeout ends a call that gets no answer: no call but a wait takes longer than a commit.
	requestTimeout = 30 * time.Second
	// lookTimeout ends the last look at a message after the caller has stopped waiting for it.
	lookTimeout = 2 * time.Second
	// clientIdle closes a kept connection well before the server's idleTimeout would.
	clientIdle = 30 * time.Second
	// silence is how long a stream may say nothing before it counts as dropped: three keep-alives.
	silence = 3 * keepAlive
	// attempts is how often a call is tried when its connection drops, with pauses of retryPause, twice that, …: 0.3 s in all.
	attempts = 5
	// retryPause is the first pause between attempts.
	retryPause = 20 * time.Millisecond
)

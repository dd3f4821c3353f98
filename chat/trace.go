package chat

import (
	"encoding/binary"
	"slices"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"parley/chat/internal/wire"
)

// trace is how a message of ours went, for people who ask where it is.
type trace struct {
	reason string // why it has failed
	ways   []Way
}

// Way is how a message went to one device, as far as it has come.
type Way struct {
	Device  peer.ID // empty: it is about no device
	State   State   // what the device, or its mailboxes, have said
	Route   string
	Holders []peer.ID // the mailbox hosts that hold it, or held it until the device had it
	At      time.Time
	Reason  string // why it has failed
}

// The states of a way as they are written.
var wayStates = []State{StateQueued, StateSent, StateDelivered, StateRead, StateFailed}

// with returns the trace after a report, and whether it says more than before. Where a way has come no further it stays as it is, but for
// who holds the message.
func (t trace) with(w Way) (trace, bool) {
	if w.Reason != "" {
		t.reason = w.Reason
		return t, true
	}
	if w.Device == "" {
		return t, false
	}
	t.ways = slices.Clone(t.ways)
	i := slices.IndexFunc(t.ways, func(old Way) bool { return old.Device == w.Device })
	if i < 0 {
		t.ways = append(t.ways, w)
		return t, len(t.ways) <= MaxDevices
	}
	old := t.ways[i]
	if len(w.Holders) == 0 {
		w.Holders = old.Holders
	}
	if _, further := old.State.Advance(w.State); !further && (w.State != old.State || slices.Equal(w.Holders, old.Holders)) {
		return t, false
	}
	t.ways[i] = w
	return t, true
}

// append writes the trace: lp(reason) ‖ n × (lp(device) ‖ state u8 ‖ milliseconds since 1970 u64 ‖ lp(route) ‖ h u8 ‖ h × lp(host)).
func (t trace) append() string {
	b := wire.AppendLP(nil, []byte(t.reason))
	for _, w := range t.ways {
		b = wire.AppendLP(b, []byte(w.Device))
		b = append(b, byte(slices.Index(wayStates, w.State)))
		b = binary.BigEndian.AppendUint64(b, uint64(w.At.UnixMilli()))
		b = wire.AppendLP(b, []byte(w.Route))
		b = append(b, byte(len(w.Holders)))
		for _, host := range w.Holders {
			b = wire.AppendLP(b, []byte(host))
		}
	}
	return string(b)
}

// parseTrace reads what append wrote. What does not parse says nothing.
func parseTrace(s string) trace {
	if s == "" {
		return trace{}
	}
	r := wire.NewReader([]byte(s))
	t := trace{reason: string(r.LP(MaxEnvelope))}
	for r.Left() > 0 {
		w := Way{Device: peer.ID(r.LP(maxDevice))}
		state := int(r.Byte())
		w.At = time.UnixMilli(int64(r.U64())).UTC()
		w.Route = string(r.LP(maxWord))
		for range r.Byte() {
			w.Holders = append(w.Holders, peer.ID(r.LP(maxDevice)))
		}
		if state >= len(wayStates) || w.Route == "" {
			return trace{}
		}
		w.State = wayStates[state]
		t.ways = append(t.ways, w)
	}
	if r.Close() != nil {
		return trace{}
	}
	return t
}

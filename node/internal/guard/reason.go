package guard

import "sync/atomic"

// Reason is why something was refused. The set is closed, and its texts are part of the interface to programs: they never change.
type Reason uint8

// The reasons.
const (
	WrongKey    Reason = iota // the handshake was noise, or nothing: another network key, or none
	NoMember                  // nothing came of the exchange about membership
	Revoked                   // it was a member
	Foreign                   // it is of another network
	Banned                    // it has broken the protocol too often
	RateLimited               // too often in too short a time
	Limit                     // a limit of the resource manager: connections, streams, memory
	BadFrame                  // what it said is not of the protocol
	Slow                      // a deadline has passed
	MailboxFull               // a lane, a mailbox, or the host has no room
	MailboxGone               // no such mailbox or lane
	Relay                     // a circuit or a reservation for somebody who is no member
	NoOpenDoor                // a stream before the peer was admitted
	PrivateDial               // somebody named an address of a private network that is not ours
	DialBudget                // somebody named more addresses than are dialled for one peer, or a circuit that goes by way of no seed
	reasons                   // how many there are
)

// String returns the name of a reason as programs see it.
func (r Reason) String() string {
	switch r {
	case WrongKey:
		return "wrong_key"
	case NoMember:
		return "no_member"
	case Revoked:
		return "revoked"
	case Foreign:
		return "foreign_network"
	case Banned:
		return "banned"
	case RateLimited:
		return "rate_limited"
	case Limit:
		return "resource_limit"
	case BadFrame:
		return "bad_frame"
	case Slow:
		return "too_slow"
	case MailboxFull:
		return "mailbox_full"
	case MailboxGone:
		return "mailbox_gone"
	case Relay:
		return "relay"
	case NoOpenDoor:
		return "not_admitted"
	case PrivateDial:
		return "dial_private"
	case DialBudget:
		return "dial_budget"
	}
	return "unknown"
}

// Reasons lists all reasons.
func Reasons() []Reason {
	all := make([]Reason, reasons)
	for i := range all {
		all[i] = Reason(i)
	}
	return all
}

// counts is how often something was refused in this run, for each reason.
type counts [reasons]atomic.Uint64

// Count adds one to a reason.
func (g *Guard) Count(r Reason) { g.counts[r].Add(1) }

// Refused returns how often something was refused in this run, by the name of the reason; every reason is there.
func (g *Guard) Refused() map[string]uint64 {
	all := make(map[string]uint64, reasons)
	for _, r := range Reasons() {
		all[r.String()] = g.counts[r].Load()
	}
	return all
}

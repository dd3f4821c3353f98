// Package setback says what an attempt that came to nothing means: in words for people, how much it tells beside others, and what would help. What is known of a
// network's seeds is kept in a [Log].
package setback

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/net/swarm"

	"parley/node/member"
)

// How much the end of an attempt tells, the least first.
const (
	tellsNothing = iota // nobody knows where to dial
	tellsAgain          // another attempt has just failed there
	tellsSilent         // nobody answers
	tellsThere          // a node is there, and says nothing of our invite
	tellsAway           // it has asked for who made the invite
	tellsInvite         // another invite is needed
	tellsRemoved        // this device was removed
)

// Tells returns how much an error of an attempt tells; of two, the greater tells more.
func Tells(err error) int {
	v := member.Verdict(0)
	switch told := errors.As(err, &v); {
	case errors.Is(err, member.Revoked):
		return tellsRemoved
	case told && v.Refused() && v.Invited():
		return tellsInvite
	case told && v == member.IssuerAway:
		return tellsAway
	case member.Answer(err) != nil:
		return tellsThere
	case err == nil || errors.Is(err, ErrUnknown):
		return tellsNothing
	case errors.Is(err, swarm.ErrDialBackoff):
		return tellsAgain
	}
	return tellsSilent
}

// expired is why a device waits whose invite is too old. Who has made it judges by another clock, so it goes on asking.
const expired = "the invite has expired by this computer's clock"

// Log is what came of the last attempts to connect to seeds, while none is connected.
type Log struct {
	mu   sync.Mutex
	last []Setback // one of each seed; of two that tell as much, the first is shown
}

// Setback is an attempt that came to nothing.
type Setback struct {
	seed   peer.ID
	tells  int
	reason string
	retry  time.Time
}

// Note takes the place of what a seed's last attempt has told, unless that tells more of the same state.
func (l *Log) Note(seed peer.ID, err error, keyed bool, retry time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := Setback{seed, Tells(err), Reason(err, keyed), retry}
	i := slices.IndexFunc(l.last, func(s Setback) bool { return s.seed == seed })
	switch {
	case i < 0:
		l.last = append(l.last, now)
	case passing(err):
		l.last[i].retry = retry
	default:
		l.last[i] = now
	}
}

// passing reports whether an error is of the moment alone, and says nothing against what the same seed has said before.
func passing(err error) bool {
	return errors.Is(err, swarm.ErrDialBackoff) || errors.Is(err, member.Busy) || errors.Is(err, member.ErrGone)
}

// Over forgets everything: a seed has admitted us.
func (l *Log) Over() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.last = nil
}

// Most returns the setback that tells most. late says that the invite is too old by our own clock.
func (l *Log) Most(late bool) (most Setback) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i, s := range l.last {
		if i == 0 || s.tells > most.tells {
			most = s
		}
	}
	if late && most.tells < tellsInvite {
		most.tells, most.reason = tellsInvite, expired
	}
	return most
}

// WaitsFor names what would help.
func (s Setback) WaitsFor() string {
	switch {
	case s.tells >= tellsInvite:
		return WaitsForInvite
	case s.tells >= tellsThere:
		return WaitsForMember
	}
	return WaitsForAnswer
}

// What a device that no seed takes in waits for.
const (
	WaitsForAnswer = "answer" // nobody is there
	WaitsForMember = "member" // somebody is, and says why not now
	WaitsForInvite = "invite" // another one: this one is of no use any more
)

// Text says what went wrong, and when that seed is tried again.
func (s Setback) Text() string {
	wait := max(time.Until(s.retry).Round(time.Second), time.Second)
	switch {
	case s.reason == "":
		return "connecting to the network's seeds"
	case s.tells >= tellsThere:
		return fmt.Sprintf("%s, retrying in %s", s.reason, wait)
	}
	return fmt.Sprintf("no seed answers (last error: %s), retrying in %s", s.reason, wait)
}

package node

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

// tells returns how much an error of an attempt tells.
func tells(err error) int {
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
	case err == nil || errors.Is(err, errUnknown):
		return tellsNothing
	case errors.Is(err, swarm.ErrDialBackoff):
		return tellsAgain
	}
	return tellsSilent
}

// expired is why a device waits whose invite is too old. Who has made it judges by another clock, so it goes on asking.
const expired = "the invite has expired by this computer's clock"

// trouble is what came of the last attempts to connect to seeds, while none is connected.
type trouble struct {
	mu   sync.Mutex
	last []setback // one of each seed; of two that tell as much, the first is shown
}

// setback is an attempt that came to nothing.
type setback struct {
	seed   peer.ID
	tells  int
	reason string
	retry  time.Time
}

// note takes the place of what a seed's last attempt has told, unless that tells more of the same state.
func (t *trouble) note(seed peer.ID, err error, keyed bool, retry time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := setback{seed, tells(err), reason(err, keyed), retry}
	i := slices.IndexFunc(t.last, func(s setback) bool { return s.seed == seed })
	switch {
	case i < 0:
		t.last = append(t.last, now)
	case passing(err):
		t.last[i].retry = retry
	default:
		t.last[i] = now
	}
}

// passing reports whether an error is of the moment alone, and says nothing against what the same seed has said before.
func passing(err error) bool {
	return errors.Is(err, swarm.ErrDialBackoff) || errors.Is(err, member.Busy) || errors.Is(err, member.ErrGone)
}

// over forgets everything: a seed has admitted us.
func (t *trouble) over() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.last = nil
}

// most returns the setback that tells most. late says that the invite is too old by our own clock.
func (t *trouble) most(late bool) (most setback) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for i, s := range t.last {
		if i == 0 || s.tells > most.tells {
			most = s
		}
	}
	if late && most.tells < tellsInvite {
		most.tells, most.reason = tellsInvite, expired
	}
	return most
}

// waitsFor names what would help.
func (s setback) waitsFor() string {
	switch {
	case s.tells >= tellsInvite:
		return waitsForInvite
	case s.tells >= tellsThere:
		return waitsForMember
	}
	return waitsForAnswer
}

// What a device that no seed takes in waits for.
const (
	waitsForAnswer = "answer" // nobody is there
	waitsForMember = "member" // somebody is, and says why not now
	waitsForInvite = "invite" // another one: this one is of no use any more
)

// text says what went wrong, and when that seed is tried again.
func (s setback) text() string {
	wait := max(time.Until(s.retry).Round(time.Second), time.Second)
	switch {
	case s.reason == "":
		return "connecting to the network's seeds"
	case s.tells >= tellsThere:
		return fmt.Sprintf("%s, retrying in %s", s.reason, wait)
	}
	return fmt.Sprintf("no seed answers (last error: %s), retrying in %s", s.reason, wait)
}

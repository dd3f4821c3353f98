package chat

import (
	"context"
	"errors"
	"sync"

	"github.com/libp2p/go-libp2p/core/peer"
	"golang.org/x/time/rate"

	"parley/chat/internal/seal"
)

// budget bounds how many first flights are opened that strangers' connections bring: each costs an agreement of keys, and that inside the
// one transaction that everybody's writes wait for.
type budget struct {
	mu   sync.Mutex
	all  *rate.Limiter
	each map[peer.ID]*rate.Limiter // of those devices that have used some of theirs lately

	boxes *rate.Limiter // of what mailboxes bring, whoever has deposited it
}

func newBudget() *budget {
	return &budget{all: rate.NewLimiter(AllFirstFlights, AllFirstFlights), each: map[peer.ID]*rate.Limiter{}, boxes: rate.NewLimiter(BoxFirstFlights, BoxFirstFlights)}
}

// spend takes one first flight of a device from the budget. Where the device or all together have none left it takes nothing.
func (b *budget) spend(device peer.ID) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.all.Tokens() < 1 {
		return false
	}
	own, ok := b.each[device]
	if !ok {
		b.forget()
		own = rate.NewLimiter(FirstFlights, FirstFlightBurst)
		b.each[device] = own
	}
	return own.Allow() && b.all.Allow()
}

// wait takes one first flight that a mailbox brought from the budget, in its turn.
func (b *budget) wait(ctx context.Context) error { return b.boxes.Wait(ctx) }

// forget drops what says nothing, once there is much. What is left is of those who have spent in the last FirstFlightBurst/FirstFlights
// seconds, and all together cannot spend often: their number is bounded.
func (b *budget) forget() {
	if len(b.each) < 2*AllFirstFlights {
		return
	}
	for device, own := range b.each {
		if own.Tokens() >= FirstFlightBurst {
			delete(b.each, device)
		}
	}
}

// postpone takes those first flights out of what a stranger's connection brings that are over the budget. They are not opened, and will be
// offered again. What belongs to a session that we have, or came before, costs little and counts for nothing.
func (m *Messenger) postpone(ctx context.Context, from peer.ID, envelopes [][]byte, packets []*seal.Packet) error {
	var begin []int
	for _, i := range inOrder(packets) {
		if packets[i].First != nil {
			begin = append(begin, i)
		}
	}
	if len(begin) == 0 {
		return nil
	}
	known, friend := make([]bool, len(packets)), false
	err := m.look(ctx, func(tx Tx) (err error) {
		if friend, err = m.isContacts(tx, from); friend || err != nil {
			return err
		}
		for _, i := range begin {
			id := EnvelopeIDOf(envelopes[i])
			_, session, err1 := tx.Session(packets[i].Session)
			seen, err2 := tx.Seen(id)
			held, err3 := tx.Held(id)
			if err := errors.Join(err1, err2, err3); err != nil {
				return err
			}
			known[i] = session || len(seen) > 0 || len(held) > 0
		}
		return nil
	})
	if friend || err != nil {
		return err
	}
	for _, i := range begin {
		if !known[i] && !m.strangers.spend(from) {
			packets[i] = nil
		}
	}
	return nil
}

// isContacts reports whether a device speaks for one of our contacts.
func (m *Messenger) isContacts(tx Tx, device peer.ID) (bool, error) {
	account, ok, err := m.speaksFor(tx, device)
	if err != nil || !ok {
		return false, err
	}
	contact, known, err := tx.Contact(account)
	return known && !contact.Blocked, err
}

package apitest

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"

	"parley/chat"
)

// Town is a network in memory: what one node sends, another has at once, unless one of them is away.
type Town struct {
	mu      sync.Mutex
	nodes   map[chat.AccountID]*Node
	letters []*letter
	changed chan struct{} // closed and made again at every change
	waiting map[*Node]int
}

// letter is a message on its way: until the author knows that it was read, or that it failed.
type letter struct {
	from, to   *Node
	sent, read chat.MessageID // read is zero until it arrived
}

// NewTown returns a network without anybody in it.
func NewTown() *Town {
	return &Town{nodes: map[chat.AccountID]*Node{}, changed: make(chan struct{}), waiting: map[*Node]int{}}
}

// Node makes somebody's node.
func (t *Town) Node(name string) *Node {
	account, device := mustKey(), mustKey()
	n := &Node{town: t, name: name, since: now(), messages: map[chat.MessageID]*chat.Message{}, away: map[*Node]bool{}, untold: map[chat.MessageID]bool{}, revoked: map[chat.AccountID]bool{}}
	copy(n.account[:], account)
	key, err := crypto.UnmarshalEd25519PublicKey(device)
	if err == nil {
		n.device, err = peer.IDFromPublicKey(key)
	}
	must(err)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.nodes[n.account] = n
	return n
}

// Befriend makes two nodes each other's contacts.
func (t *Town) Befriend(a, b *Node) {
	t.mu.Lock()
	defer t.mu.Unlock()
	a.befriend(b, "")
	b.befriend(a, "")
	t.settle()
}

// Part puts two nodes out of each other's reach.
func (t *Town) Part(a, b *Node) { t.reach(a, b, false) }

// Meet lets two nodes reach each other again, and what has waited passes.
func (t *Town) Meet(a, b *Node) { t.reach(a, b, true) }

func (t *Town) reach(a, b *Node, together bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	a.away[b], b.away[a] = !together, !together
	t.settle()
}

// settle lets everything pass that can, and wakes whoever waits. The caller holds the lock.
func (t *Town) settle() {
	t.letters = slices.DeleteFunc(t.letters, (*letter).pass)
	close(t.changed)
	t.changed = make(chan struct{})
}

// wait waits for a change or the end of ctx.
func (t *Town) wait(ctx context.Context, n *Node, changed <-chan struct{}) {
	t.count(n, +1)
	defer t.count(n, -1)
	select {
	case <-changed:
	case <-ctx.Done():
	}
}

func (t *Town) count(n *Node, d int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.waiting[n] += d
}

// pass moves a letter as far as it gets, and reports whether that is the end of its way.
func (l *letter) pass() bool {
	sent := l.from.messages[l.sent]
	if sent == nil || sent.State == chat.StateFailed { // the conversation may have been forgotten
		return true
	}
	if l.from.away[l.to] || !l.to.hears(l.from) {
		return false
	}
	if l.read.IsZero() {
		l.read = l.to.receive(*sent)
		l.from.advance(sent, chat.StateDelivered, "")
	}
	came := l.to.messages[l.read]
	return came == nil || l.to.untold[came.ID] || came.State == chat.StateRead && l.from.advance(sent, chat.StateRead, "")
}

// now is the time as coarse as it is kept.
func now() time.Time { return time.Now().UTC().Truncate(time.Millisecond) }

func mustKey() ed25519.PublicKey {
	public, _, err := ed25519.GenerateKey(rand.Reader)
	must(err)
	return public
}

func must(err error) {
	if err != nil {
		panic(fmt.Sprintf("make a node of a town: %s", err))
	}
}

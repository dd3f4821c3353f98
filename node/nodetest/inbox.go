package nodetest

import (
	"context"
	"crypto/sha256"
	"slices"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"parley/node"
	"parley/node/direct/directtest"
)

// Inbox is a messenger that keeps what it is given in memory and acknowledges it with Tag. Its boxes keep no secret.
type Inbox struct {
	*directtest.Boxes
	// Refuses, when set, says which envelopes are taken and not accepted. Set it before the device starts.
	Refuses func(envelope []byte) bool
	// Before, when set, is called with each batch before it is kept: its error refuses the batch. Set it before the device starts.
	Before func(ctx context.Context, from peer.ID, envelopes [][]byte) error
	// BeforeBoxes is the same for boxes from a mailbox.
	BeforeBoxes func(ctx context.Context, host peer.ID, boxes [][]byte) error

	mu        sync.Mutex
	envelopes []string
	seen      map[string]bool
	repeats   int
	rubbish   int
	met       []peer.ID
	joined    [][32]byte
}

// NewInbox returns the empty inbox of a device.
func NewInbox(device peer.ID) *Inbox {
	return &Inbox{Boxes: directtest.NewBoxes(device), seen: make(map[string]bool)}
}

// Tag is what an Inbox answers to an envelope that it accepts.
func Tag(envelope []byte) [16]byte {
	sum := sha256.Sum256(envelope)
	return [16]byte(sum[:16])
}

// Letters makes envelopes ready to be delivered to an Inbox.
func Letters(envelopes ...[]byte) (letters []node.Outgoing) {
	for _, e := range envelopes {
		letters = append(letters, node.Outgoing{Packet: e, Tag: Tag(e)})
	}
	return letters
}

// Receive keeps envelopes in their order. One that came before is acknowledged again and counted as a repeat.
func (i *Inbox) Receive(ctx context.Context, from peer.ID, envelopes [][]byte) ([][]byte, error) {
	if i.Before != nil {
		if err := i.Before(ctx, from, envelopes); err != nil {
			return nil, err
		}
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	tags := make([][]byte, 0, len(envelopes))
	for _, e := range envelopes {
		if i.Refuses != nil && i.Refuses(e) {
			tags = append(tags, make([]byte, 16))
			continue
		}
		tag := Tag(e)
		tags = append(tags, tag[:])
		i.keep(e)
	}
	return tags, nil
}

// keep keeps an envelope once; the caller holds mu.
func (i *Inbox) keep(envelope []byte) {
	if i.seen[string(envelope)] {
		i.repeats++
		return
	}
	i.seen[string(envelope)] = true
	i.envelopes = append(i.envelopes, string(envelope))
}

// Collect keeps the envelopes in boxes from a mailbox, and counts boxes that do not open.
func (i *Inbox) Collect(ctx context.Context, host peer.ID, boxes [][]byte) error {
	if i.BeforeBoxes != nil {
		if err := i.BeforeBoxes(ctx, host, boxes); err != nil {
			return err
		}
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	for _, b := range boxes {
		envelopes, err := i.OpenDeposit(b)
		if err != nil {
			i.rubbish++
		}
		for _, e := range envelopes {
			i.keep(e)
		}
	}
	return nil
}

// Rubbish counts the boxes that did not open.
func (i *Inbox) Rubbish() int {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.rubbish
}

// OneTime gives nothing.
func (i *Inbox) OneTime(context.Context) ([]byte, error) { return nil, nil }

// Connected notes that a device can be reached.
func (i *Inbox) Connected(device peer.ID) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.met = append(i.met, device)
}

// LetIn notes whom an invite has let in.
func (i *Inbox) LetIn(account [32]byte) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.joined = append(i.joined, account)
}

// Joined returns the accounts that invites have let in.
func (i *Inbox) Joined() [][32]byte {
	i.mu.Lock()
	defer i.mu.Unlock()
	return slices.Clone(i.joined)
}

// Envelopes returns what came in, each once, in the order of arrival.
func (i *Inbox) Envelopes() []string {
	i.mu.Lock()
	defer i.mu.Unlock()
	return slices.Clone(i.envelopes)
}

// Repeats counts envelopes that came more than once.
func (i *Inbox) Repeats() int {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.repeats
}

// Met reports whether the node has said that a device can be reached.
func (i *Inbox) Met(device peer.ID) bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	return slices.Contains(i.met, device)
}

func (i *Inbox) forgetMet() {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.met = nil
}

// Book is a peer book in memory.
type Book struct {
	mu    sync.Mutex
	infos []peer.AddrInfo // the most recently seen first
}

// Load returns what was saved, the most recently seen first.
func (b *Book) Load(context.Context) ([]peer.AddrInfo, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.infos), nil
}

// Save adds or replaces peers.
func (b *Book) Save(_ context.Context, infos []peer.AddrInfo, _ time.Time) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, info := range infos {
		b.infos = slices.DeleteFunc(b.infos, func(known peer.AddrInfo) bool { return known.ID == info.ID })
		b.infos = append([]peer.AddrInfo{info}, b.infos...)
	}
	return nil
}

// Has reports whether an address of a peer is known.
func (b *Book) Has(id peer.ID) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.ContainsFunc(b.infos, func(info peer.AddrInfo) bool { return info.ID == id && len(info.Addrs) > 0 })
}

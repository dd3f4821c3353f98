package chattest

import (
	"context"
	"crypto/sha256"
	"errors"
	"slices"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"parley/chat"
)

// HostFaults are what mailbox hosts do to those who trust them, each with a probability from 0 to 1.
type HostFaults struct {
	Drop     float64 // says "stored" and throws the box away
	Withhold float64 // keeps a box and does not hand it out, until Relent
	Twice    float64 // hands a box out twice
	Forget   float64 // does not hear that the owner has it, and hands it out again later
}

// MailHost keeps mailboxes on the loopback network, more or less honestly.
type MailHost struct {
	ID peer.ID

	net    *Network
	faults HostFaults
	dead   bool
	full   bool
	lanes  map[peer.ID]map[[32]byte]bool
	boxes  []mailBox

	strangers int // boxes that came through the open lane
	pops      bool
	dropped   int
	seen      [][]byte // every box that was ever deposited, for those who look for what a host learns
}

type mailBox struct {
	owner    peer.ID
	box      []byte
	withheld bool
}

// AddHost puts a mailbox host on line.
func (n *Network) AddHost(id peer.ID) *MailHost {
	h := &MailHost{ID: id, net: n, lanes: map[peer.ID]map[[32]byte]bool{}}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.hosts = append(n.hosts, h)
	return h
}

// SetFaults changes what the host does wrong from now on.
func (h *MailHost) SetFaults(f HostFaults) {
	h.net.mu.Lock()
	defer h.net.mu.Unlock()
	h.faults = f
}

// Die takes the host off line, with everything that it keeps, until Rise.
func (h *MailHost) Die() { h.set(func() { h.dead = true }) }

// Rise puts it on line again.
func (h *MailHost) Rise() { h.set(func() { h.dead = false }) }

// Fill makes the host refuse deposits.
func (h *MailHost) Fill() { h.set(func() { h.full = true }) }

// Pop makes the host delete what it hands out, before the owner has it: a mistake, for those who want to see it found.
func (h *MailHost) Pop(on bool) { h.set(func() { h.pops = on }) }

// Dropped counts the boxes that the host has said it stores, and has thrown away.
func (h *MailHost) Dropped() int {
	h.net.mu.Lock()
	defer h.net.mu.Unlock()
	return h.dropped
}

// Relent makes the host hand out what it has withheld so far.
func (h *MailHost) Relent() {
	h.set(func() {
		for i := range h.boxes {
			h.boxes[i].withheld = false
		}
	})
}

func (h *MailHost) set(change func()) {
	h.net.mu.Lock()
	defer h.net.mu.Unlock()
	change()
}

// Kept counts the boxes that the host keeps.
func (h *MailHost) Kept() int {
	h.net.mu.Lock()
	defer h.net.mu.Unlock()
	return len(h.boxes)
}

// Seen returns every box that was ever deposited at the host.
func (h *MailHost) Seen() [][]byte {
	h.net.mu.Lock()
	defer h.net.mu.Unlock()
	return slices.Clone(h.seen)
}

// Candidates lists the hosts that are on line.
func (p *Port) Candidates(context.Context) (ids []peer.ID) {
	p.net.mu.Lock()
	defer p.net.mu.Unlock()
	for _, h := range p.net.hosts {
		if !h.dead && h.ID != p.device {
			ids = append(ids, h.ID)
		}
	}
	return ids
}

// Keep says who may deposit for the device. Hosts that are dead hear of it when they are asked the next time.
func (p *Port) Keep(mailboxes []chat.Keeping) {
	p.net.mu.Lock()
	p.keeping = mailboxes
	for _, k := range mailboxes {
		for _, h := range p.net.hosts {
			if h.ID != k.Host || h.dead {
				continue
			}
			lanes := map[[32]byte]bool{}
			for _, l := range k.Lanes {
				lanes[l.Key] = true
			}
			h.lanes[p.device] = lanes
		}
	}
	p.net.mu.Unlock()
	p.net.Fetch(p.device)
}

// Kept says how the device's mailboxes are doing.
func (p *Port) Kept() (all []chat.KeptMailbox) {
	p.net.mu.Lock()
	defer p.net.mu.Unlock()
	for _, k := range p.keeping {
		m := chat.KeptMailbox{Host: k.Host, Trouble: "it does not answer"}
		for _, h := range p.net.hosts {
			if h.ID == k.Host && !h.dead {
				m = chat.KeptMailbox{Host: k.Host, Seen: time.Now(), Drained: true}
			}
		}
		all = append(all, m)
	}
	return all
}

var (
	errNoMailbox = errors.New("the device is away, and has no mailbox")
	errNotStored = errors.New("the device is away, and its mailboxes are full or away")
)

// deposit puts envelopes into mailboxes, as a node does: 64 in a box at most.
func (p *Port) deposit(device peer.ID, mailboxes []chat.Mailbox, outgoing []chat.Outgoing) ([]chat.Handed, error) {
	p.net.mu.Lock()
	sender := p.net.online[p.device]
	p.net.mu.Unlock()
	if sender == nil || len(mailboxes) == 0 {
		return nil, errNoMailbox
	}
	var handed []chat.Handed
	for chunk := range slices.Chunk(outgoing, boxPackets) {
		envelopes := make([][]byte, len(chunk))
		for i, o := range chunk {
			envelopes[i] = o.Packet
		}
		box, err := sender.SealDeposit(device, envelopes)
		if err != nil {
			return handed, err
		}
		holders := p.net.store(device, mailboxes, box)
		if len(holders) == 0 {
			return handed, errNotStored
		}
		handed = append(handed, slices.Repeat([]chat.Handed{{Route: chat.RouteMailbox, Holders: holders}}, len(chunk))...)
	}
	p.net.Fetch(device)
	return handed, nil
}

// openLane is how many boxes of strangers a host takes.
const openLane = 64

// boxPackets is the most envelopes of one box.
const boxPackets = 64

// store returns the hosts that say that they have a box.
func (n *Network) store(owner peer.ID, mailboxes []chat.Mailbox, box []byte) (holders []peer.ID) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, m := range mailboxes {
		for _, h := range n.hosts {
			lanes, open := h.lanes[owner]
			if h.ID != m.Host || h.dead || h.full || !open {
				continue
			}
			if !lanes[sha256.Sum256(m.Cap[:])] { // the lane that all strangers share
				if h.strangers >= openLane {
					continue
				}
				h.strangers++
			}
			holders = append(holders, h.ID)
			h.seen = append(h.seen, box)
			if n.rng.Float64() < h.faults.Drop {
				h.dropped++
				continue
			}
			h.boxes = append(h.boxes, mailBox{owner: owner, box: box, withheld: n.rng.Float64() < h.faults.Withhold})
		}
	}
	return holders
}

// Fetch lets a device that is on line have what its hosts keep for it: one host after another, each box deleted once it was collected.
func (n *Network) Fetch(device peer.ID) {
	n.mu.Lock()
	receiver, hosts := n.online[device], slices.Clone(n.hosts)
	n.mu.Unlock()
	if receiver == nil {
		return
	}
	for _, h := range hosts {
		for _, b := range h.lease(device) {
			if h.pops {
				h.deleted(device, b)
			}
			if err := receiver.Collect(context.Background(), h.ID, [][]byte{b}); err != nil {
				break
			}
			h.deleted(device, b)
		}
	}
}

// lease returns the boxes that the host hands to their owner now.
func (h *MailHost) lease(owner peer.ID) (boxes [][]byte) {
	h.net.mu.Lock()
	defer h.net.mu.Unlock()
	if h.dead {
		return nil
	}
	for _, b := range h.boxes {
		if b.owner != owner || b.withheld {
			continue
		}
		boxes = append(boxes, b.box)
		if h.net.rng.Float64() < h.faults.Twice {
			boxes = append(boxes, b.box)
		}
	}
	return boxes
}

// deleted drops a box that its owner has, unless the host does not hear of it.
func (h *MailHost) deleted(owner peer.ID, box []byte) {
	h.net.mu.Lock()
	defer h.net.mu.Unlock()
	if h.dead || h.net.rng.Float64() < h.faults.Forget {
		return
	}
	h.boxes = slices.DeleteFunc(h.boxes, func(b mailBox) bool { return b.owner == owner && slices.Equal(b.box, box) })
}

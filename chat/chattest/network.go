package chattest

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"parley/chat"
)

// Receiver is what a port hands envelopes to: *chat.Messenger.
type Receiver interface {
	Receive(ctx context.Context, from peer.ID, envelopes [][]byte) ([][]byte, error)
	SealStream(device peer.ID) (header []byte, next func([]byte) ([]byte, error), err error)
	OpenStream(from peer.ID, header []byte) (open func([]byte) ([]byte, error), err error)
	SealDeposit(device peer.ID, envelopes [][]byte) ([]byte, error)
	Collect(ctx context.Context, host peer.ID, boxes [][]byte) error
	OneTime(ctx context.Context) ([]byte, error)
	Connected(device peer.ID)
}

// Faults are what the loopback network does to those who trust it, each with a probability from 0 to 1.
type Faults struct {
	Lose   float64 // an attempt fails before anything arrived
	NoAck  float64 // the envelopes arrive, the acknowledgement does not
	Partly float64 // only the first half arrives and is acknowledged
	Twice  float64 // the envelopes arrive twice
	BadTag float64 // the envelopes arrive, and the acknowledgement is not true: nothing of it counts
	Refuse float64 // the device takes the envelopes and accepts none of them
	Mangle float64 // a byte of an envelope is flipped, and the connection breaks right behind it

	Delay time.Duration // how long each attempt takes before anything happens
}

// Network connects messengers in one process: a loopback for tests of the messenger's rules, with faults drawn from its seed.
type Network struct {
	mu      sync.Mutex
	rng     *rand.Rand
	faults  Faults
	online  map[peer.ID]Receiver
	records map[string][]byte
	wire    [][]byte
	hosts   []*MailHost
	cuts    map[line]bool
	beyond  bool

	attempts, lookups int
}

// NewNetwork returns a network that behaves until SetFaults says otherwise.
func NewNetwork(seed uint64) *Network {
	return &Network{rng: rand.New(rand.NewPCG(seed, seed)), online: map[peer.ID]Receiver{}, records: map[string][]byte{}, cuts: map[line]bool{}}
}

// line is the way between two devices, the smaller id first.
type line struct{ a, b peer.ID }

func lineOf(a, b peer.ID) line {
	if a > b {
		a, b = b, a
	}
	return line{a, b}
}

// Cut takes away the way between two devices, or gives it back. Both go on to reach everybody else.
func (n *Network) Cut(a, b peer.ID, cut bool) {
	n.mu.Lock()
	n.cuts[lineOf(a, b)] = cut
	x, y := n.online[a], n.online[b]
	n.mu.Unlock()
	if !cut && x != nil && y != nil {
		x.Connected(b)
		y.Connected(a)
	}
}

// Mend gives every way back that was cut.
func (n *Network) Mend() {
	n.mu.Lock()
	var cut []line
	for l, is := range n.cuts {
		if is {
			cut = append(cut, l)
		}
	}
	n.mu.Unlock()
	for _, l := range cut {
		n.Cut(l.a, l.b, false)
	}
}

// AckBeyond makes the network acknowledge one envelope more than arrived, wherever only a part of them does: a mistake, for those who
// want to see it found.
func (n *Network) AckBeyond(on bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.beyond = on
}

// SetFaults changes what goes wrong from now on.
func (n *Network) SetFaults(f Faults) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.faults = f
}

// Envelopes returns every envelope that was handed to the network so far, delivered or not.
func (n *Network) Envelopes() [][]byte {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.wire)
}

// Attempts counts the deliveries that were tried so far, in vain or not.
func (n *Network) Attempts() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.attempts
}

// Lookups counts the questions to the directory so far.
func (n *Network) Lookups() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.lookups
}

// SetRecord puts a directory record in place of whatever is there: the directory is nobody that one has to believe.
func (n *Network) SetRecord(key string, value []byte) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if value == nil {
		delete(n.records, key)
		return
	}
	n.records[key] = value
}

// Record returns a directory record as it was published.
func (n *Network) Record(key string) []byte {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.records[key]
}

// Plug puts a device on line: everybody is told, and it is told of everybody.
func (n *Network) Plug(device peer.ID, r Receiver) {
	n.mu.Lock()
	others := make(map[peer.ID]Receiver, len(n.online))
	for id, other := range n.online {
		if !n.cuts[lineOf(id, device)] {
			others[id] = other
		}
	}
	n.online[device] = r
	n.mu.Unlock()
	for id, other := range others {
		r.Connected(id)
		other.Connected(device)
	}
	n.Fetch(device)
}

// Unplug takes a device off line. A delivery under way may still arrive.
func (n *Network) Unplug(device peer.ID) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.online, device)
}

// Port returns a device's chat.Transport and chat.Directory. It can send once the device is plugged in.
func (n *Network) Port(device peer.ID) *Port { return &Port{net: n, device: device} }

// Port is where a device is plugged in.
type Port struct {
	net     *Network
	device  peer.ID
	keeping []chat.Keeping // guarded by net.mu
}

var (
	errAway = errors.New("the device is away")
	errLost = errors.New("the connection broke")
	errLie  = errors.New("the acknowledgement is not true")
)

// Deliver hands envelopes over, or has one of the network's faults; what the device does not take goes to its mailboxes.
func (p *Port) Deliver(ctx context.Context, device peer.ID, mailboxes []chat.Mailbox, outgoing []chat.Outgoing) ([]chat.Handed, error) {
	handed, err := p.direct(ctx, device, outgoing)
	if err == nil || len(mailboxes) == 0 || ctx.Err() != nil {
		return handed, err
	}
	stored, err := p.deposit(device, mailboxes, outgoing[len(handed):])
	return append(handed, stored...), err
}

// direct hands envelopes to the device itself.
func (p *Port) direct(ctx context.Context, device peer.ID, outgoing []chat.Outgoing) ([]chat.Handed, error) {
	n, envelopes := p.net, make([][]byte, len(outgoing))
	for i, o := range outgoing {
		envelopes[i] = o.Packet
	}
	n.mu.Lock()
	receiver, up := n.online[device], n.online[p.device] != nil && !n.cuts[lineOf(p.device, device)]
	beyond := n.beyond
	f := n.draw(len(envelopes))
	n.wire = append(n.wire, envelopes...)
	n.attempts++
	delay := n.faults.Delay
	n.mu.Unlock()
	if delay > 0 {
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(delay):
		}
	}
	if receiver == nil || !up {
		return nil, errAway
	}
	if f.lose {
		return nil, errLost
	}
	if err := n.box(p.device, device); err != nil {
		return nil, err
	}
	if f.refuse {
		return slices.Repeat([]chat.Handed{{Route: chat.RouteDirect}}, len(outgoing)), nil
	}
	if f.partly {
		envelopes = envelopes[:(len(envelopes)+1)/2]
	}
	if f.mangle >= 0 {
		last := f.mangle % len(envelopes)
		bad := slices.Clone(envelopes[last])
		bad[f.at%len(bad)] ^= 1
		envelopes = append(slices.Clone(envelopes[:last]), bad)
	}
	tags, err := receiver.Receive(ctx, p.device, envelopes)
	if err == nil && f.twice {
		tags, err = receiver.Receive(ctx, p.device, envelopes)
	}
	if err != nil || f.noAck || f.mangle >= 0 {
		return nil, errLost
	}
	handed, err := prove(outgoing, tags)
	switch {
	case err != nil || f.badTag:
		return nil, errLie
	case f.partly && beyond && len(handed) < len(outgoing):
		return append(handed, chat.Handed{Route: chat.RouteDirect, Acked: true}), errLost
	case f.partly:
		return handed, errLost
	}
	return handed, nil
}

// box lets a stream begin, as every stream of a node does: to the envelope key that the receiver's record names, as far as the sender knows.
func (n *Network) box(from, to peer.ID) error {
	n.mu.Lock()
	sender, receiver := n.online[from], n.online[to]
	n.mu.Unlock()
	if sender == nil || receiver == nil {
		return errAway
	}
	header, _, err := sender.SealStream(to)
	if err == nil {
		_, err = receiver.OpenStream(from, header)
	}
	return err
}

// prove holds the tags that a device shows against those that it should.
func prove(outgoing []chat.Outgoing, tags [][]byte) ([]chat.Handed, error) {
	handed := make([]chat.Handed, len(tags))
	for i, tag := range tags {
		handed[i] = chat.Handed{Route: chat.RouteDirect, Acked: [16]byte(tag) == outgoing[i].Tag}
		if !handed[i].Acked && [16]byte(tag) != [16]byte{} {
			return nil, errLie
		}
	}
	return handed, nil
}

// fate is what befalls one delivery.
type fate struct {
	lose, noAck, partly, twice, badTag, refuse bool
	mangle, at                                 int // which envelope, -1 for none, and where
}

func (n *Network) draw(envelopes int) fate {
	f := fate{
		lose: n.rng.Float64() < n.faults.Lose, noAck: n.rng.Float64() < n.faults.NoAck,
		partly: n.rng.Float64() < n.faults.Partly, twice: n.rng.Float64() < n.faults.Twice,
		badTag: n.rng.Float64() < n.faults.BadTag, mangle: -1,
	}
	if n.rng.Float64() < n.faults.Mangle {
		f.mangle, f.at = n.rng.IntN(envelopes), n.rng.IntN(1<<16)
	}
	if n.faults.Refuse > 0 { // so that the other faults are drawn as ever
		f.refuse = n.rng.Float64() < n.faults.Refuse
	}
	return f
}

// Learn does nothing: on a loopback everybody can be reached.
func (p *Port) Learn(peer.ID, []string) {}

// Addresses returns one loopback address.
func (p *Port) Addresses() ([]string, bool) { return []string{"/ip4/127.0.0.1/tcp/4101"}, false }

// Sees implements chat.Transport.
func (p *Port) Sees(device peer.ID) bool {
	return slices.ContainsFunc(p.Peers(), func(other chat.Peer) bool { return other.ID == device })
}

// Peers lists who else is plugged in.
func (p *Port) Peers() []chat.Peer {
	p.net.mu.Lock()
	defer p.net.mu.Unlock()
	var peers []chat.Peer
	for id := range p.net.online {
		if id != p.device && !p.net.cuts[lineOf(id, p.device)] {
			peers = append(peers, chat.Peer{ID: id, Route: chat.RouteDirect, Since: time.Unix(0, 0)})
		}
	}
	return peers
}

// Publish makes a record available to everybody, unless there is a newer one.
func (p *Port) Publish(key string, record []byte) {
	if there := p.net.Record(key); !bytes.Equal(there, record) && number(key, there) <= number(key, record) {
		p.net.SetRecord(key, record)
	}
}

// number returns the sequence number of a valid record.
func number(key string, record []byte) uint64 {
	noun, id, _ := strings.Cut(strings.TrimPrefix(key, "/"), "/")
	if valid, ok := chat.Validators()[noun]; ok {
		n, err := valid(id, record)
		if err == nil {
			return n
		}
	}
	return 0
}

// OneTime asks a device that is on line.
func (p *Port) OneTime(ctx context.Context, device peer.ID) ([]byte, error) {
	p.net.mu.Lock()
	receiver, up := p.net.online[device], p.net.online[p.device] != nil
	p.net.mu.Unlock()
	if receiver == nil || !up {
		return nil, errAway
	}
	return receiver.OneTime(ctx)
}

var errNoRecord = errors.New("no record")

// Lookup returns what was published under a key.
func (p *Port) Lookup(_ context.Context, key string, _ ...peer.ID) ([]byte, error) {
	p.net.mu.Lock()
	defer p.net.mu.Unlock()
	p.net.lookups++
	if r, ok := p.net.records[key]; ok && p.net.online[p.device] != nil {
		return r, nil
	}
	return nil, errNoRecord
}

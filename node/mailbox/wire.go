package mailbox

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"
)

// Policy is what a host tells an owner about its mailbox. (It is an alias of an unnamed struct, so that a messenger can name the same type
// without importing this package.)
type Policy = struct {
	TimeToLive time.Duration // how long a box waits
	Boxes      int           // how many may wait
	Bytes      int64         // and how many bytes they may have together
}

// The sizes of what is in frames, in bytes.
const (
	idSize     = 16
	keySize    = 32
	headSize   = keySize + idSize // before the owner
	laneSize   = keySize + 1
	policySize = 1 + 4 + 4 + 8
	maxHead    = headSize + MaxOwner
	maxLanes   = 2 + MaxLanes*laneSize
	maxAck     = Window * idSize
	maxHanded  = 1 + idSize + MaxBox
	maxAnswer  = 1 + MaxHosts*(1+MaxOwner+1+HostAddresses*(1+MaxAddress))
)

// What a frame from a host to an owner begins with.
const (
	handedBox     = 1
	handedNothing = 2
	statusCurrent = 1
)

// IDOf names a deposit of envelopes for an owner: the same at every host, and the same when it is made again.
func IDOf(owner peer.ID, envelopes [][]byte) DepositID {
	h := sha256.New()
	h.Write([]byte("parley/deposit/1"))
	h.Write(binary.BigEndian.AppendUint32(nil, uint32(len(owner))))
	h.Write([]byte(owner))
	for _, e := range envelopes {
		sum := sha256.Sum256(e)
		h.Write(sum[:])
	}
	return DepositID(h.Sum(nil)[:idSize])
}

// LaneOf returns the key of the lane that a capability opens; none (zeros) opens the lane that all share.
func LaneOf(capability [32]byte) [32]byte {
	if capability == [32]byte{} {
		return [32]byte{}
	}
	return sha256.Sum256(capability[:])
}

// head is what goes before a box: the way in, the name of the deposit, and for whom it is.
type head struct {
	capability [32]byte
	id         DepositID
	owner      peer.ID
}

func marshalHead(h head) []byte {
	return slices.Concat(h.capability[:], h.id[:], []byte(h.owner))
}

func parseHead(b []byte) (h head, err error) {
	if len(b) <= headSize || len(b) > maxHead {
		return head{}, fmt.Errorf("a deposit's head of %d bytes", len(b))
	}
	copy(h.capability[:], b)
	copy(h.id[:], b[keySize:])
	if h.owner, err = parsePeer(b[headSize:]); err != nil {
		return head{}, fmt.Errorf("a deposit's owner: %w", err)
	}
	return h, nil
}

// parsePeer takes a peer id in the one form that its bytes have.
func parsePeer(b []byte) (peer.ID, error) {
	id, err := peer.IDFromBytes(b)
	if err == nil && len(id) > MaxOwner {
		err = errors.New("it is too long")
	}
	return id, err
}

func parseVerdict(b byte) (Verdict, error) {
	if v := Verdict(b); v >= Stored && v <= Closed {
		return v, nil
	}
	return 0, fmt.Errorf("verdict %d", b)
}

// marshalLanes writes lanes in the order of their keys.
func marshalLanes(lanes []Lane) []byte {
	ordered := slices.SortedFunc(slices.Values(lanes), func(a, b Lane) int { return bytes.Compare(a.Key[:], b.Key[:]) })
	b := binary.BigEndian.AppendUint16(make([]byte, 0, 2+len(lanes)*laneSize), uint16(len(lanes)))
	for _, l := range ordered {
		b = append(append(b, l.Key[:]...), l.Class)
	}
	return b
}

// parseLanes takes lanes in ascending order, each once, of a class that has a key.
func parseLanes(b []byte) ([]Lane, error) {
	if len(b) < 2 {
		return nil, fmt.Errorf("lanes of %d bytes", len(b))
	}
	n := int(binary.BigEndian.Uint16(b))
	if n > MaxLanes || len(b) != 2+n*laneSize {
		return nil, fmt.Errorf("%d lanes in %d bytes", n, len(b))
	}
	lanes := make([]Lane, n)
	last := [32]byte{} // the open lane, which needs no key
	for i := range lanes {
		at := b[2+i*laneSize:]
		lanes[i] = Lane{Key: [32]byte(at), Class: at[keySize]}
		if bytes.Compare(lanes[i].Key[:], last[:]) <= 0 {
			return nil, fmt.Errorf("lane %d: out of order", i)
		}
		if c := lanes[i].Class; c != ClassContact && c != ClassLink {
			return nil, fmt.Errorf("lane %d: class %d", i, c)
		}
		last = lanes[i].Key
	}
	return lanes, nil
}

func marshalPolicy(v Verdict, p Policy) []byte {
	b := append(make([]byte, 0, policySize), byte(v))
	b = binary.BigEndian.AppendUint32(b, uint32(p.TimeToLive/time.Second))
	b = binary.BigEndian.AppendUint32(b, uint32(p.Boxes))
	return binary.BigEndian.AppendUint64(b, uint64(p.Bytes))
}

func parsePolicy(b []byte) (v Verdict, p Policy, err error) {
	if len(b) != policySize {
		return 0, p, fmt.Errorf("a policy of %d bytes", len(b))
	}
	if v, err = parseVerdict(b[0]); err != nil {
		return 0, p, err
	}
	p.TimeToLive = time.Duration(binary.BigEndian.Uint32(b[1:])) * time.Second
	p.Boxes = int(binary.BigEndian.Uint32(b[5:]))
	if p.Bytes = int64(binary.BigEndian.Uint64(b[9:])); p.Bytes < 0 {
		return 0, Policy{}, errors.New("a policy of more bytes than there are")
	}
	return v, p, nil
}

func marshalBox(b Box) []byte {
	return slices.Concat([]byte{handedBox}, b.ID[:], b.Box)
}

// parseHanded takes a box, or the word that nothing more is kept; then more is false. The box keeps a part of b.
func parseHanded(b []byte) (box Box, more bool, err error) {
	switch {
	case len(b) == 1 && b[0] == handedNothing:
		return Box{}, false, nil
	case len(b) > 1+idSize && len(b) <= maxHanded && b[0] == handedBox:
		return Box{ID: DepositID(b[1 : 1+idSize]), Box: b[1+idSize:]}, true, nil
	}
	return Box{}, false, fmt.Errorf("a box in %d bytes of another form", len(b))
}

func marshalAck(ids []DepositID) []byte {
	b := make([]byte, 0, len(ids)*idSize)
	for _, id := range ids {
		b = append(b, id[:]...)
	}
	return b
}

// parseAck takes at least one id.
func parseAck(b []byte) ([]DepositID, error) {
	if len(b) == 0 || len(b) > maxAck || len(b)%idSize != 0 {
		return nil, fmt.Errorf("an acknowledgement of %d bytes", len(b))
	}
	ids := make([]DepositID, 0, len(b)/idSize)
	for at := range slices.Chunk(b, idSize) {
		ids = append(ids, DepositID(at))
	}
	return ids, nil
}

// marshalHosts writes hosts with their first addresses, and leaves out what is too long.
func marshalHosts(hosts []peer.AddrInfo) []byte {
	hosts = hosts[:min(len(hosts), MaxHosts)]
	b := []byte{byte(len(hosts))}
	for _, h := range hosts {
		b = append(append(b, byte(len(h.ID))), h.ID...)
		fit := slices.DeleteFunc(slices.Clone(h.Addrs), func(a ma.Multiaddr) bool { return len(a.Bytes()) > MaxAddress })
		fit = fit[:min(len(fit), HostAddresses)]
		b = append(b, byte(len(fit)))
		for _, a := range fit {
			b = append(append(b, byte(len(a.Bytes()))), a.Bytes()...)
		}
	}
	return b
}

// parseHosts takes a whole answer.
func parseHosts(b []byte) ([]peer.AddrInfo, error) {
	p := parts{rest: b}
	n := p.number(MaxHosts)
	var hosts []peer.AddrInfo
	for range n {
		id, err := parsePeer(p.take(MaxOwner))
		if err != nil || p.bad {
			return nil, fmt.Errorf("the name of a host: %w", errors.Join(err, p.err()))
		}
		info := peer.AddrInfo{ID: id}
		for range p.number(HostAddresses) {
			a, err := ma.NewMultiaddrBytes(p.take(MaxAddress))
			if err != nil || p.bad {
				return nil, fmt.Errorf("the address of a host: %w", errors.Join(err, p.err()))
			}
			info.Addrs = append(info.Addrs, a)
		}
		hosts = append(hosts, info)
	}
	if len(p.rest) > 0 || p.bad {
		return nil, fmt.Errorf("%d hosts: %w", n, errParts)
	}
	return hosts, nil
}

// errParts says that an answer is shorter or longer than it says.
var errParts = errors.New("its parts do not fit")

// parts reads what stands behind its length in one byte.
type parts struct {
	rest []byte
	bad  bool
}

func (p *parts) err() error {
	if p.bad {
		return errParts
	}
	return nil
}

func (p *parts) number(most int) int {
	if p.bad = p.bad || len(p.rest) == 0 || int(p.rest[0]) > most; p.bad {
		return 0
	}
	n := int(p.rest[0])
	p.rest = p.rest[1:]
	return n
}

func (p *parts) take(most int) []byte {
	n := p.number(most)
	if p.bad = p.bad || n > len(p.rest); p.bad {
		return nil
	}
	part := p.rest[:n]
	p.rest = p.rest[n:]
	return part
}

package chat

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/libp2p/go-libp2p/core/peer"
	"go.uber.org/zap"

	"parley/chat/internal/seal"
	"parley/chat/internal/wire"
)

// letter is an opened content whose author is proven.
type letter struct {
	account AccountID
	device  peer.ID
	id      MessageID
	content wire.Content
	raw     []byte // the canonical content
	tag     AckTag
	direct  bool // the device itself handed it over, and so has proven that it is there
}

// messageID binds a content to its author and device (SPEC.md, "Ids").
func messageID(account AccountID, device peer.ID, content []byte) MessageID {
	b := append([]byte(wire.LabelMessageID), wire.AppendLP(nil, account[:])...)
	b = wire.AppendLP(b, []byte(device))
	return sha256.Sum256(append(b, content...))
}

// parcel is an opened packet: its session as it would be, had we taken it, and what it carries.
type parcel struct {
	line  *line
	next  *seal.Session
	first *seal.First // of a session that this packet begins; nil for one that we have
	body  wire.Body
	tag   AckTag
}

var (
	errNoSession  = errors.New("open packet: no such session")
	errGone       = errors.New("open packet: it was made for keys that are gone")
	errUsed       = errors.New("open packet: its one-time keys were given to somebody else too, who has used them")
	errNotItsOwn  = errors.New("open packet: the certificate's device speaks for another account")
	errReplay     = errors.New("open packet: its session was begun before")
	errNotAllowed = errors.New("open packet: the author may not write to that conversation")
)

// open opens a packet, and changes nothing: take the parcel to make it count. An error is about the packet; failed is about the store.
func (m *Messenger) open(tx Tx, after *aftermath, from peer.ID, p *seal.Packet) (c parcel, err, failed error) {
	l, failed := after.lines.line(tx, p.Session)
	if failed != nil {
		return c, nil, failed
	}
	if l == nil {
		if p.First == nil {
			return c, errNoSession, nil
		}
		c.first = p.First
		if l, err, failed = m.respond(tx, from, p.First); err != nil || failed != nil {
			if errors.Is(err, errUsed) {
				after.twice++
			}
			return c, err, failed
		}
	}
	next := *l.state
	plain, tag, err := next.Open(p)
	if err != nil {
		c.line = l
		if c.first != nil {
			c.line = nil // it proves nothing
		}
		return c, err, nil
	}
	body, err := wire.ParseBody(plain)
	if err != nil {
		return c, err, nil
	}
	return parcel{line: l, next: &next, first: c.first, body: body, tag: AckTag(tag)}, nil, nil
}

// respond derives the session that a first flight begins. It is kept when its packet has opened, and is taken. Where it names a device of
// which we know that it speaks for another account, only the device itself can bring it: anybody can certify anybody's device.
func (m *Messenger) respond(tx Tx, from peer.ID, f *seal.First) (l *line, err, failed error) {
	c, err := m.certificates.of(f.Certificate)
	if err != nil {
		return nil, fmt.Errorf("open packet: %w", err), nil
	}
	if !slices.Equal(c.Account, f.Account) || c.Device == string(m.device) || AccountID(c.Account) == m.self {
		return nil, errors.New("open packet: not its sender's certificate"), nil
	}
	if account, known, failed := m.speaksFor(tx, peer.ID(c.Device)); failed != nil || known && account != AccountID(c.Account) && from != peer.ID(c.Device) {
		return nil, errNotItsOwn, failed
	}
	replay := f.Replay()
	if _, known, failed := tx.Secret(SecretHandshake, replay[:]); known || failed != nil {
		return nil, errReplay, failed
	}
	answer, _, ok := m.keys.answer(f)
	if !ok {
		return nil, errGone, nil
	}
	answer.Identity = m.identity.exchange
	if f.UsesOneTime() {
		pair, err, failed := given(tx, f)
		if err != nil || failed != nil {
			return nil, err, failed
		}
		answer.OneTime, answer.KEM = &pair.Exchange, pair.KEM
	}
	peerParty := seal.Party{Account: c.Account, Device: c.Device, Exchange: c.Exchange}
	state, err := seal.Respond(m.party(), peerParty, f, answer)
	if err != nil {
		return nil, err, nil
	}
	row := SessionRow{ID: state.ID(), Device: peer.ID(c.Device), Account: AccountID(c.Account), At: m.now()}
	return &line{row: row, state: state, begun: true}, nil, nil
}

// handshakeSize is the length of what is kept of a first flight that was answered: session and generation.
const handshakeSize = len(SessionID{}) + 4

// move makes a parcel's session what it is once the parcel counts, before anything is sealed on it in answer. undo is for a parcel that is
// not taken after all.
func (m *Messenger) move(after *aftermath, c parcel) (undo func()) {
	l := after.lines.add(c.line)
	old := *l
	l.state, l.changed, l.row.Heard = c.next, true, m.clock.nextRow()
	return func() {
		if *l = old; c.first != nil {
			delete(after.lines.byID, l.row.ID)
		}
	}
}

// takeParcel makes a parcel count whose session has moved: the keys that its first flight used are used.
func (m *Messenger) takeParcel(tx Tx, after *aftermath, c parcel) error {
	if err := m.heedMarks(tx, after, c.line, c.body.Marks); err != nil || c.first == nil {
		return err
	}
	_, generation, _ := m.keys.answer(c.first)
	replay := c.first.Replay()
	value := binary.BigEndian.AppendUint32(slices.Clone(c.line.row.ID[:]), generation)
	if err := tx.PutSecret(SecretRow{Kind: SecretHandshake, Key: replay[:], Value: value}); err != nil {
		return err
	}
	if !c.first.UsesOneTime() {
		return nil
	}
	// That they were used is known under their own name too, for as long.
	if err := tx.PutSecret(SecretRow{Kind: SecretHandshake, Key: c.first.OneTime[:], Value: value}); err != nil {
		return err
	}
	return tx.DeleteSecret(SecretGiven, c.first.OneTime[:])
}

// letter reads the content of a parcel.
func (m *Messenger) letter(c parcel) (letter, error) {
	l := letter{account: c.line.row.Account, device: c.line.row.Device, raw: slices.Clone(c.body.Content), tag: c.tag}
	var err error
	if l.content, err = wire.ParseContent(l.raw); err != nil {
		return letter{}, fmt.Errorf("open packet: %w", err)
	}
	l.id = messageID(l.account, l.device, l.raw)
	if l.account == m.self || l.content.Conversation != DirectConversation(l.account, m.self) {
		return letter{}, errNotAllowed
	}
	return l, nil
}

// parseAll takes packets apart; garbage becomes nil.
func (m *Messenger) parseAll(from peer.ID, envelopes [][]byte) []*seal.Packet {
	packets := make([]*seal.Packet, len(envelopes))
	for i, e := range envelopes {
		if wire.IsAcks(e) {
			continue
		}
		p, err := seal.Parse(e)
		if err != nil {
			m.log.Debug("dropped an envelope", zap.Stringer("from", from), zap.Error(err))
			continue
		}
		packets[i] = p
	}
	return packets
}

// inOrder lists the places of packets as they are to be opened: those of one chain together, in the order in which they were sealed,
// so that the fewest keys have to be kept; else as they came.
func inOrder(packets []*seal.Packet) []int {
	type key struct {
		session SessionID
		chain   ChainID
	}
	came := map[key]int{}
	var order []int
	group := make([]int, len(packets))
	for i, p := range packets {
		if p == nil {
			continue
		}
		chain, _ := p.Position()
		k := key{p.Session, chain}
		if _, ok := came[k]; !ok {
			came[k] = i
		}
		group[i] = came[k]
		order = append(order, i)
	}
	slices.SortStableFunc(order, func(a, b int) int {
		if group[a] != group[b] {
			return group[a] - group[b]
		}
		_, n := packets[a].Position()
		_, o := packets[b].Position()
		return int(int64(n) - int64(o))
	})
	return order
}

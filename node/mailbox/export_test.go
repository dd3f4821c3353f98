package mailbox

import (
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"parley/node/internal/pace"
)

// What tests of the package see of its insides: they stand outside it because mailboxtest does.
const (
	MaxHead, MaxHanded, MaxAck, MaxLanesFrame, MaxAnswer = maxHead, maxHanded, maxAck, maxLanes, maxAnswer
	StatusCurrent, HandedNothing                         = statusCurrent, handedNothing
)

type (
	Refused  = memory
	Openings = openings
	Opening  = opening
)

func MarshalHead(capability [32]byte, id DepositID, owner peer.ID) []byte {
	return marshalHead(head{capability, id, owner})
}

func ParseHead(b []byte) (capability [32]byte, id DepositID, owner peer.ID, err error) {
	h, err := parseHead(b)
	return h.capability, h.id, h.owner, err
}

func (m *Refused) Note(owner peer.ID, capability [32]byte, v Verdict, now time.Time) {
	m.note(head{capability: capability, owner: owner}, v, now)
}

func (m *Refused) Of(owner peer.ID, capability [32]byte, now time.Time) (Verdict, bool) {
	return m.of(head{capability: capability, owner: owner}, now)
}

func (m *Refused) Len() int { return len(m.till) }

func (m *Refused) Forget(owner peer.ID) { m.forget(owner) }

func (o *Openings) Begin(owner peer.ID) { o.begin(owner) }

func (o *Openings) End(owner peer.ID, lanes [32]byte, at time.Time, done bool) {
	o.end(owner, opening{lanes, at}, done)
}

func (o *Openings) Are(owner peer.ID, lanes [32]byte, now time.Time) bool {
	return o.are(owner, lanes, now)
}

func (o *Openings) Len() int { return len(o.known) }

var (
	MarshalLanes, ParseLanes   = marshalLanes, parseLanes
	MarshalPolicy, ParsePolicy = marshalPolicy, parsePolicy
	MarshalBox, ParseHanded    = marshalBox, parseHanded
	MarshalAck, ParseAck       = marshalAck, parseAck
	MarshalHosts, ParseHosts   = marshalHosts, parseHosts
	ParseVerdict               = parseVerdict
	NewRefused, NewOpenings    = newMemory, newOpenings
	Split, HashOf              = split, hashOf
)

// Hurry makes a host impatient, with paces that no test wears out, but for those that it sets afterwards.
func (s *Server) Hurry(slow, ack, poll time.Duration) {
	s.patience = patience{first: slow, idle: slow, frame: slow, box: slow, write: 4 * slow, ack: ack, poll: poll}
	plenty := pace.New(1e6, 1e6)
	s.deposits, s.refusals, s.opens, s.fetches = plenty, plenty, plenty, plenty
	s.bytes = pace.New(1e9, 1e9)
}

// Refusals sets how often a host may refuse one peer.
func (s *Server) Refusals(perSecond float64, burst int) { s.refusals = pace.New(perSecond, burst) }

// Feeds counts the owners that fetch.
func (s *Server) Feeds() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.feeds)
}

// Expire drops what is too old at a time.
func (s *Server) Expire(now time.Time) { s.expire(s.streams.Context(), now) }

// Impatient makes a keeper renew silent streams soon.
func (k *Keeper) Impatient(silence time.Duration) { k.silence = silence }

package member

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"time"
)

// Rotation puts a new pre-shared key in the place of the network's, as the authority has said. The zero rotation is what there is before the
// first: the key is the one in the invite.
type Rotation struct {
	Sequence uint64
	Made     uint64 // Unix seconds
	Ends     uint64 // Unix seconds: the older key is good until then, by each node's own clock
	Key      [pskSize]byte
	Older    [pskSize]byte // that it takes the place of
	// signature is the authority's.
	signature [ed25519.SignatureSize]byte
}

const rotationSize = 8 + 8 + 8 + pskSize + pskSize + ed25519.SignatureSize

var errRotation = errors.New("malformed rotation of the network's key")

// Errors of those who want to change the network's key.
var (
	ErrNotFounder = errors.New("only the device that made the network can change its key")
	ErrNoKey      = errors.New("this network has no pre-shared key that could be changed")
	ErrNoGrace    = errors.New("no older key of the network is good any more: there is no grace to end")
)

// GraceError says that the key was changed, and may be changed again when the grace is over.
type GraceError struct{ Ends time.Time }

// Error returns it in one line.
func (e *GraceError) Error() string {
	return fmt.Sprintf("the key was changed already, and members may follow until %s", e.Ends.Format("2 Jan 2006 15:04:05 MST"))
}

// Format shows no key, whatever the verb.
func (r Rotation) Format(f fmt.State, _ rune) { _, _ = fmt.Fprintf(f, "[network key %d]", r.Sequence) }

// stage is how far somebody has followed the network's key.
type stage struct{ sequence, ends uint64 }

// behind reports whether another stage is newer: of a later key, or of the same with an earlier end of its grace.
func (s stage) behind(other stage) bool {
	return s.sequence < other.sequence || s.sequence == other.sequence && s.ends > other.ends
}

func (r Rotation) stage() stage { return stage{r.Sequence, r.Ends} }

// body is what the authority signs, but for the domain.
func (r Rotation) body() []byte {
	b := binary.BigEndian.AppendUint64(nil, r.Sequence)
	b = binary.BigEndian.AppendUint64(b, r.Made)
	b = binary.BigEndian.AppendUint64(b, r.Ends)
	return slices.Concat(b, r.Key[:], r.Older[:])
}

func (r Rotation) signed(n Network) []byte {
	return statement(labelRotation, n, r.body())
}

// sign makes the rotation the authority's.
func (r Rotation) sign(n Network, authority ed25519.PrivateKey) Rotation {
	copy(r.signature[:], ed25519.Sign(authority, r.signed(n)))
	return r
}

// Marshal returns the bytes; none for the zero rotation.
func (r Rotation) Marshal() []byte {
	if r.Sequence == 0 {
		return nil
	}
	return append(r.body(), r.signature[:]...)
}

// ParseRotation reads what Marshal wrote. Whether the authority has signed it says Signed.
func ParseRotation(b []byte) (r Rotation, err error) {
	if len(b) == 0 {
		return r, nil
	}
	if len(b) != rotationSize {
		return r, errRotation
	}
	r.Sequence, r.Made, r.Ends = binary.BigEndian.Uint64(b), binary.BigEndian.Uint64(b[8:]), binary.BigEndian.Uint64(b[16:])
	keys := b[24:]
	r.Key, r.Older = [pskSize]byte(keys), [pskSize]byte(keys[pskSize:])
	r.signature = [ed25519.SignatureSize]byte(keys[2*pskSize:])
	if r.Sequence == 0 || r.Key == r.Older || r.Ends > 1<<62 {
		return Rotation{}, errRotation
	}
	return r, nil
}

// Signed reports whether the authority of the network has made the rotation.
func (r Rotation) Signed(n Network, authority Key) bool {
	return n.IDOf(authority[:]) == n.ID && ed25519.Verify(authority[:], r.signed(n), r.signature[:])
}

// Rotation returns the newest that this device has taken; the zero one before the first.
func (l *Ledger) Rotation() Rotation {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.rotation
}

// Rotate puts a new key in the place of the network's, and lets the older one be good as long as the grace is. It is kept when it returns; the
// Gate hands it on. The error is ErrNotFounder, ErrNoKey, a *GraceError while the last one is in its grace, or says why it could not be kept.
func (l *Ledger) Rotate(grace time.Duration, now time.Time) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.mayTurn(); err != nil {
		return err
	}
	if ends := time.Unix(int64(l.rotation.Ends), 0); now.Before(ends) {
		return &GraceError{ends}
	}
	next := Rotation{Sequence: successor(l.rotation.Sequence, now), Made: uint64(now.Unix()), Ends: uint64(now.Add(grace).Unix()), Older: l.psk()}
	if _, err := rand.Read(next.Key[:]); err != nil {
		return fmt.Errorf("make a network key: %w", err)
	}
	return l.turn(next.sign(l.cfg.Network, l.cfg.Authority))
}

// EndGrace makes the older key worthless now. The error is ErrNoGrace where it is already, or one that Rotate returns.
func (l *Ledger) EndGrace(now time.Time) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.mayTurn(); err != nil {
		return err
	}
	next := l.rotation
	if !now.Before(time.Unix(int64(next.Ends), 0)) {
		return ErrNoGrace
	}
	next.Ends = uint64(now.Unix())
	return l.turn(next.sign(l.cfg.Network, l.cfg.Authority))
}

func (l *Ledger) mayTurn() error {
	switch {
	case l.cfg.Turn == nil:
		return ErrNoKey
	case l.cfg.Authority == nil:
		return ErrNotFounder
	}
	return nil
}

// psk returns the key of new connections; the caller holds mu.
func (l *Ledger) psk() [pskSize]byte {
	if l.rotation.Sequence == 0 {
		return l.cfg.PSK
	}
	return l.rotation.Key
}

// turn keeps a good rotation; the caller holds mu. It counts only once it is kept: a device must not be shut out by its next start.
func (l *Ledger) turn(next Rotation) error {
	if err := l.cfg.Turn(next); err != nil {
		return fmt.Errorf("keep the network's new key: %w", err)
	}
	l.rotation = next
	return nil
}

// TakeRotation takes a rotation that the authority has signed, if it is newer than ours, and reports whether it is. A newer one counts only
// where there is no error: it is kept, and so is the list of those from whom it is to be kept.
func (l *Ledger) TakeRotation(rotation []byte) (newer bool, err error) {
	next, err := ParseRotation(rotation)
	if err != nil {
		return false, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.rotation.stage().behind(next.stage()) {
		return false, nil
	}
	if l.cfg.Turn == nil || !l.member() || !next.Signed(l.cfg.Network, l.chain.Authority) {
		return false, errors.New("the new key of the network is not the authority's")
	}
	if l.unsaved {
		if err := l.save(func(*kept) {}); err != nil {
			return true, fmt.Errorf("keep the network's new key from those who were removed: %w", err)
		}
	}
	return true, l.turn(next)
}

// rotationFor returns the rotation for somebody who is behind, and nil for others.
func (l *Ledger) rotationFor(s stage) []byte {
	r := l.Rotation()
	if !s.behind(r.stage()) {
		return nil
	}
	return r.Marshal()
}

// follows notes that a member has said that it has a key of the network: the newest that it has named, and none that we do not have ourselves, so that
// nobody makes the ledger change more often than the key does.
func (l *Ledger) follows(device Key, s stage) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if s.sequence > l.rotation.Sequence {
		return
	}
	for i := range l.kept.Known {
		if k := &l.kept.Known[i]; Key(k.Certificate) == device && k.Follows < s.sequence {
			k.Follows, l.met = s.sequence, true
		}
	}
}

package chat

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	"go.uber.org/zap"

	"parley/chat/internal/seal"
	"parley/chat/internal/wire"
)

// keyring is the keys that others begin sessions with and seal boxes to, generation by generation, with the device record that says
// so. The store holds the same; a transaction that changes it changes the keyring after its commit.
type keyring struct {
	mu sync.Mutex
	ring
}

// ring is what is on a keyring.
type ring struct {
	generations []seal.Generation // the newest first
	answering   uint32            // older generations open boxes, and answer no first flight
	record      []byte            // our device record
	number      uint64            // its sequence number
	shown       uint64            // that of the first record with the keys of the newest generation and these mailboxes
	mailboxes   []string          // the hosts that the record names
}

// set puts on the keyring what a transaction has committed, unless a later one was quicker.
func (k *keyring) set(r ring) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if r.number >= k.number {
		k.ring = r
	}
}

// answers returns the generations that answer first flights, the newest first.
func (k *keyring) answers() []seal.Generation {
	k.mu.Lock()
	defer k.mu.Unlock()
	for i, g := range k.generations {
		if g.Number < k.answering {
			return k.generations[:i]
		}
	}
	return k.generations
}

// on returns what is on the keyring now.
func (k *keyring) on() ring {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.ring
}

// answer finds the private halves of the keys that a first flight names; ok is false where one of them is gone.
func (k *keyring) answer(f *seal.First) (a seal.Answer, generation uint32, ok bool) {
	var signed, kem bool
	for _, g := range k.answers() {
		if wire.ID8(g.Signed.Public()) == f.Signed {
			a.Signed, generation, signed = g.Signed, g.Number, true
		}
		if !f.UsesOneTime() && wire.ID8(g.LastKEM.Public()) == f.KEM {
			a.KEM, kem = g.LastKEM, true
		}
	}
	return a, generation, signed && (kem || f.UsesOneTime())
}

// occasion is why our keys and our device record are looked after.
type occasion int

const (
	onSchedule occasion = iota // a new generation, where it is time for one
	onStart                    // and a new version of the record in any case: a copy of this device is known by it
	onDemand                   // a new generation, whether it is time or not
)

// resumeKeys loads our keys, and makes new ones where there are none or it is time.
func (m *Messenger) resumeKeys(ctx context.Context) error {
	if m.identity == nil {
		return nil
	}
	return wrap(m.rotate(ctx, onStart), "load the keys of this device")
}

// rotate begins a new generation where the newest is old enough, or anyway on demand, and lets the oldest go where there are too
// many: only then, and only one, so that no jump of the clock lets go what is still in use.
func (m *Messenger) rotate(ctx context.Context, why occasion) error {
	var r ring
	err := m.update(ctx, func(tx Tx, _ *aftermath) (err error) {
		if r, err = m.loadRing(tx); err != nil {
			return err
		}
		silent := m.copied.told.Load() // and then nothing new is published
		switch {
		case why == onDemand, len(r.generations) == 0, m.due(r.generations[0]) && !silent:
			return m.turn(tx, &r, why == onDemand && m.restored)
		case why == onStart && !silent:
			return m.renumber(tx, &r, r.number)
		}
		return nil
	})
	if err == nil {
		m.holdKeys(r)
	}
	return err
}

// holdKeys makes what a transaction has committed our keys.
func (m *Messenger) holdKeys(r ring) {
	m.keys.set(r)
	m.instance.signed(r.number)
}

// answeringKey is the record of our own whose number is the first generation that answers first flights: a store that went back in time
// does not know which first flights the older ones have answered, and must answer none twice.
const answeringKey = "/instance/answering"

// shownKey is the record of our own whose number is that of the first device record that showed the keys and mailboxes which it shows now. It is what
// our marks tell: who has that one has our keys, and need not look up what says nothing else.
const shownKey = "/instance/shown"

// loadRing loads our keys, and what was said of them.
func (m *Messenger) loadRing(tx Tx) (r ring, err error) {
	own, _, err1 := tx.Record(deviceRecordKey(m.device))
	answering, _, err2 := tx.Record(answeringKey)
	shown, _, err3 := tx.Record(shownKey)
	if err := errors.Join(err1, err2, err3); err != nil {
		return r, err
	}
	r = ring{answering: uint32(answering.Sequence), record: own.Value, number: own.Sequence, shown: shown.Sequence}
	if own.Value != nil {
		record, err := m.devices.of(own.Value)
		if err != nil {
			return r, fmt.Errorf("our own record: %w", err)
		}
		r.mailboxes = record.Mailboxes
	}
	r.generations, err = loadGenerations(tx)
	return r, err
}

// turn puts a new generation on the ring, and the record that shows it. Anew, after a restore, the ones before answer no more.
func (m *Messenger) turn(tx Tx, r *ring, anew bool) (err error) {
	if r.generations, err = m.addGeneration(tx, r.generations); err != nil {
		return err
	}
	if anew {
		r.answering = r.generations[0].Number
		row := RecordRow{Key: answeringKey, Sequence: uint64(r.answering), Value: []byte{1}, At: m.now()}
		if err := tx.PutRecord(row); err != nil {
			return err
		}
		r.number = max(r.number, uint64(m.now().UnixMicro())) // past whatever was published meanwhile, step by step
	}
	if err := m.show(tx, r); err != nil {
		return err
	}
	return m.noteElapsed(tx) // so that no generation is younger than what is noted
}

// show makes a new version of our device record that others should have.
func (m *Messenger) show(tx Tx, r *ring) error {
	if err := m.renumber(tx, r, r.number); err != nil {
		return err
	}
	r.shown = r.number
	return tx.PutRecord(RecordRow{Key: shownKey, Sequence: r.shown, Value: []byte{1}, At: m.now()})
}

// renumber makes a new version of our device record, under a number past the one given.
func (m *Messenger) renumber(tx Tx, r *ring, past uint64) error {
	m.sign(r, past)
	return tx.PutRecord(RecordRow{Key: deviceRecordKey(m.device), Sequence: r.number, Value: r.record, At: m.now()})
}

// sign signs our device record for the newest generation. How far its number is past the one given is random: two copies of one device
// do not take the same number. A device that knows of another copy of itself names no instance.
func (m *Messenger) sign(r *ring, past uint64) {
	record := wire.DeviceRecord{
		Device: string(m.device), Account: m.self[:], Prekeys: r.generations[0].Prekeys(), Mailboxes: r.mailboxes,
		Sequence: min(past, math.MaxUint64-SequenceLeap) + 1 + rand.Uint64N(SequenceLeap),
	}
	if !m.copied.found.Load() {
		record.Instance = m.instance.id
	}
	r.record, r.number = record.Sign(m.identity.device), record.Sequence
}

// due reports whether a generation has served its time. One from a time that is still to come was made before own time was measured.
func (m *Messenger) due(g seal.Generation) bool {
	age := m.elapsed.now() - time.Duration(g.Made)*time.Second
	return age >= GenerationLife || age < 0
}

// loadGenerations returns our generations, the newest first.
func loadGenerations(tx Tx) ([]seal.Generation, error) {
	rows, err := tx.Secrets(SecretGeneration, 2*MaxGenerations)
	if err != nil {
		return nil, err
	}
	var list []seal.Generation
	for _, row := range rows {
		g, err := seal.ParseGeneration(row.Value)
		if err != nil {
			return nil, err
		}
		list = append(list, g)
	}
	slices.SortFunc(list, func(a, b seal.Generation) int { return cmp.Compare(b.Number, a.Number) })
	return list, nil
}

func generationKey(number uint32) []byte { return binary.BigEndian.AppendUint32(nil, number) }

// addGeneration makes a generation, and lets the oldest go with the handshakes that it answered.
func (m *Messenger) addGeneration(tx Tx, old []seal.Generation) ([]seal.Generation, error) {
	number := uint32(1)
	if len(old) > 0 {
		number = old[0].Number + 1
	}
	g, err := seal.NewGeneration(number, int64(m.elapsed.now()/time.Second))
	if err != nil {
		return nil, err
	}
	if err := tx.PutSecret(SecretRow{Kind: SecretGeneration, Key: generationKey(number), Value: g.Marshal()}); err != nil {
		return nil, err
	}
	all := append([]seal.Generation{g}, old...)
	if len(all) <= MaxGenerations {
		return all, nil
	}
	last := all[len(all)-1]
	if err := tx.DeleteSecret(SecretGeneration, generationKey(last.Number)); err != nil {
		return nil, err
	}
	// What is kept against replays of first flights to a generation that is gone: they open no more.
	return all[:len(all)-1], forgetHandshakes(tx, func(_ SessionID, generation uint32) bool { return generation <= last.Number })
}

// forgetHandshakes drops what was kept against replays of some first flights.
func forgetHandshakes(tx Tx, which func(session SessionID, generation uint32) bool) error {
	rows, err := tx.Secrets(SecretHandshake, MaxHandshakes)
	if err != nil {
		return err
	}
	for _, row := range rows {
		if len(row.Value) != handshakeSize {
			continue
		}
		id := SessionID(row.Value)
		if which(id, binary.BigEndian.Uint32(row.Value[len(id):])) {
			if err := tx.DeleteSecret(SecretHandshake, row.Key); err != nil {
				return err
			}
		}
	}
	return nil
}

// tendKeys makes new generations and one-time pairs on a schedule of its own, so that nobody learns from it how many were used.
func (m *Messenger) tendKeys(ctx context.Context) error {
	again, first := time.NewTicker(TendEvery), time.NewTimer(CopyFirst)
	defer again.Stop()
	defer first.Stop()
	for {
		if err := m.refill(ctx); err != nil && ctx.Err() == nil {
			m.log.Debug("cannot make one-time keys yet", zap.Error(err))
		}
		select {
		case <-ctx.Done():
			m.saveElapsed(context.WithoutCancel(ctx))
			return nil
		case <-first.C:
			m.lookForCopy(ctx)
			continue
		case <-again.C:
		}
		m.saveElapsed(ctx)
		if err := m.rotate(ctx, onSchedule); err != nil && ctx.Err() == nil {
			m.log.Debug("cannot make new keys yet", zap.Error(err))
		}
		m.publish()
		m.lookForCopy(ctx)
	}
}

// refill makes one-time pairs until there are OneTimePairs, and lets those go that were given away long ago and never used.
func (m *Messenger) refill(ctx context.Context) error {
	return m.update(ctx, func(tx Tx, _ *aftermath) error {
		there, err := tx.Secrets(SecretOneTime, OneTimePairs)
		if err != nil {
			return err
		}
		for range OneTimePairs - len(there) {
			pair := seal.NewOneTimePair()
			id := wire.ID8(pair.Exchange.Public())
			if err := tx.PutSecret(SecretRow{Kind: SecretOneTime, Key: id[:], Value: pair.Marshal()}); err != nil {
				return err
			}
		}
		given, err := tx.Secrets(SecretGiven, MaxGiven+OneTimePairs)
		if err != nil {
			return err
		}
		return m.forgetGiven(tx, given)
	})
}

// forgetGiven lets given pairs go that are older than any generation, and more than MaxGiven of them, whatever their age.
func (m *Messenger) forgetGiven(tx Tx, given []SecretRow) error {
	when := func(row SecretRow) int64 {
		if len(row.Value) < 8 {
			return 0
		}
		return int64(binary.BigEndian.Uint64(row.Value))
	}
	slices.SortFunc(given, func(a, b SecretRow) int { return int(when(b) - when(a)) })
	oldest := int64((m.elapsed.now() - GenerationLife*MaxGenerations) / time.Second)
	for i, row := range given {
		if i >= MaxGiven || when(row) < oldest {
			if err := tx.DeleteSecret(SecretGiven, row.Key); err != nil {
				return err
			}
		}
	}
	return nil
}

// OneTime gives a one-time pair of ours away, signed, for one device to begin a session with; nil where none is left, and where another
// copy of this device has the same ones. Each is given away once.
func (m *Messenger) OneTime(ctx context.Context) (signed []byte, err error) {
	if m.copied.found.Load() {
		return nil, nil
	}
	err = m.update(ctx, func(tx Tx, _ *aftermath) error {
		signed = nil
		rows, err := tx.Secrets(SecretOneTime, 1)
		if err != nil || len(rows) == 0 {
			return err
		}
		pair, err := seal.ParseOneTimePair(rows[0].Value)
		if err != nil {
			return fmt.Errorf("one-time pair: %w", err)
		}
		value := append(binary.BigEndian.AppendUint64(nil, uint64(m.elapsed.now()/time.Second)), rows[0].Value...)
		if err := tx.PutSecret(SecretRow{Kind: SecretGiven, Key: rows[0].Key, Value: value}); err != nil {
			return err
		}
		signed = wire.OneTime{Device: string(m.device), Exchange: pair.Exchange.Public(), KEM: pair.KEM.Public()}.Sign(m.identity.device)
		return tx.DeleteSecret(SecretOneTime, rows[0].Key)
	})
	return signed, wrap(err, "give a one-time pair away")
}

// given loads the one-time pair that a first flight names. An error is about the flight; failed is about the store.
func given(tx Tx, f *seal.First) (pair seal.OneTimePair, err, failed error) {
	row, ok, failed := tx.Secret(SecretGiven, f.OneTime[:])
	if failed != nil {
		return pair, nil, failed
	}
	if !ok {
		_, used, failed := tx.Secret(SecretHandshake, f.OneTime[:])
		if used {
			return pair, errUsed, failed
		}
		return pair, errGone, failed
	}
	if len(row.Value) < 8 {
		return pair, nil, fmt.Errorf("one-time pair of %d bytes", len(row.Value))
	}
	if pair, failed = seal.ParseOneTimePair(row.Value[8:]); failed != nil {
		return pair, nil, fmt.Errorf("one-time pair: %w", failed)
	}
	if wire.ID8(pair.KEM.Public()) != f.KEM {
		return pair, errGone, nil
	}
	return pair, nil, nil
}

// wantsOneTime reports whether a one-time pair of a device would be used: there is no session with the account on it, and no pair that
// it gave us before. Whoever waits for an answer looks its device up again and again, and must not use up what is there for all.
func (m *Messenger) wantsOneTime(ctx context.Context, account AccountID, device peer.ID) (wants bool) {
	err := m.look(ctx, func(tx Tx) error {
		_, kept, err1 := tx.Secret(SecretBundle, []byte(device))
		sessions, err2 := tx.Sessions(device)
		wants = !kept && !slices.ContainsFunc(sessions, func(s SessionRow) bool { return s.Account == account })
		return errors.Join(err1, err2)
	})
	return wants && err == nil
}

// askOneTime asks a device for a one-time pair, where a first flight to it may be needed. It is a bonus: without an answer the keys of
// the record serve.
func (m *Messenger) askOneTime(ctx context.Context, device peer.ID) []byte {
	ctx, cancel := context.WithTimeout(ctx, OneTimeWait)
	defer cancel()
	value, err := m.directory.OneTime(ctx, device)
	if err != nil {
		return nil
	}
	pair, err := wire.ParseOneTime(value)
	if err != nil || pair.Device != string(device) {
		m.log.Debug("one-time keys that are none", zap.Stringer("device", device), zap.Error(err))
		return nil
	}
	return value
}

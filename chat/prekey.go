package chat

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
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
	mu          sync.Mutex
	generations []seal.Generation // the newest first
	answering   uint32            // older generations open boxes, and answer no first flight
	record      []byte
	number      uint64
}

func (k *keyring) set(generations []seal.Generation, answering uint32, record []byte, sequence uint64) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.generations, k.answering, k.record, k.number = generations, answering, record, sequence
}

// resigned replaces our device record.
func (k *keyring) resigned(record []byte, sequence uint64) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.record, k.number = record, sequence
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

// all returns the generations, the newest first.
func (k *keyring) all() []seal.Generation {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.generations
}

// signed returns our device record.
func (k *keyring) signed() []byte {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.record
}

// published returns our device record and its number, which belong together.
func (k *keyring) published() ([]byte, uint64) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.record, k.number
}

func (k *keyring) sequence() uint64 {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.number
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

// resumeKeys loads our keys, and makes new ones where there are none or it is time.
func (m *Messenger) resumeKeys(ctx context.Context) error {
	if m.identity == nil {
		return nil
	}
	return wrap(m.rotate(ctx, false), "load the keys of this device")
}

// rotate begins a new generation where the newest is old enough, or anyway if forced, and lets the oldest go where there are too
// many: only then, and only one, so that no jump of the clock lets go what is still in use.
func (m *Messenger) rotate(ctx context.Context, force bool) error {
	var generations []seal.Generation
	var own, answering RecordRow
	err := m.update(ctx, func(tx Tx, _ *aftermath) (err error) {
		if generations, err = loadGenerations(tx); err != nil {
			return err
		}
		if own, _, err = tx.Record(deviceRecordKey(m.device)); err != nil {
			return err
		}
		if answering, _, err = tx.Record(answeringKey); err != nil {
			return err
		}
		if !force && len(generations) > 0 && !m.due(generations[0]) {
			return nil
		}
		if generations, err = m.addGeneration(tx, generations); err != nil {
			return err
		}
		if own, err = m.signRecord(generations[0], own, force && m.restored); err != nil {
			return err
		}
		if force && m.restored {
			answering = RecordRow{Key: answeringKey, Sequence: uint64(generations[0].Number), Value: []byte{1}, At: m.now()}
			if err := tx.PutRecord(answering); err != nil {
				return err
			}
		}
		return tx.PutRecord(own)
	})
	if err == nil {
		m.keys.set(generations, uint32(answering.Sequence), own.Value, own.Sequence)
	}
	return err
}

// answeringKey is the record of our own whose number is the first generation that answers first flights: a store that went back in time
// does not know which first flights the older ones have answered, and must answer none twice.
const answeringKey = "/instance/answering"

// due reports whether a generation has served its time, or was made in a future that our clock has left.
func (m *Messenger) due(g seal.Generation) bool {
	age := m.now().Sub(time.Unix(g.Made, 0))
	return age >= GenerationLife || age < -ClockTolerance
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
	g, err := seal.NewGeneration(number, m.now().Unix())
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

// signRecord makes the device record of a generation, which comes after the one that there is: anew, after any that there may have been.
func (m *Messenger) signRecord(g seal.Generation, own RecordRow, anew bool) (RecordRow, error) {
	record := wire.DeviceRecord{Device: string(m.device), Account: m.self[:], Sequence: own.Sequence + 1, Prekeys: g.Prekeys()}
	if anew {
		record.Sequence = max(record.Sequence, uint64(m.now().UnixMilli())) // past whatever was published meanwhile, one by one
	}
	mustRandom(record.Instance[:])
	if own.Value != nil && !anew {
		before, err := wire.ParseDeviceRecord(own.Value)
		if err != nil {
			return own, fmt.Errorf("our own record: %w", err)
		}
		record.Instance, record.Mailboxes = before.Instance, before.Mailboxes
	}
	return RecordRow{Key: deviceRecordKey(m.device), Sequence: record.Sequence, Value: record.Sign(m.identity.device), At: m.now()}, nil
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
			return nil
		case <-first.C:
			m.lookForCopy(ctx)
			continue
		case <-again.C:
		}
		if err := m.rotate(ctx, false); err != nil && ctx.Err() == nil {
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
	oldest := m.now().Add(-GenerationLife * MaxGenerations).Unix()
	for i, row := range given {
		if i >= MaxGiven || when(row) < oldest {
			if err := tx.DeleteSecret(SecretGiven, row.Key); err != nil {
				return err
			}
		}
	}
	return nil
}

// OneTime gives a one-time pair of ours away, signed, for one device to begin a session with; nil where none is left. Each is given
// away once.
func (m *Messenger) OneTime(ctx context.Context) (signed []byte, err error) {
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
		value := append(binary.BigEndian.AppendUint64(nil, uint64(m.now().Unix())), rows[0].Value...)
		if err := tx.PutSecret(SecretRow{Kind: SecretGiven, Key: rows[0].Key, Value: value}); err != nil {
			return err
		}
		signed = wire.OneTime{Device: string(m.device), Exchange: pair.Exchange.Public(), KEM: pair.KEM.Public()}.Sign(m.identity.device)
		return tx.DeleteSecret(SecretOneTime, rows[0].Key)
	})
	return signed, wrap(err, "give a one-time pair away")
}

// given loads the one-time pair that a first flight names.
func given(tx Tx, f *seal.First) (pair seal.OneTimePair, ok bool, err error) {
	row, ok, err := tx.Secret(SecretGiven, f.OneTime[:])
	if err != nil || !ok {
		return pair, false, err
	}
	if len(row.Value) < 8 {
		return pair, false, fmt.Errorf("one-time pair of %d bytes", len(row.Value))
	}
	if pair, err = seal.ParseOneTimePair(row.Value[8:]); err != nil {
		return pair, false, fmt.Errorf("one-time pair: %w", err)
	}
	return pair, wire.ID8(pair.KEM.Public()) == f.KEM, nil
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

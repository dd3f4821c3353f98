package chat

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	"go.uber.org/zap"

	"parley/chat/internal/wire"
)

// accountRecordKey is where an account lists its devices: under the hash of its key, so that the directory's nodes learn no
// account that they have not met.
func accountRecordKey(a AccountID) string {
	sum := sha256.Sum256(a[:])
	return "/account/" + wire.Base32(sum[:])
}

// deviceRecordKey is where a device says how to write to it.
func deviceRecordKey(d peer.ID) string { return "/device/" + d.String() }

// Validators returns, for each noun of the directory, the function that checks a record found under an id and returns its sequence
// number. They are pure, and run when a record is put, when it is fetched, and again here before it is used.
func Validators() map[string]func(id string, value []byte) (sequence uint64, err error) {
	return map[string]func(string, []byte) (uint64, error){
		"account": func(id string, value []byte) (uint64, error) {
			r, err := wire.ParseAccountRecord(value)
			if err == nil && accountRecordKey(AccountID(r.Account)) != "/account/"+id {
				err = errors.New("account record: stored under another account's key")
			}
			return r.Sequence, err
		},
		"device": func(id string, value []byte) (uint64, error) {
			r, err := wire.ParseDeviceRecord(value)
			if err == nil && deviceRecordKey(peer.ID(r.Device)) != "/device/"+id {
				err = errors.New("device record: stored under another device's key")
			}
			return r.Sequence, err
		},
	}
}

// pin keeps a validated record unless a newer one is kept already: what we have seen never rolls back.
func (m *Messenger) pin(tx Tx, key string, sequence uint64, value []byte) error {
	old, ok, err := tx.Record(key)
	switch {
	case err != nil:
		return err
	case ok && old.Sequence == sequence && !bytes.Equal(old.Value, value):
		m.log.Warn("two records with one sequence number: the first is kept", zap.String("key", key))
		return nil
	case ok && old.Sequence == sequence && m.now().Sub(old.At) > GenerationLife/2: // it is still the newest
		return tx.PutRecord(RecordRow{Key: key, Sequence: sequence, Value: value, At: m.now()})
	case ok && old.Sequence >= sequence:
		return nil
	case ok && m.moves(old.Value, value):
		m.log.Warn("a device speaks for another account: its older record is kept", zap.String("key", key))
		return nil
	case ok && m.forgets(old.Value, value):
		m.log.Warn("a record takes revocations back: the older one is kept", zap.String("key", key))
		return nil
	}
	if err := m.tellDevices(tx, old.Value, value); err != nil {
		return err
	}
	return tx.PutRecord(RecordRow{Key: key, Sequence: sequence, Value: value, At: m.now()})
}

// forgets reports whether a newer account record lacks a revocation of the older one: that set only grows.
func (m *Messenger) forgets(older, newer []byte) bool {
	a, err1 := m.accounts.of(older)
	b, err2 := m.accounts.of(newer)
	return err1 == nil && err2 == nil && slices.ContainsFunc(a.Revoked, func(id string) bool { return !slices.Contains(b.Revoked, id) })
}

// moves reports whether a device's newer record is for another account than the older one. That counts only where the device itself comes
// with it: see overtakes.
func (m *Messenger) moves(older, newer []byte) bool {
	a, err1 := m.devices.of(older)
	b, err2 := m.devices.of(newer)
	return err1 == nil && err2 == nil && !bytes.Equal(a.Account, b.Account)
}

// speaksFor returns the account that a device's pinned record is for; ok is false where none is pinned.
func (m *Messenger) speaksFor(tx Tx, device peer.ID) (account AccountID, ok bool, err error) {
	row, ok, err := tx.Record(deviceRecordKey(device))
	if err != nil || !ok {
		return account, false, err
	}
	record, err := m.devices.of(row.Value)
	if err != nil {
		return account, false, fmt.Errorf("pinned record of %s: %w", device, err)
	}
	return AccountID(record.Account), true, nil
}

// recipient is one device that a session can be begun with.
type recipient struct {
	account  AccountID
	device   peer.ID
	exchange []byte // certified
	record   wire.DeviceRecord
}

// recipients lists an account's devices that can be written to: certified, not revoked, and with a record that is known.
func (m *Messenger) recipients(tx Tx, account AccountID) ([]recipient, error) {
	found, _, err := m.devicesOf(tx, account)
	return found, err
}

// devicesOf lists an account's devices, those that can be written to and those whose records are missing.
func (m *Messenger) devicesOf(tx Tx, account AccountID) (found []recipient, missing []peer.ID, err error) {
	row, ok, err := tx.Record(accountRecordKey(account))
	if err != nil || !ok {
		return nil, nil, err
	}
	record, err := m.accounts.of(row.Value)
	if err != nil {
		return nil, nil, fmt.Errorf("pinned record of %s: %w", account.Short(), err)
	}
	for _, c := range record.Certificates {
		if slices.Contains(record.Revoked, c.Device) {
			continue
		}
		row, ok, err := tx.Record(deviceRecordKey(peer.ID(c.Device)))
		if err != nil {
			return nil, nil, err
		}
		if !ok {
			missing = append(missing, peer.ID(c.Device))
			continue
		}
		device, err := m.devices.of(row.Value)
		if err != nil {
			return nil, nil, fmt.Errorf("pinned record of %s: %w", c.Device, err)
		}
		if AccountID(device.Account) == account && complete(device) { // who lists a device that does not say so lists it in vain
			found = append(found, recipient{account, peer.ID(c.Device), c.Exchange, device})
		}
	}
	return found, missing, nil
}

// complete reports whether a device can be written to.
func complete(d wire.DeviceRecord) bool {
	return d.Prekey(wire.PurposeSigned) != nil && d.Prekey(wire.PurposeLastKEM) != nil && d.Prekey(wire.PurposeEnvelope) != nil
}

// recipientOn returns one device of an account, if the account's record certifies it.
func (m *Messenger) recipientOn(tx Tx, account AccountID, device peer.ID) (recipient, bool, error) {
	devices, err := m.recipients(tx, account)
	for _, d := range devices {
		if d.device == device {
			return d, true, err
		}
	}
	return recipient{}, false, err
}

// resolve finds an account's records in the directory, pins them, and addresses the messages that waited for them. A device without a
// record is no failure; devices is how many have one.
func (m *Messenger) resolve(ctx context.Context, account AccountID) (devices int, err error) {
	ctx, cancel := context.WithTimeout(ctx, LookupTimeout)
	defer cancel()
	value, err := m.directory.Lookup(ctx, accountRecordKey(account), m.hintsFor(account)...)
	if err != nil {
		return 0, fmt.Errorf("look up %s: %w", account.Short(), err)
	}
	record, err := wire.ParseAccountRecord(value)
	if err != nil || AccountID(record.Account) != account {
		return 0, fmt.Errorf("look up %s: not its record: %w", account.Short(), err)
	}
	found := []RecordRow{{Key: accountRecordKey(account), Sequence: record.Sequence, Value: value}}
	given := map[peer.ID][]byte{}
	for _, c := range record.Certificates {
		if slices.Contains(record.Revoked, c.Device) {
			continue
		}
		row, err := m.lookUpDevice(ctx, peer.ID(c.Device))
		if err != nil {
			m.log.Debug("device not found", zap.String("account", account.Short()), zap.String("device", c.Device), zap.Error(err))
			continue
		}
		found = append(found, row)
		if !m.wantsOneTime(ctx, account, peer.ID(c.Device)) {
			continue
		}
		if pair := m.askOneTime(ctx, peer.ID(c.Device)); pair != nil {
			given[peer.ID(c.Device)] = pair
		}
	}
	return len(found) - 1, m.adopt(ctx, account, found, given)
}

// lookUpDevice finds a device's record in the directory.
func (m *Messenger) lookUpDevice(ctx context.Context, device peer.ID) (RecordRow, error) {
	key := deviceRecordKey(device)
	value, err := m.directory.Lookup(ctx, key, device)
	if err != nil {
		return RecordRow{}, err
	}
	record, err := m.devices.of(value)
	if err != nil || record.Device != string(device) {
		return RecordRow{}, fmt.Errorf("not its record: %w", err)
	}
	return RecordRow{Key: key, Sequence: record.Sequence, Value: value}, nil
}

// adopt pins records of an account, keeps the one-time keys that its devices gave us, and addresses what waited for them.
func (m *Messenger) adopt(ctx context.Context, account AccountID, found []RecordRow, given map[peer.ID][]byte) error {
	for more := true; more; found, given = nil, nil {
		err := m.update(ctx, func(tx Tx, after *aftermath) (err error) {
			for _, r := range found {
				if err := m.pinFound(tx, after, r); err != nil {
					return err
				}
			}
			if err := m.enforce(tx, after, account); err != nil {
				return err
			}
			for device, pair := range given {
				if err := tx.PutSecret(SecretRow{Kind: SecretBundle, Key: []byte(device), Value: pair}); err != nil {
					return err
				}
			}
			devices, err := m.recipients(tx, account)
			if err != nil {
				return err
			}
			after.learn = append(after.learn, devices...)
			if found != nil {
				if err := m.renew(tx, after, account); err != nil {
					return err
				}
			}
			more, err = m.addressWaiting(tx, after, account)
			return err
		})
		if err != nil {
			return fmt.Errorf("adopt the records of %s: %w", account.Short(), err)
		}
	}
	return nil
}

// publish puts our own records into the directory.
func (m *Messenger) publish() {
	m.directory.Publish(accountRecordKey(m.self), m.identity.accountRecord)
	m.directory.Publish(deviceRecordKey(m.device), m.keys.on().record)
}

// resolver knows which accounts' devices are wanted, and when each may be looked for again.
type resolver struct {
	mu       sync.Mutex
	searches map[AccountID]*search
	changed  chan struct{}
}

type search struct {
	running bool
	again   bool // asked for while it ran
	refresh bool // what is known of the account is old
	tries   int
	longest time.Duration // the longest rest between two tries
	ended   time.Time
	next    time.Time
}

func newResolver() *resolver {
	return &resolver{searches: map[AccountID]*search{}, changed: make(chan struct{}, 1)}
}

// want asks for an account's devices at once, unless they are wanted already.
func (r *resolver) want(account AccountID) {
	r.mu.Lock()
	if s, ok := r.searches[account]; !ok {
		r.searches[account] = &search{}
	} else {
		s.again = s.running
	}
	r.mu.Unlock()
	poke(r.changed)
}

// refresh asks for an account's records although they are known.
func (r *resolver) refresh(account AccountID) {
	r.mu.Lock()
	s, ok := r.searches[account]
	if !ok {
		s = &search{}
		r.searches[account] = s
	}
	s.refresh, s.again = true, s.running
	r.mu.Unlock()
	poke(r.changed)
}

// poke ends all rests, because the network has changed, but has nobody looked for more than once a second.
func (r *resolver) poke(now time.Time) {
	r.mu.Lock()
	for _, s := range r.searches {
		if soon := s.ended.Add(RetryFirst); soon.Before(s.next) {
			s.next = soon
		}
	}
	r.mu.Unlock()
	poke(r.changed)
}

// rest is how long a search is not to be made yet. What is longer than any rest comes from a clock that has stepped back since.
func (s *search) rest(now time.Time) time.Duration {
	if rest := s.next.Sub(now); rest <= s.longest {
		return rest
	}
	return 0
}

// due takes the account that has waited longest for its turn, or says how long none will have one.
func (r *resolver) due(now time.Time) (account AccountID, refresh, ok bool, wait time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	var first *search
	running := 0
	for id, s := range r.searches {
		if s.running {
			running++
		} else if first == nil || s.rest(now) < wait {
			account, first, wait = id, s, s.rest(now)
		}
	}
	if first == nil || running >= Lookups {
		return account, false, false, LookupRetryMax
	}
	if wait > 0 {
		return account, false, false, wait
	}
	refresh = first.refresh
	first.running, first.again, first.refresh = true, false, false
	return account, refresh, true, 0
}

// ended notes the end of a search. What has been found is forgotten, unless it was asked for meanwhile; longest is for what has not.
func (r *resolver) ended(account AccountID, now time.Time, found bool, longest time.Duration) {
	r.mu.Lock()
	s := r.searches[account]
	s.running, s.ended = false, now
	if s.longest != longest {
		s.longest, s.tries = longest, 0
	}
	switch {
	case s.again:
		s.next = now
	case found:
		delete(r.searches, account)
	default:
		s.next = now.Add(pause(s.tries, s.longest))
		s.tries++
	}
	r.mu.Unlock()
	poke(r.changed)
}

// findDevices looks for the records of accounts that messages wait for, a few at a time, until ctx ends.
func (m *Messenger) findDevices(ctx context.Context) error {
	var searches sync.WaitGroup
	defer searches.Wait()
	loaded := false
	for {
		if !loaded {
			loaded = m.wantWaiting(ctx) == nil
		}
		account, refresh, ok, wait := m.resolver.due(m.now())
		if ok {
			searches.Go(func() {
				found, longest := m.find(ctx, account, refresh)
				m.resolver.ended(account, m.now(), found, longest)
			})
			continue
		}
		if !loaded {
			wait = min(wait, RetryFirst)
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-m.resolver.changed:
		case <-timer.C:
		}
		timer.Stop()
	}
}

// find makes one search for an account's devices. It is over when nothing waits for them any more; else longest is the longest rest before
// the next: a device that is missing beside others may never run, and is looked for more and more seldom.
func (m *Messenger) find(ctx context.Context, account AccountID, refresh bool) (found bool, longest time.Duration) {
	err := m.adopt(ctx, account, nil, nil) // they may be known, and only the messages have waited
	if err == nil && !refresh && !m.waits(ctx, account) {
		return true, LookupRetryMax
	}
	devices, err := m.resolve(ctx, account)
	if err != nil && ctx.Err() == nil {
		m.log.Debug("devices not found", zap.String("account", account.Short()), zap.Error(err))
	}
	longest = LookupRetryMax
	if devices > 0 {
		longest = LookupMissingMax
	}
	return err == nil && !m.waits(ctx, account), longest
}

// waits reports whether a message waits for an account's devices.
func (m *Messenger) waits(ctx context.Context, account AccountID) (waits bool) {
	err := m.look(ctx, func(tx Tx) (err error) {
		waits, err = tx.Waits(account)
		return err
	})
	return waits || err != nil
}

// wantWaiting asks for the devices of every account that something waits for since an earlier run.
func (m *Messenger) wantWaiting(ctx context.Context) error {
	err := m.look(ctx, func(tx Tx) error {
		waiting, err := tx.WaitingAccounts()
		for _, w := range waiting {
			m.resolver.want(w.Account)
		}
		return err
	})
	m.trouble.judge(ctx, err)
	return err
}

// hint remembers devices that should be asked for an account's records.
func (m *Messenger) hint(account AccountID, devices []peer.ID) {
	m.mu.Lock()
	m.hints[account] = devices
	m.mu.Unlock()
	m.resolver.poke(m.now())
}

func (m *Messenger) hintsFor(account AccountID) []peer.ID {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.hints[account]
}

// memoSize bounds a memo: a few KiB each, for more devices than anybody writes to in a day.
const memoSize = 4096

// memo remembers what a parser has proven of bytes, so that signatures in the same bytes are not verified for every message again.
// It keys by the hash of all the bytes, and remembers no failures. What it returns is shared: do not change it.
type memo[T any] struct {
	parse func([]byte) (T, error)

	mu    sync.Mutex
	known map[[sha256.Size]byte]T
}

// newMemo returns an empty memo of a parser.
func newMemo[T any](parse func([]byte) (T, error)) *memo[T] {
	return &memo[T]{parse: parse, known: map[[sha256.Size]byte]T{}}
}

// of is the parser, or its memory.
func (m *memo[T]) of(b []byte) (T, error) {
	key := sha256.Sum256(b)
	m.mu.Lock()
	v, ok := m.known[key]
	m.mu.Unlock()
	if ok {
		return v, nil
	}
	v, err := m.parse(bytes.Clone(b)) // what it keeps may alias its input
	if err != nil {
		return v, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.known) >= memoSize {
		clear(m.known) // what is in use comes back with the next message
	}
	m.known[key] = v
	return v, nil
}

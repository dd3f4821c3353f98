package chat

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"parley/chat/internal/wire"
)

// A database that was restored from a copy has lost what the others remember of us: which messages we sent, where our sessions were. It
// is known by a note beside it, which a restored database does not match: instance id, highest event and the number of our device record,
// written at most once a second while they move. The id is in the database too.

// Instance is where the note lies.
type Instance interface {
	// Instance returns the note as it was saved last; nil where there is none.
	Instance() ([]byte, error)
	// SaveInstance puts a note in the place of the one before, durably.
	SaveInstance([]byte) error
}

// instanceKey is the record of our own that holds the id.
const instanceKey = "/instance/id"

// joinedKey is the record of our own that holds the hash of the invite that was carried out last.
const joinedKey = "/instance/joined"

const instanceVersion = 1

// note is what the file says.
type note struct {
	id     [16]byte
	event  uint64
	record uint64
}

func (n note) append(b []byte) []byte {
	b = append(append(b, instanceVersion), n.id[:]...)
	return binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(b, n.event), n.record)
}

// parseNote reads what append wrote.
func parseNote(b []byte) (note, error) {
	var n note
	r := wire.NewReader(b)
	r.Version(instanceVersion)
	r.Fill(n.id[:])
	n.event, n.record = r.U64(), r.U64()
	return n, r.Close()
}

// instance keeps the note up to date.
type instance struct {
	file  Instance // nil: nobody looks
	id    [16]byte
	saved note
	event *highest      // event that has committed
	made  *highest      // number of our device record
	moved chan struct{} // a token while the note is behind
}

func newInstance(file Instance) instance {
	return instance{file: file, event: &highest{}, made: &highest{}, moved: make(chan struct{}, 1)}
}

// highest is the highest of the numbers that it was told.
type highest struct{ atomic.Uint64 }

// raise reports whether a number is higher than every one before.
func (h *highest) raise(to uint64) bool {
	for {
		known := h.Load()
		if to <= known {
			return false
		}
		if h.CompareAndSwap(known, to) {
			return true
		}
	}
}

// reached says that an event has committed; 0 stands for none.
func (i *instance) reached(event uint64) {
	if i.event.raise(event) {
		poke(i.moved)
	}
}

// signed says that a version of our device record has committed.
func (i *instance) signed(number uint64) {
	if i.made.raise(number) {
		poke(i.moved)
	}
}

// save writes the note, unless it says what is so already.
func (i *instance) save() error {
	now := note{i.id, i.event.Load(), i.made.Load()}
	if i.file == nil || now == i.saved {
		return nil
	}
	if err := i.file.SaveInstance(now.append(nil)); err != nil {
		return fmt.Errorf("note the last event: %w", err)
	}
	i.saved = now
	return nil
}

// resumeInstance compares the note with the database. Where they do not match the database was restored, and gets a new id.
func (m *Messenger) resumeInstance(ctx context.Context) error {
	if m.instance.file == nil {
		mustRandom(m.instance.id[:])
		return nil
	}
	b, err := m.instance.file.Instance()
	if err != nil {
		return err
	}
	had, unread := parseNote(b) // no note, and one that nobody can read, are alike
	var last uint64
	err = m.update(ctx, func(tx Tx, _ *aftermath) error {
		row, _, err1 := tx.Record(instanceKey)
		own, _, err2 := tx.Record(deviceRecordKey(m.device))
		if last, err = tx.LastEvent(); err != nil || err1 != nil || err2 != nil {
			return errors.Join(err, err1, err2)
		}
		m.instance.id, m.restored = had.id, false
		if !m.onlyCopy && unread == nil && bytes.Equal(row.Value, had.id[:]) && last >= had.event && own.Sequence >= had.record {
			return nil
		}
		m.restored = last > 0 || had.event > 0 || m.onlyCopy
		mustRandom(m.instance.id[:])
		return tx.PutRecord(RecordRow{Key: instanceKey, Value: m.instance.id[:], At: m.now()})
	})
	if err != nil {
		return wrap(err, "compare the database with what was noted of it")
	}
	if m.restored {
		m.log.Warn("the database was restored from a copy, or exchanged: what was written since is missing")
	}
	m.instance.event.Store(last)
	m.instance.saved = note{} // so that resumeRestored writes it
	return nil
}

// keepInstance keeps the note up to date until ctx ends, and then once more.
func (m *Messenger) keepInstance(ctx context.Context) error {
	if m.instance.file == nil {
		return nil
	}
	behind := false
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
			continue
		case <-m.instance.moved:
		}
		timer := time.NewTimer(InstancePause)
		select {
		case <-ctx.Done():
		case <-timer.C:
		}
		timer.Stop()
		err := m.instance.save()
		if err != nil {
			poke(m.instance.moved)
		}
		switch was := behind; {
		case err != nil && !was: // a disk stays full for hours: one line says so
			m.log.Warn("the note beside the database is behind", zap.Error(err))
		case err == nil && was:
			m.log.Warn("the note beside the database is up to date again")
		}
		behind = err != nil
	}
	return nil
}

// copied says what is known of another copy of this device.
type copied struct {
	found atomic.Bool // there is one, or was: nothing is sent
	told  atomic.Bool // that is in the store, and the other one can know of us
}

// copiedKey is the record of our own that names the instance which has found another copy. It holds until there is another instance: by
// people's word, or after a restore.
const copiedKey = "/instance/copied"

// resumeCopied goes on being silent where an earlier run has found another copy.
func (m *Messenger) resumeCopied(ctx context.Context) error {
	err := m.look(ctx, func(tx Tx) error {
		row, ok, err := tx.Record(copiedKey)
		known := ok && bytes.Equal(row.Value, m.instance.id[:])
		m.copied.found.Store(known)
		m.copied.told.Store(known)
		return err
	})
	return wrap(err, "see whether there is a copy of this device")
}

// lookForCopy looks for a record of this device in the directory that is as new as ours and was not made here: then two copies of one
// device are at work, or this one is an older copy than was at work last. Neither knows what the other has sent, so this one sends nothing
// more. Each start makes a newer record, so of two copies the one that started first finds the other.
func (m *Messenger) lookForCopy(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, LookupTimeout)
	defer cancel()
	there, err := m.lookUpDevice(ctx, m.device)
	own := m.keys.on() // after the look-up: a record of ours that is newer by now says nothing about copies
	if err != nil || there.Sequence < own.number || bytes.Equal(there.Value, own.record) {
		return
	}
	if !m.copied.found.Swap(true) {
		m.log.Error("a second copy of this device is at work, or a newer one was: nothing is sent from here")
		poke(m.outbox.changed)
	}
	if err := m.answerCopy(ctx, there); err != nil {
		m.log.Debug("cannot tell the other copy yet", zap.Error(err))
	}
}

// answerCopy notes that there is another copy, and publishes a record that is newer than its, unless it knows of us: then it finds us in
// its turn. A record of whoever knows names no instance, so that two who know do not overtake each other for ever. Once we have answered,
// only our own instance is answered again (it was started in between); another one is what people have decided for.
func (m *Messenger) answerCopy(ctx context.Context, there RecordRow) error {
	record, err := m.devices.of(there.Value)
	if err != nil {
		return err
	}
	told, answers := m.copied.told.Load(), record.Instance != [16]byte{}
	if told && (!answers || record.Instance != m.instance.id) {
		return nil
	}
	var r ring
	err = m.update(ctx, func(tx Tx, _ *aftermath) (err error) {
		if r, err = m.loadRing(tx); err != nil {
			return err
		}
		if err := tx.PutRecord(RecordRow{Key: copiedKey, Value: m.instance.id[:], At: m.now()}); err != nil || !answers {
			return err
		}
		return m.renumber(tx, &r, max(r.number, there.Sequence))
	})
	if err != nil {
		return err
	}
	m.holdKeys(r)
	m.copied.told.Store(true)
	m.publish()
	return nil
}

// secondCopy says what a second copy means, and what to do.
func (m *Messenger) secondCopy() string {
	if !m.copied.found.Load() {
		return ""
	}
	return "a second copy of this device is at work, or a newer one was, so nothing is sent from here: stop the other one for good, then " +
		"restart this one with parley up --only-copy"
}

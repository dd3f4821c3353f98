package chat

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"parley/chat/internal/wire"
)

// A database that was restored from a copy has lost what the others remember of us: which messages we sent, where our sessions were. It
// is known by a note beside it, which a restored database does not match: instance id and highest event, written at most once a second
// while it moves. The id is in the database too.

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
	id    [16]byte
	event uint64
}

func (n note) append(b []byte) []byte {
	b = append(append(b, instanceVersion), n.id[:]...)
	return binary.BigEndian.AppendUint64(b, n.event)
}

// parseNote reads what append wrote.
func parseNote(b []byte) (note, error) {
	var n note
	r := wire.NewReader(b)
	r.Version(instanceVersion)
	r.Fill(n.id[:])
	n.event = r.U64()
	return n, r.Close()
}

// instance keeps the note up to date.
type instance struct {
	file  Instance // nil: nobody looks
	id    [16]byte
	saved uint64         // the event that the note names
	event *atomic.Uint64 // the highest event that has committed
	moved chan struct{}  // a token while the note is behind
}

func newInstance(file Instance) instance {
	return instance{file: file, event: &atomic.Uint64{}, moved: make(chan struct{}, 1)}
}

// reached says that an event has committed; 0 stands for none.
func (i *instance) reached(event uint64) {
	for {
		known := i.event.Load()
		if event <= known {
			return
		}
		if i.event.CompareAndSwap(known, event) {
			poke(i.moved)
			return
		}
	}
}

// save writes the note, unless it says what is so already.
func (i *instance) save() error {
	event := i.event.Load()
	if i.file == nil || event == i.saved {
		return nil
	}
	if err := i.file.SaveInstance(note{i.id, event}.append(nil)); err != nil {
		return fmt.Errorf("note the last event: %w", err)
	}
	i.saved = event
	return nil
}

// resumeInstance compares the note with the database. Where they do not match the database was restored, and gets a new id.
func (m *Messenger) resumeInstance(ctx context.Context) error {
	if m.instance.file == nil {
		return nil
	}
	b, err := m.instance.file.Instance()
	if err != nil {
		return err
	}
	had, unread := parseNote(b) // no note, and one that nobody can read, are alike
	var last uint64
	err = m.update(ctx, func(tx Tx, _ *aftermath) error {
		row, _, err := tx.Record(instanceKey)
		if err != nil {
			return err
		}
		if last, err = tx.LastEvent(); err != nil {
			return err
		}
		m.instance.id, m.restored = had.id, false
		if !m.onlyCopy && unread == nil && bytes.Equal(row.Value, had.id[:]) && last >= had.event {
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
	m.instance.saved = last + 1 // so that resumeRestored writes it
	return nil
}

// keepInstance keeps the note up to date until ctx ends, and then once more.
func (m *Messenger) keepInstance(ctx context.Context) error {
	if m.instance.file == nil {
		return nil
	}
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
		if err := m.instance.save(); err != nil {
			m.log.Warn("the note beside the database is behind", zap.Error(err))
			poke(m.instance.moved)
		}
	}
	return nil
}

// lookForCopy looks for a record of this device in the directory that is as new as ours and was not made here: then two copies of one
// device are at work, or this one is an older copy than was at work last. Neither knows what the other has sent, so this one sends nothing
// more.
func (m *Messenger) lookForCopy(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, LookupTimeout)
	defer cancel()
	there, err := m.lookUpDevice(ctx, m.device)
	own, sequence := m.keys.published() // after the look-up: a record of ours that is newer by now says nothing about copies
	if err != nil || there.Sequence < sequence || bytes.Equal(there.Value, own) || m.copied.Swap(true) {
		return
	}
	m.log.Error("a second copy of this device is at work, or a newer one was: nothing is sent from here")
	poke(m.outbox.changed)
}

// secondCopy says what a second copy means, and what to do.
func (m *Messenger) secondCopy() string {
	if !m.copied.Load() {
		return ""
	}
	return "a second copy of this device is at work, or a newer one was, so nothing is sent from here: stop the other one for good, then " +
		"restart this one with parley up --only-copy"
}

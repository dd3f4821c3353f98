package chat

import (
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

// Our mailboxes: which hosts keep one for us (people choose, or we do) → who may deposit there (lanes) → the device record says so, by which
// correspondents find out. What lets each of them deposit is in grant.go.

// lanes lists the ways into our mailbox at a host: one for each contact that is not blocked, and those of our links.
func (m *Messenger) lanes(tx Tx, host peer.ID) ([]Lane, error) {
	secret, ok, err := tx.Secret(SecretMailbox, nil)
	if err != nil || !ok {
		return nil, err
	}
	contacts, err := tx.Contacts()
	if err != nil {
		return nil, err
	}
	var all []Lane
	add := func(grant []byte, class uint8) {
		c := capability(grant, host, m.device)
		all = append(all, Lane{Key: sha256.Sum256(c[:]), Class: class})
	}
	links := m.links.LinkKey()
	for _, token := range []Token{links.Contact(), links.Invite()} {
		if !token.IsZero() {
			add(token.bytes(), laneLink)
		}
	}
	for _, c := range contacts {
		if !c.Blocked && len(all) < MaxLanes {
			grant := grantFor(secret.Value, c.Account)
			add(grant[:], laneContact)
		}
	}
	return all, nil
}

// chosenKey is the record of our own that holds the hosts that people have chosen: lp(host) each. Where there is none, we choose.
const chosenKey = "/mailbox/chosen"

// tendMailboxes keeps mailboxes for us at up to MaxMailboxes hosts, says in our device record where, and keeps up to date who may deposit.
func (m *Messenger) tendMailboxes(ctx context.Context) error {
	defer m.arranged.end()
	if m.hosts == nil {
		return nil
	}
	defer time.AfterFunc(MailboxFirst, m.arranged.end).Stop()
	again := time.NewTicker(MailboxEvery)
	defer again.Stop()
	for ctx.Err() == nil {
		if err := m.arrangeMailboxes(ctx); err != nil && ctx.Err() == nil {
			m.log.Debug("cannot arrange for mailboxes yet", zap.Error(err))
		}
		if len(m.keys.on().mailboxes) > 0 {
			m.arranged.end()
			pauseFor(ctx, MailboxPause)
		}
		select {
		case <-ctx.Done():
		case <-m.arrange:
		case <-again.C:
		}
	}
	return nil
}

// Arranged returns a channel that is closed once our record says where our mailboxes are, or there is nothing to wait for: nobody would keep
// one, or no seed has shown up within MailboxFirst.
func (m *Messenger) Arranged() <-chan struct{} { return m.arranged.ended }

// gate is a channel that is closed once.
type gate struct {
	ended chan struct{}
	once  *sync.Once
}

func newGate() gate { return gate{make(chan struct{}), &sync.Once{}} }

func (g gate) end() { g.once.Do(func() { close(g.ended) }) }

// pauseFor waits for a time, or until ctx ends.
func pauseFor(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

// arrangeMailboxes makes one round of that.
func (m *Messenger) arrangeMailboxes(ctx context.Context) error {
	chosen, automatic, err := m.mailboxChoice(ctx)
	if err != nil {
		return err
	}
	if automatic {
		chosen = m.chooseMailboxes(ctx, chosen)
	}
	var keeping []Keeping
	err = m.look(ctx, func(tx Tx) error {
		keeping = nil
		for _, host := range chosen {
			lanes, err := m.lanes(tx, host)
			if err != nil {
				return err
			}
			keeping = append(keeping, Keeping{Host: host, Lanes: lanes})
		}
		return nil
	})
	if err != nil {
		return err
	}
	m.hosts.Keep(keeping) // first they are opened, then we say where they are
	return m.sayMailboxes(ctx, chosen)
}

// mailboxChoice returns the hosts that people have chosen; else those that our record names, and automatic.
func (m *Messenger) mailboxChoice(ctx context.Context) (hosts []peer.ID, automatic bool, err error) {
	err = m.look(ctx, func(tx Tx) error {
		row, ok, err := tx.Record(chosenKey)
		if err != nil {
			return err
		}
		if automatic = !ok || row.Sequence == 0; !automatic {
			hosts, err = parseHosts(row.Value)
			return err
		}
		hosts = nil
		for _, id := range m.keys.on().mailboxes {
			hosts = append(hosts, peer.ID(id))
		}
		return nil
	})
	return hosts, automatic, err
}

// chooseMailboxes keeps the hosts that we have, as long as they answer now and then, and fills them up with others.
func (m *Messenger) chooseMailboxes(ctx context.Context, hosts []peer.ID) []peer.ID {
	lost := map[peer.ID]bool{}
	for _, k := range m.hosts.Kept() {
		seen := k.Seen
		if seen.Before(m.since) {
			seen = m.since
		}
		lost[k.Host] = k.Trouble != "" && m.now().Sub(seen) > MailboxLost
	}
	kept := slices.DeleteFunc(slices.Clone(hosts), func(h peer.ID) bool { return lost[h] })
	if len(kept) == MaxMailboxes {
		return kept
	}
	ctx, cancel := context.WithTimeout(ctx, LookupTimeout)
	defer cancel()
	for _, host := range m.hosts.Candidates(ctx) {
		_, err := wire.DeviceKey(string(host)) // a record names no others
		if len(kept) < MaxMailboxes && err == nil && host != m.device && !lost[host] && !slices.Contains(kept, host) {
			kept = append(kept, host)
		}
	}
	for _, host := range hosts { // rather one that may come back than none
		if len(kept) < MaxMailboxes && !slices.Contains(kept, host) {
			kept = append(kept, host)
		}
	}
	return kept
}

// sayMailboxes publishes where our mailboxes are, if our record says something else.
func (m *Messenger) sayMailboxes(ctx context.Context, hosts []peer.ID) error {
	names := make([]string, len(hosts))
	for i, h := range hosts {
		names[i] = string(h)
	}
	if m.copied.found.Load() || slices.Equal(m.keys.on().mailboxes, names) {
		return nil
	}
	var r ring
	err := m.update(ctx, func(tx Tx, _ *aftermath) (err error) {
		if r, err = m.loadRing(tx); err != nil {
			return err
		}
		r.mailboxes = names
		return m.show(tx, &r)
	})
	if err != nil {
		return err
	}
	m.holdKeys(r)
	m.log.Info("others keep mailboxes for this device", zap.Stringers("hosts", hosts))
	m.publish()
	return nil
}

// Mailboxes says who keeps mailboxes for this device, and how they are doing.
func (m *Messenger) Mailboxes(ctx context.Context) (Mailboxes, error) {
	hosts, automatic, err := m.mailboxChoice(ctx)
	if err != nil {
		return Mailboxes{}, wrap(err, "look at the mailboxes")
	}
	all := Mailboxes{Automatic: automatic}
	kept := map[peer.ID]KeptMailbox{}
	if m.hosts != nil {
		for _, k := range m.hosts.Kept() {
			kept[k.Host] = k
		}
	}
	for _, host := range hosts {
		k, ok := kept[host]
		if !ok {
			k = KeptMailbox{Host: host, Trouble: "not asked yet"}
		}
		all.Hosts = append(all.Hosts, k)
	}
	return all, nil
}

// Mailboxes is who keeps mailboxes for this device.
type Mailboxes struct {
	Automatic bool // this device chooses; else people have
	Hosts     []KeptMailbox
}

// ChooseMailboxes names the hosts that are to keep mailboxes for this device from now on, at most MaxMailboxes; nil lets the device choose.
// An empty list means that nobody shall.
func (m *Messenger) ChooseMailboxes(ctx context.Context, hosts []peer.ID) error {
	row := RecordRow{Key: chosenKey, At: m.now()}
	if hosts != nil {
		row.Sequence = 1
	}
	switch {
	case len(hosts) > MaxMailboxes:
		return &Error{Code: CodeLimit, Detail: fmt.Sprintf("%d mailboxes, at most %d fit", len(hosts), MaxMailboxes), Try: "parley mailbox remove HOST"}
	case slices.Contains(hosts, m.device):
		return &Error{Code: CodeInvalid, Detail: "that is this device: a mailbox has to be somewhere else", Try: "parley mailbox list"}
	}
	for _, host := range hosts {
		if _, err := wire.DeviceKey(string(host)); err != nil {
			return &Error{Code: CodeInvalid, Detail: "that is no device of this kind of network: " + CleanText(host.String()), Try: "parley peers"}
		}
		row.Value = wire.AppendLP(row.Value, []byte(host))
	}
	if err := m.update(ctx, func(tx Tx, _ *aftermath) error { return tx.PutRecord(row) }); err != nil {
		return wrap(err, "choose mailboxes")
	}
	poke(m.arrange)
	return nil
}

func parseHosts(b []byte) (hosts []peer.ID, err error) {
	r := wire.NewReader(b)
	for r.Left() > 0 {
		host := r.LP(maxDevice)
		if host == nil {
			return nil, errors.New("hosts of mailboxes: truncated")
		}
		hosts = append(hosts, peer.ID(host))
	}
	return hosts, nil
}

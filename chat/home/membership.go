package home

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"parley/chat"
)

// Invite returns the invite that we joined with, read; nil where we made the network.
func (h *Home) Invite() *chat.Invite {
	j, ok := h.Join()
	if !ok {
		return nil
	}
	invite, err := chat.ParseInvite(j.Link)
	if err != nil {
		return nil // Open has read it before
	}
	return &invite
}

// Ledger is the file in which a node keeps who is on its network. Only the process that holds Lock may use it.
type Ledger struct {
	dir  string
	made bool // by the device that made the network
}

// Ledger returns it.
func (h *Home) Ledger() Ledger {
	_, invited := h.Join()
	return Ledger{dir: h.dir, made: !invited}
}

// Load returns what was saved last; nil before the first time.
func (l Ledger) Load() ([]byte, error) {
	data, err := readFile(l.dir, membersFile)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return nil, nil
	case err != nil:
		return nil, unreadable(l.dir, membersFile, err)
	}
	return data, nil
}

// Damaged is what people are told about a ledger that cannot be read. It is no reason to begin another home: what is lost with it is less than that.
func (l Ledger) Damaged(why error) error {
	path := filepath.Join(l.dir, membersFile)
	loss := "this device asks who invited it to let it in again, and knows no more which invites it made and whom it met"
	if l.made {
		loss = "this device makes a list anew, and knows no more which invites it made and whom it let in; whom it removed, it hears from the first member that it meets"
	}
	return &chat.Error{
		Code:   chat.CodeConfig,
		Detail: fmt.Sprintf("a corrupt file: %s: %v; restore it from a backup, or move it away: then %s", path, why, loss),
		Try:    "mv " + Word(path) + " " + Word(path+".damaged"),
	}
}

// Save replaces it.
func (l Ledger) Save(ledger []byte) error { return replaceFile(l.dir, membersFile, ledger) }

// SaveKey puts a key, and the rotation that says how long the one before it is good, in the place of the network's key: in one file, so that
// whoever starts next has the old key or the new one. Only the process that holds Lock may call it. In a trial nothing is written.
func (h *Home) SaveKey(key [32]byte, rotation []byte) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	network := h.network
	network.PSK, network.Rotation = bytes.Clone(key[:]), bytes.Clone(rotation)
	if h.trial {
		h.network, h.renewed = network, true
		return nil
	}
	return h.saveNetwork(network)
}

// saveNetwork replaces what is known of the network; the caller holds mu.
func (h *Home) saveNetwork(network Network) error {
	if err := replaceJSON(h.dir, networkFile, network.onDisk()); err != nil {
		return err
	}
	h.network = network
	return nil
}

// WithKey returns the home as it is with the network key and the seeds of an invite to its network, to try them out, and to hear from who answers which
// key the network has. The rotation stays: no older one takes its place. Where the key is the home's own, nobody but the seeds of the invite is asked: those of the
// home may have been removed together with it, and not know. Nothing is written before Keep.
func (h *Home) WithKey(invite chat.Invite) *Home {
	h.mu.Lock()
	defer h.mu.Unlock()
	trial := &Home{dir: h.dir, profile: h.profile, network: h.network, join: h.join, node: h.node, links: h.links, trial: true, former: h.network}
	trial.network.PSK, trial.network.Seeds = invite.Network.PSK, slices.Clone(invite.Seeds)
	if trial.sameKey = bytes.Equal(invite.Network.PSK, h.network.PSK); !trial.sameKey {
		trial.addSeeds()
	}
	return trial
}

// addSeeds puts the seeds that the home had behind those of an invite.
func (h *Home) addSeeds() {
	for _, s := range h.former.Seeds {
		named := slices.ContainsFunc(h.network.Seeds, func(o chat.Seed) bool { return o.Device == s.Device })
		if !named && s.Device != h.profile.Device && len(h.network.Seeds) < maxSeeds {
			h.network.Seeds = append(h.network.Seeds, s)
		}
	}
}

// WithInvite is WithKey for a device that is no member any more: it becomes one with the invite.
func (h *Home) WithInvite(invite chat.Invite) *Home {
	trial := h.WithKey(invite)
	trial.join, trial.anew = &Join{Link: invite.String(), Joined: true}, true
	return trial
}

// Anew reports whether the home's invite makes a member of a device that was one.
func (h *Home) Anew() bool { return h.anew }

// Keep writes for good the key that SaveKey was told in a trial, the seeds with which it was tried, and the invite, if it was tried: of a trial in which a node has
// admitted this device. Where it was told no key, the home's own stays: the one in the link may be anybody's. ok is false, and nothing is written, where nothing else was
// to be had. Only the process that holds Lock may call it.
func (h *Home) Keep() (ok bool, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case h.renewed:
	case h.anew, h.sameKey:
		h.network.PSK = h.former.PSK
	default:
		return false, nil
	}
	h.addSeeds()
	if err := h.saveNetwork(h.network); err != nil || !h.anew {
		return true, err
	}
	return true, replaceJSON(h.dir, joinFile, *h.join)
}

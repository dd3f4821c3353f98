package home

import (
	"errors"
	"os"

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
type Ledger struct{ dir string }

// Ledger returns it.
func (h *Home) Ledger() Ledger { return Ledger{h.dir} }

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

// Save replaces it.
func (l Ledger) Save(ledger []byte) error { return replaceFile(l.dir, membersFile, ledger) }

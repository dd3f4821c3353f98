package home

import (
	"errors"
	"fmt"
	"os"

	"parley/chat"
)

var (
	_ chat.Keys     = (*Unlocked)(nil)
	_ chat.Instance = (*Unlocked)(nil)
)

// KEK implements chat.Keys.
func (u *Unlocked) KEK() chat.Secret { return u.kek }

// Keystore implements chat.Keys.
func (u *Unlocked) Keystore() ([]byte, error) {
	data, err := readFile(u.home.dir, keystoreFile)
	if err != nil {
		return nil, unreadable(u.home.dir, keystoreFile, err)
	}
	return data, nil
}

// ReplaceKeystore implements chat.Keys. Only the process that holds Lock may call it.
func (u *Unlocked) ReplaceKeystore(data []byte) error {
	if len(data) > maxFile {
		return &chat.Error{Code: chat.CodeLimit, Detail: fmt.Sprintf("the keystore would have %d bytes; at most %d fit", len(data), maxFile)}
	}
	return replaceFile(u.home.dir, keystoreFile, data)
}

// Instance implements chat.Instance.
func (u *Unlocked) Instance() ([]byte, error) {
	data, err := readFile(u.home.dir, instanceFile)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return nil, nil
	case err != nil:
		return nil, unreadable(u.home.dir, instanceFile, err)
	}
	return data, nil
}

// SaveInstance implements chat.Instance.
func (u *Unlocked) SaveInstance(note []byte) error {
	return replaceFile(u.home.dir, instanceFile, note)
}

// Format says whose keys these are, whatever the verb.
func (u *Unlocked) Format(f fmt.State, _ rune) { _, _ = fmt.Fprintf(f, "[keys of %v]", u.Identity) }

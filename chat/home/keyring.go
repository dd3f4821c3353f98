package home

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/zalando/go-keyring"
	"golang.org/x/crypto/chacha20poly1305"

	"parley/chat"
)

// keyringService is under what people find our secrets in their keyring; each key file has an entry of its own, and a new one each time
// it is sealed, so that a crash in between leaves the old file with the old entry.
const keyringService = "parley"

// newKeyringSecret makes a secret and leaves it with the OS keyring.
func newKeyringSecret(entry []byte) ([]byte, error) {
	secret := make([]byte, chacha20poly1305.KeySize)
	if _, err := rand.Read(secret); err != nil {
		return nil, fmt.Errorf("seal the keys: %w", err)
	}
	if err := keyring.Set(keyringService, hex.EncodeToString(entry), hex.EncodeToString(secret)); err != nil {
		return nil, &chat.Error{
			Code:   chat.CodeConfig,
			Detail: fmt.Sprintf("the keyring of this system cannot be used: %v; nothing was changed", err),
			Try:    "parley passphrase --help",
		}
	}
	return secret, nil
}

func (h *Home) unsealByKeyring(data []byte) ([]byte, error) {
	text, err := keyring.Get(keyringService, hex.EncodeToString(data[1:1+saltSize]))
	if err != nil {
		return nil, h.lockedInKeyring(err)
	}
	secret, err := hex.DecodeString(text)
	if err != nil || len(secret) != chacha20poly1305.KeySize {
		return nil, h.lockedInKeyring(errors.New("what it holds is no key"))
	}
	defer clear(secret)
	inside, err := openSealed(data, secret)
	if err != nil {
		return nil, h.lockedInKeyring(errors.New("its secret does not fit, or the file is damaged"))
	}
	return inside, nil
}

func (h *Home) lockedInKeyring(why error) error {
	return &chat.Error{
		Code:   chat.CodeLocked,
		Detail: fmt.Sprintf("the keys of %s are sealed by the keyring of this system, which does not open them: %v", h.profile.Name, why),
	}
}

// dropKeyringSecret removes an entry; nil stands for none, and one that is gone is no error.
func dropKeyringSecret(entry []byte) error {
	if entry == nil {
		return nil
	}
	err := keyring.Delete(keyringService, hex.EncodeToString(entry))
	if err == nil || errors.Is(err, keyring.ErrNotFound) {
		return nil
	}
	return fmt.Errorf("remove the old secret from the keyring: %w", err)
}

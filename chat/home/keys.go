package home

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/crypto/argon2"
	"golang.org/x/crypto/chacha20poly1305"

	"parley/chat"
)

// The formats of the key file, by its first byte.
const (
	keysPlain  = 'p' // p ‖ SHA-256(identity) ‖ identity
	keysSealed = 's' // s ‖ salt 16 ‖ nonce 24 ‖ XChaCha20-Poly1305(Argon2id(passphrase, salt), nonce, identity, s ‖ salt)
)

// errPassphrase means that the file is well formed and does not open: nothing can tell a wrong passphrase from damage.
var errPassphrase = errors.New("wrong passphrase, or the file is damaged")

// Sealed reports whether Unlock will ask for a passphrase.
func (h *Home) Sealed() (bool, error) {
	data, err := h.readKeys()
	return err == nil && data[0] == keysSealed, err
}

// Unlock reads the identity. It calls passphrase only where the keys are sealed; nil there is an error with CodeLocked, as is a
// wrong passphrase. Damaged keys, and keys of another account than the profile's, are errors with CodeConfig.
func (h *Home) Unlock(passphrase func() ([]byte, error)) (*chat.Identity, error) {
	data, err := h.readKeys()
	if err != nil {
		return nil, err
	}
	if data[0] == keysSealed {
		data, err = h.unseal(data, passphrase)
	} else {
		data, err = openPlain(data)
	}
	if err != nil {
		return nil, h.keysError(err)
	}
	defer clear(data)
	id, err := chat.ParseIdentity(data)
	if err != nil {
		return nil, h.keysError(err)
	}
	if id.Account() != h.profile.Account {
		return nil, damaged(h.dir, keysFile, errors.New("it belongs to another account than "+profileFile))
	}
	return id, nil
}

func (h *Home) readKeys() ([]byte, error) {
	data, err := readFile(h.dir, keysFile)
	if err != nil {
		return nil, unreadable(h.dir, keysFile, err)
	}
	if len(data) == 0 || data[0] != keysPlain && data[0] != keysSealed {
		return nil, damaged(h.dir, keysFile, errors.New("it does not begin as one"))
	}
	return data, nil
}

func (h *Home) unseal(data []byte, passphrase func() ([]byte, error)) ([]byte, error) {
	if passphrase == nil {
		return nil, &chat.Error{
			Code:   chat.CodeLocked,
			Detail: "the keys of " + h.profile.Name + " are sealed and no passphrase was given",
			Try:    Command(h.dir, "up --passphrase-file FILE"),
		}
	}
	secret, err := passphrase()
	if err != nil {
		return nil, err
	}
	defer clear(secret)
	return unsealKeys(data, secret)
}

func (h *Home) keysError(err error) error {
	var known *chat.Error
	switch {
	case errors.As(err, &known):
		return err
	case errors.Is(err, errPassphrase):
		return &chat.Error{Code: chat.CodeLocked, Detail: fmt.Sprintf("%s does not open: %v", filepath.Join(h.dir, keysFile), err)}
	}
	return damaged(h.dir, keysFile, err)
}

// packKeys returns what the key file holds: sealed where there is a passphrase.
func packKeys(identity, passphrase []byte) ([]byte, error) {
	if len(passphrase) == 0 {
		sum := sha256.Sum256(identity)
		return append(append([]byte{keysPlain}, sum[:]...), identity...), nil
	}
	head := make([]byte, 1+saltSize+chacha20poly1305.NonceSizeX)
	head[0] = keysSealed
	if _, err := rand.Read(head[1:]); err != nil {
		return nil, fmt.Errorf("seal the keys: %w", err)
	}
	salt, nonce := head[1:1+saltSize], head[1+saltSize:]
	aead, err := chacha20poly1305.NewX(stretch(passphrase, salt))
	if err != nil {
		return nil, fmt.Errorf("seal the keys: %w", err)
	}
	return aead.Seal(head, nonce, identity, head[:1+saltSize]), nil
}

func unsealKeys(data, passphrase []byte) ([]byte, error) {
	headSize := 1 + saltSize + chacha20poly1305.NonceSizeX
	if len(data) < headSize+chacha20poly1305.Overhead {
		return nil, errors.New("it ends too early")
	}
	salt, nonce := data[1:1+saltSize], data[1+saltSize:headSize]
	aead, err := chacha20poly1305.NewX(stretch(passphrase, salt))
	if err != nil {
		return nil, err
	}
	identity, err := aead.Open(nil, nonce, data[headSize:], data[:1+saltSize])
	if err != nil {
		return nil, errPassphrase
	}
	return identity, nil
}

func openPlain(data []byte) ([]byte, error) {
	if len(data) < 1+sha256.Size {
		return nil, errors.New("it ends too early")
	}
	identity := data[1+sha256.Size:]
	if sum := sha256.Sum256(identity); !bytes.Equal(sum[:], data[1:1+sha256.Size]) {
		return nil, errors.New("its checksum is wrong")
	}
	return identity, nil
}

func stretch(passphrase, salt []byte) []byte {
	return argon2.IDKey(passphrase, salt, argonTime, argonMemory, argonThreads, chacha20poly1305.KeySize)
}

// checkPrivate refuses a key file that other people of this machine can read.
func checkPrivate(dir string) error {
	path := filepath.Join(dir, keysFile)
	info, err := os.Stat(path)
	if err != nil {
		return unreadable(dir, keysFile, err)
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		return &chat.Error{
			Code:   chat.CodeConfig,
			Detail: fmt.Sprintf("other people can read the key file %s (mode %04o)", path, mode),
			Try:    "chmod 600 " + path,
		}
	}
	return nil
}

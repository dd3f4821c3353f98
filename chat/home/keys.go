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

// sealedHead is the length of what stands before the ciphertext, in bytes.
const sealedHead = 1 + saltSize + chacha20poly1305.NonceSizeX

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
	} else if data, err = openPlain(data); err != nil {
		err = damaged(h.dir, keysFile, err)
	}
	if err != nil {
		return nil, err
	}
	defer clear(data)
	id, err := chat.ParseIdentity(data)
	if err != nil {
		return nil, damaged(h.dir, keysFile, err)
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
	if len(data) < sealedHead+chacha20poly1305.Overhead {
		return nil, damaged(h.dir, keysFile, errors.New("it ends too early"))
	}
	identity, err := openSealed(data, stretch(secret, data[1:1+saltSize]))
	if err != nil { // nothing can tell the one from the other
		return nil, &chat.Error{
			Code:   chat.CodeLocked,
			Detail: fmt.Sprintf("%s does not open: wrong passphrase, or the file is damaged", filepath.Join(h.dir, keysFile)),
		}
	}
	return identity, nil
}

// packKeys returns what the key file holds: sealed where there is a passphrase.
func packKeys(identity, passphrase []byte) ([]byte, error) {
	if len(passphrase) == 0 {
		sum := sha256.Sum256(identity)
		return append(append([]byte{keysPlain}, sum[:]...), identity...), nil
	}
	head := make([]byte, sealedHead)
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

// openSealed opens a key file of at least sealedHead and an overhead with the key that stretch made.
func openSealed(data, key []byte) ([]byte, error) {
	aead, err := chacha20poly1305.NewX(key)
	if err != nil {
		return nil, err
	}
	return aead.Open(nil, data[1+saltSize:sealedHead], data[sealedHead:], data[:1+saltSize])
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

package home

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/crypto/argon2"
	"golang.org/x/crypto/chacha20poly1305"

	"parley/chat"
)

// Sealing is what opens a key file. It is the file's first byte.
type Sealing byte

// The formats of the key file. Inside of each is the key of the keystore (32 bytes) and the identity.
const (
	Unsealed     Sealing = 'P' // P ‖ SHA-256(inside) ‖ inside
	ByPassphrase Sealing = 'S' // S ‖ salt 16 ‖ nonce 24 ‖ XChaCha20-Poly1305(Argon2id(passphrase, salt), nonce, inside, S ‖ salt)
	ByKeyring    Sealing = 'K' // K ‖ entry 16 ‖ nonce 24 ‖ XChaCha20-Poly1305(secret of the entry, nonce, inside, K ‖ entry)
)

// sealedHead is the length of what stands before the ciphertext, in bytes.
const sealedHead = 1 + saltSize + chacha20poly1305.NonceSizeX

// Passphrase is what a person types. It never prints.
type Passphrase []byte

// String says that there is a passphrase, and not which.
func (p Passphrase) String() string { return "[passphrase]" }

// GoString is String, for %#v.
func (p Passphrase) GoString() string { return p.String() }

// Format is String for every verb.
func (p Passphrase) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(p.String())) }

// MarshalText is String, for JSON and the loggers that encode what they are given.
func (p Passphrase) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// Seal says how a key file is to be sealed: with a passphrase, by the OS keyring, or, where neither is given, not at all.
type Seal struct {
	Passphrase Passphrase
	Keyring    bool
}

// Unlocked is a home whose key file is open: it holds the identity, and the keys to what the database holds. It is the chat.Keys and
// the chat.Instance of the home's messenger.
type Unlocked struct {
	Identity *chat.Identity

	home *Home
	kek  chat.Secret
}

// Sealing returns what Unlock will need.
func (h *Home) Sealing() (Sealing, error) {
	data, err := h.readKeys()
	if err != nil {
		return 0, err
	}
	return Sealing(data[0]), nil
}

// Unlock reads the key file. It calls passphrase only where that is sealed with one; nil there is an error with CodeLocked, as is a
// wrong passphrase, and an OS keyring that does not answer. Damaged keys, and keys of another account than the profile's, are errors
// with CodeConfig.
func (h *Home) Unlock(passphrase func() ([]byte, error)) (*Unlocked, error) {
	data, err := h.readKeys()
	if err != nil {
		return nil, err
	}
	inside, err := h.inside(data, passphrase)
	if err != nil {
		return nil, err
	}
	defer clear(inside)
	u := &Unlocked{home: h}
	if len(inside) < chacha20poly1305.KeySize {
		return nil, damaged(h.dir, keysFile, errors.New("it ends too early"))
	}
	if u.kek, err = chat.ParseSecret(inside[:chacha20poly1305.KeySize]); err != nil {
		return nil, damaged(h.dir, keysFile, err)
	}
	if u.Identity, err = chat.ParseIdentity(inside[chacha20poly1305.KeySize:]); err != nil {
		return nil, damaged(h.dir, keysFile, err)
	}
	if u.Identity.Account() != h.profile.Account {
		return nil, damaged(h.dir, keysFile, errors.New("it belongs to another account than "+profileFile))
	}
	return u, nil
}

// inside opens the file in the way that its first byte names.
func (h *Home) inside(data []byte, passphrase func() ([]byte, error)) ([]byte, error) {
	switch Sealing(data[0]) {
	case ByPassphrase:
		return h.unseal(data, passphrase)
	case ByKeyring:
		return h.unsealByKeyring(data)
	}
	inside, err := openPlain(data)
	if err != nil {
		return nil, damaged(h.dir, keysFile, err)
	}
	return inside, nil
}

func (h *Home) readKeys() ([]byte, error) {
	data, err := readFile(h.dir, keysFile)
	if err != nil {
		return nil, unreadable(h.dir, keysFile, err)
	}
	if len(data) == 0 || !slices.Contains([]Sealing{Unsealed, ByPassphrase, ByKeyring}, Sealing(data[0])) {
		return nil, damaged(h.dir, keysFile, errors.New("it does not begin as one"))
	}
	if Sealing(data[0]) != Unsealed && len(data) < sealedHead+chacha20poly1305.Overhead {
		return nil, damaged(h.dir, keysFile, errors.New("it ends too early"))
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
	key := stretch(secret, data[1:1+saltSize])
	defer clear(key)
	inside, err := openSealed(data, key)
	if err != nil { // nothing can tell the one from the other
		return nil, &chat.Error{
			Code:   chat.CodeLocked,
			Detail: fmt.Sprintf("%s does not open: wrong passphrase, or the file is damaged", filepath.Join(h.dir, keysFile)),
		}
	}
	return inside, nil
}

// pack returns what the key file holds. The entry names the secret in the keyring, which is made first; nil for none.
func (s Seal) pack(inside []byte) (file, entry []byte, err error) {
	if len(s.Passphrase) == 0 && !s.Keyring {
		sum := sha256.Sum256(inside)
		return append(append([]byte{byte(Unsealed)}, sum[:]...), inside...), nil, nil
	}
	head := make([]byte, sealedHead)
	if _, err := rand.Read(head[1:]); err != nil {
		return nil, nil, fmt.Errorf("seal the keys: %w", err)
	}
	key := stretch // by the passphrase
	head[0] = byte(ByPassphrase)
	if s.Keyring {
		head[0], entry = byte(ByKeyring), head[1:1+saltSize]
		secret, err := newKeyringSecret(entry)
		if err != nil {
			return nil, nil, err
		}
		key = func(_, _ []byte) []byte { return secret }
	}
	file, err = sealWith(key(s.Passphrase, head[1:1+saltSize]), head, inside)
	return file, entry, err
}

func sealWith(key, head, inside []byte) ([]byte, error) {
	defer clear(key)
	aead, err := chacha20poly1305.NewX(key)
	if err != nil {
		return nil, fmt.Errorf("seal the keys: %w", err)
	}
	return aead.Seal(bytes.Clone(head), head[1+saltSize:], inside, head[:1+saltSize]), nil
}

// openSealed opens a key file of at least sealedHead and an overhead with the key that stretch or the keyring gave.
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
	inside := data[1+sha256.Size:]
	if sum := sha256.Sum256(inside); !bytes.Equal(sum[:], data[1:1+sha256.Size]) {
		return nil, errors.New("its checksum is wrong")
	}
	return inside, nil
}

func stretch(passphrase, salt []byte) []byte {
	return argon2.IDKey(passphrase, salt, argonTime, argonMemory, argonThreads, chacha20poly1305.KeySize)
}

// insideOf returns what a key file holds.
func insideOf(kek chat.Secret, identity *chat.Identity) ([]byte, error) {
	id, err := identity.MarshalBinary()
	if err != nil {
		return nil, err
	}
	defer clear(id)
	return append(bytes.Clone(kek.Bytes()), id...), nil
}

// Reseal replaces the key file by one that opens in another way. Nothing of the old one is left under its name, and its entry in the
// keyring goes; a node that runs keeps the keys that it has. What is stored is not touched: its keys stay the same.
func (u *Unlocked) Reseal(to Seal) (err error) {
	h := u.home
	release, err := h.alone()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, release()) }()
	old, err := h.readKeys()
	if err != nil {
		return err
	}
	inside, err := insideOf(u.kek, u.Identity)
	if err != nil {
		return err
	}
	defer clear(inside)
	file, entry, err := to.pack(inside)
	if err != nil {
		return err
	}
	if err := replaceFile(h.dir, keysFile, file); err != nil {
		return errors.Join(err, dropKeyringSecret(entry))
	}
	if Sealing(old[0]) == ByKeyring {
		return dropKeyringSecret(old[1 : 1+saltSize])
	}
	return nil
}

// checkPrivate refuses key files that other people of this machine can read.
func checkPrivate(dir string) error {
	for _, name := range []string{keysFile, keystoreFile} {
		path := filepath.Join(dir, name)
		info, err := os.Stat(path)
		if err != nil {
			return unreadable(dir, name, err)
		}
		if mode := info.Mode().Perm(); mode&0o077 != 0 {
			return &chat.Error{
				Code:   chat.CodeConfig,
				Detail: fmt.Sprintf("other people can read the key file %s (mode %04o)", path, mode),
				Try:    "chmod 600 " + path,
			}
		}
	}
	return nil
}

package home

import (
	"bytes"
	"crypto/ed25519"
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

// The formats of the key file. Inside of each is the key of the keystore (32 bytes), the length of the
// authority's seed (a byte: 32, or 0 where we did not make the network), the seed, and the identity.
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

	home      *Home
	kek       chat.Secret
	authority []byte
}

// Authority returns the key that the network's id is the hash of; nil unless we made the network.
func (u *Unlocked) Authority() ed25519.PrivateKey {
	if u.authority == nil {
		return nil
	}
	return ed25519.NewKeyFromSeed(u.authority)
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
	if err := u.parse(inside); err != nil {
		return nil, damaged(h.dir, keysFile, err)
	}
	if u.Identity.Account() != h.profile.Account {
		return nil, damaged(h.dir, keysFile, errors.New("it belongs to another account than "+profileFile))
	}
	return u, nil
}

// parse reads what insideOf wrote.
func (u *Unlocked) parse(inside []byte) (err error) {
	const head = chacha20poly1305.KeySize + 1
	if len(inside) < head {
		return errors.New("it ends too early")
	}
	if u.kek, err = chat.ParseSecret(inside[:head-1]); err != nil {
		return err
	}
	seed, rest := int(inside[head-1]), inside[head:]
	if seed != 0 && seed != ed25519.SeedSize || len(rest) < seed {
		return fmt.Errorf("an authority's seed of %d bytes", seed)
	}
	if seed > 0 {
		u.authority = bytes.Clone(rest[:seed])
	}
	u.Identity, err = chat.ParseIdentity(rest[seed:])
	return err
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
func insideOf(kek chat.Secret, authority []byte, identity *chat.Identity) ([]byte, error) {
	id, err := identity.MarshalBinary()
	if err != nil {
		return nil, err
	}
	defer clear(id)
	inside := append(bytes.Clone(kek.Bytes()), byte(len(authority)))
	return append(append(inside, authority...), id...), nil
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
	inside, err := insideOf(u.kek, u.authority, u.Identity)
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

// checkClosed refuses a folder in which other people of this machine could put files of theirs in the place of ours.
func checkClosed(dir string) error {
	info, err := os.Stat(dir)
	if err != nil {
		return unreadable(filepath.Dir(dir), filepath.Base(dir), err)
	}
	if mode := info.Mode().Perm(); mode&0o022 != 0 {
		return &chat.Error{
			Code:   chat.CodeConfig,
			Detail: fmt.Sprintf("other people can write to the home %s (mode %04o)", dir, mode),
			Try:    "chmod 700 " + Word(dir),
		}
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

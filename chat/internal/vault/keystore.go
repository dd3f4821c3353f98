package vault

import (
	"errors"

	"golang.org/x/crypto/chacha20poly1305"

	"parley/chat/internal/wire"
)

const (
	keystoreFormat = 1
	rootSize       = nonceSize + KeySize + chacha20poly1305.Overhead
	entrySize      = len(Conversation{}) + KeySize
	keystoreSize   = 1 + rootSize + nonceSize + KeySize + chacha20poly1305.Overhead // without conversations
)

var errKeystore = errors.New("it was changed, or belongs to other keys")

// Marshal returns the keystore of the ring, sealed with a key-encryption key under a root that fill makes up: nobody who has an
// earlier keystore's root, or only the new file, learns what is in the other one.
func (r *Ring) Marshal(kek Secret, fill func([]byte)) ([]byte, error) {
	root := MadeSecret(fill)
	defer root.Wipe()
	body := make([]byte, 0, KeySize+len(r.locks)*entrySize)
	body = append(body, r.store.key.Bytes()...)
	for _, l := range r.locks {
		body = append(body, l.conversation[:]...)
		body = append(body, l.key.Bytes()...)
	}
	defer clear(body)
	file := make([]byte, 1, keystoreSize+len(body))
	file[0] = keystoreFormat
	file, err := sealInto(file, kek, root.Bytes(), fill)
	if err != nil {
		return nil, err
	}
	return sealInto(file, root, body, fill)
}

// sealInto appends nonce and ciphertext of a plaintext, bound to everything that the file holds before.
func sealInto(file []byte, key Secret, plaintext []byte, fill func([]byte)) ([]byte, error) {
	aead, err := aeadOf(key)
	if err != nil {
		return nil, err
	}
	bound := boundTo(file)
	nonce := make([]byte, nonceSize)
	fill(nonce)
	return aead.Seal(append(file, nonce...), nonce, plaintext, bound), nil
}

func boundTo(before []byte) []byte {
	return append(wire.AppendLP(nil, []byte(wire.LabelKeystore)), before...)
}

// openFrom opens what sealInto appended from at to end.
func openFrom(file []byte, at, end int, key Secret) ([]byte, error) {
	aead, err := aeadOf(key)
	if err != nil {
		return nil, err
	}
	plaintext, err := aead.Open(nil, file[at:at+nonceSize], file[at+nonceSize:end], boundTo(file[:at]))
	if err != nil {
		return nil, errKeystore
	}
	return plaintext, nil
}

// Parse reads what Marshal wrote. The error does not tell a wrong key from a file that was changed: nothing can.
func Parse(kek Secret, file []byte) (*Ring, error) {
	if len(file) < keystoreSize || (len(file)-keystoreSize)%entrySize != 0 || file[0] != keystoreFormat {
		return nil, errKeystore
	}
	opened, err := openFrom(file, 1, 1+rootSize, kek)
	if err != nil {
		return nil, err
	}
	defer clear(opened)
	root, err := NewSecret(opened)
	if err != nil {
		return nil, err
	}
	defer root.Wipe()
	body, err := openFrom(file, 1+rootSize, len(file), root)
	if err != nil {
		return nil, err
	}
	defer clear(body)
	return ringOf(body)
}

// ringOf reads the plaintext of a keystore, whose length Parse has checked.
func ringOf(body []byte) (*Ring, error) {
	store, err := NewSecret(body[:KeySize])
	if err != nil {
		return nil, err
	}
	r, err := NewRing(store)
	if err != nil {
		return nil, err
	}
	for rest := body[KeySize:]; len(rest) > 0; rest = rest[entrySize:] {
		key, err := NewSecret(rest[len(Conversation{}):entrySize])
		if err != nil {
			return nil, err
		}
		if err := r.Add(Conversation(rest[:len(Conversation{})]), key); err != nil {
			return nil, errKeystore
		}
	}
	return r, nil
}

package chat

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"errors"
	"fmt"

	"github.com/libp2p/go-libp2p/core/peer"

	"parley/chat/internal/seal"
	"parley/chat/internal/wire"
)

// AccountID is a person: the account's Ed25519 public key. Its text form is the full key; what people compare is Short.
type AccountID [ed25519.PublicKeySize]byte

// String returns the whole key in lower-case Crockford base32 (52 characters).
func (a AccountID) String() string { return wire.Base32(a[:]) }

// Short returns the form for people: 75 bits of the key's hash and a check character, "7q3k-m2fd-9xwa-tt5c".
func (a AccountID) Short() string {
	sum := sha256.Sum256(append([]byte(wire.LabelAccountID), a[:]...))
	return wire.Short(sum[:])
}

// IsZero reports whether a names nobody.
func (a AccountID) IsZero() bool { return a == AccountID{} }

// ParseAccountID reads what String wrote.
func ParseAccountID(s string) (AccountID, error) {
	var a AccountID
	return a, wire.ParseBase32(a[:], s)
}

const identityVersion = 1

// Identity is who we are on this device: the account key, the device key and the exchange key, with the certificate and the account
// record that say so. It is made once, by NewIdentity, and kept in the home as MarshalBinary wrote it. (Keys that come and go, by
// which others write to us, are in the store: prekey.go.) Its secrets never print: every format verb shows the public ids only.
type Identity struct {
	account  ed25519.PrivateKey
	device   ed25519.PrivateKey
	exchange seal.ExchangeKey

	certificate   []byte
	accountRecord []byte
	number        uint64 // sequence of the account record
}

// identitySecrets is how many secrets of wire.KeySize bytes there are.
const identitySecrets = 3

// NewIdentity makes a new account with its first device.
func NewIdentity(deviceName string) (*Identity, error) {
	secrets := make([]byte, identitySecrets*wire.KeySize)
	mustRandom(secrets)
	i, err := identityOf(secrets)
	if err != nil {
		return nil, fmt.Errorf("new identity: %w", err)
	}
	account := i.Account()
	i.certificate = wire.Certificate{
		Account: account[:], Device: string(i.Device()), Exchange: i.exchange.Public(), Name: deviceName, Sequence: 1,
	}.Sign(i.account)
	i.accountRecord = wire.AccountRecord{Account: account[:], Sequence: 1, Signed: [][]byte{i.certificate}}.Sign(i.account)
	return i, i.check()
}

// identityOf derives the keys from their seeds: account, device, exchange.
func identityOf(secrets []byte) (*Identity, error) {
	part := func(n int) []byte { return bytes.Clone(secrets[n*wire.KeySize : (n+1)*wire.KeySize]) }
	exchange, err := seal.ExchangeKeyOf(part(2))
	return &Identity{account: ed25519.NewKeyFromSeed(part(0)), device: ed25519.NewKeyFromSeed(part(1)), exchange: exchange}, err
}

// MarshalBinary returns the identity with all its secrets: keep it in a file of mode 0600.
func (i *Identity) MarshalBinary() ([]byte, error) {
	b := []byte{identityVersion}
	for _, secret := range [][]byte{i.account.Seed(), i.device.Seed(), i.exchange.Bytes()} {
		b = append(b, secret...)
	}
	for _, public := range [][]byte{i.certificate, i.accountRecord} {
		b = wire.AppendLP(b, public)
	}
	return b, nil
}

// ParseIdentity reads what MarshalBinary wrote. The error says that the bytes are damaged and how, without showing any.
func ParseIdentity(b []byte) (*Identity, error) {
	r := wire.NewReader(b)
	r.Version(identityVersion)
	secrets := make([]byte, identitySecrets*wire.KeySize)
	r.Fill(secrets)
	certificate, account := r.LP(MaxRecord), r.LP(MaxRecord)
	if err := r.Close(); err != nil {
		return nil, fmt.Errorf("keys: %w", err)
	}
	i, err := identityOf(secrets)
	if err != nil {
		return nil, fmt.Errorf("keys: %w", err)
	}
	i.certificate, i.accountRecord = bytes.Clone(certificate), bytes.Clone(account)
	return i, i.check()
}

// check holds keys and records against each other, so that no damage goes unnoticed.
func (i *Identity) check() error {
	c, err1 := wire.ParseCertificate(i.certificate)
	a, err2 := wire.ParseAccountRecord(i.accountRecord)
	if err := errors.Join(err1, err2); err != nil {
		return fmt.Errorf("keys: %w", err)
	}
	account := i.Account()
	switch {
	case !bytes.Equal(c.Account, account[:]) || !bytes.Equal(a.Account, account[:]):
		return errors.New("keys: the account key and its certificate do not match")
	case c.Device != string(i.Device()):
		return errors.New("keys: the device key and its certificate do not match")
	case !bytes.Equal(c.Exchange, i.exchange.Public()):
		return errors.New("keys: the exchange key and its certificate do not match")
	case len(a.Signed) == 0 || !bytes.Equal(a.Signed[0], i.certificate):
		return errors.New("keys: the account record and the certificate do not match")
	}
	i.number = a.Sequence
	return nil
}

// sequence returns the sequence number of our account record.
func (i *Identity) sequence() uint64 { return i.number }

// Account returns the account's id.
func (i *Identity) Account() AccountID { return AccountID(i.account[wire.KeySize:]) }

// Device returns this device's id, which is its libp2p peer id.
func (i *Identity) Device() peer.ID {
	return peer.ID(wire.DeviceID(ed25519.PublicKey(i.device[wire.KeySize:])))
}

// DeviceKey returns the key that the libp2p host runs under.
func (i *Identity) DeviceKey() ed25519.PrivateKey { return i.device }

// String shows the public ids.
func (i Identity) String() string { return i.Account().Short() + " on " + i.Device().String() }

// Format shows the public ids whatever the verb, so that no %+v prints a secret.
func (i Identity) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(i.String())) }

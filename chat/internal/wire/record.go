package wire

import (
	"crypto/ed25519"
	"crypto/hpke"
	"crypto/mlkem"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"unicode/utf8"
)

const recordVersion = 1

// Types of signed objects, behind the version byte.
const (
	typeCertificate = 1
	typeAccount     = 2
	typeDevice      = 3
	typePrekey      = 4
	typeOneTime     = 5
)

// Limits of records.
const (
	maxDevices   = 5   // certificates in an account record
	maxRevoked   = 64  // peer ids in an account record
	maxMailboxes = 3   // hosts in a device record
	maxPrekeys   = 8   // prekeys in a device record
	MaxSigned    = 512 // bytes of one certificate
)

// Certificate says that a device belongs to an account. The account key signs it.
type Certificate struct {
	Account  ed25519.PublicKey
	Device   string // peer id
	Exchange []byte // IK, X25519
	Name     string // of the device
	Sequence uint64
}

// Sign returns the certificate's bytes.
func (c Certificate) Sign(key ed25519.PrivateKey) []byte {
	b := []byte{recordVersion, typeCertificate}
	b = AppendLP(b, c.Account)
	b = AppendLP(b, []byte(c.Device))
	b = AppendLP(b, c.Exchange)
	b = AppendLP(b, []byte(c.Name))
	b = binary.BigEndian.AppendUint64(b, c.Sequence)
	return Sign(LabelCertificate, key, b)
}

// ParseCertificate reads and verifies a certificate.
func ParseCertificate(b []byte) (Certificate, error) {
	body, signature, err := Split(b)
	if err != nil {
		return Certificate{}, fmt.Errorf("certificate: %w", err)
	}
	r := header(body, typeCertificate)
	c := Certificate{
		Account: r.LP(KeySize), Device: string(r.LP(DeviceIDSize)), Exchange: r.LP(KeySize),
		Name: string(r.LP(MaxName)), Sequence: r.U64(),
	}
	if err := r.Close(); err != nil {
		return Certificate{}, fmt.Errorf("certificate: %w", err)
	}
	if c.Sequence == 0 || !utf8.ValidString(c.Name) {
		return Certificate{}, errors.New("certificate: not canonical")
	}
	_, badDevice := DeviceKey(c.Device)
	if err := errors.Join(CheckSigningKey(c.Account), badDevice, CheckExchangeKey(c.Exchange)); err != nil {
		return Certificate{}, fmt.Errorf("certificate: %w", err)
	}
	if err := Verify(LabelCertificate, c.Account, body, signature); err != nil {
		return Certificate{}, fmt.Errorf("certificate: %w", err)
	}
	return c, nil
}

// AccountRecord lists an account's devices. The account key signs it.
type AccountRecord struct {
	Account      ed25519.PublicKey
	Sequence     uint64
	Prev         [32]byte // hash of the record before
	Certificates []Certificate
	Signed       [][]byte // the same certificates as bytes
	Revoked      []string // peer ids, a set that only grows, sorted
}

// Sign returns the record's bytes; Signed holds the certificates, Certificates is ignored.
func (a AccountRecord) Sign(key ed25519.PrivateKey) []byte {
	b := []byte{recordVersion, typeAccount}
	b = AppendLP(b, a.Account)
	b = binary.BigEndian.AppendUint64(b, a.Sequence)
	b = append(b, a.Prev[:]...)
	b = append(b, byte(len(a.Signed)))
	for _, c := range a.Signed {
		b = AppendLP(b, c)
	}
	b = append(b, byte(len(a.Revoked)))
	for _, id := range a.Revoked {
		b = AppendLP(b, []byte(id))
	}
	return Sign(LabelAccount, key, b)
}

// ParseAccountRecord reads and verifies an account record with every certificate in it.
func ParseAccountRecord(b []byte) (AccountRecord, error) {
	body, signature, err := Split(b)
	if err != nil || len(b) > MaxRecord {
		return AccountRecord{}, fmt.Errorf("account record of %d bytes", len(b))
	}
	r := header(body, typeAccount)
	a := AccountRecord{Account: r.LP(KeySize), Sequence: r.U64()}
	r.Fill(a.Prev[:])
	for range r.count(maxDevices) {
		a.Signed = append(a.Signed, r.LP(MaxSigned))
	}
	for range r.count(maxRevoked) {
		a.Revoked = append(a.Revoked, string(r.LP(DeviceIDSize)))
	}
	if err := r.Close(); err != nil {
		return AccountRecord{}, fmt.Errorf("account record: %w", err)
	}
	if err := CheckSigningKey(a.Account); err != nil {
		return AccountRecord{}, fmt.Errorf("account record: %w", err)
	}
	if err := Verify(LabelAccount, a.Account, body, signature); err != nil {
		return AccountRecord{}, fmt.Errorf("account record: %w", err)
	}
	return a, a.check()
}

// check verifies what the account signed: certificates of its own, for different devices, and a sorted set of revoked ones.
func (a *AccountRecord) check() error {
	if !ascending(a.Revoked) || a.Sequence == 0 {
		return errors.New("account record: not canonical")
	}
	if err := deviceIDs(a.Revoked); err != nil {
		return fmt.Errorf("account record: %w", err)
	}
	seen := map[string]bool{}
	for _, b := range a.Signed {
		c, err := ParseCertificate(b)
		if err != nil {
			return fmt.Errorf("account record: %w", err)
		}
		if !slices.Equal(c.Account, a.Account) || seen[c.Device] {
			return errors.New("account record: foreign or repeated certificate")
		}
		seen[c.Device] = true
		a.Certificates = append(a.Certificates, c)
	}
	return nil
}

// Purposes of prekeys; numbers are never reused.
const (
	PurposeSigned     = 1 // X25519, the session handshake's
	PurposeLastKEM    = 2 // ML-KEM-768, the last resort
	PurposeOneTime    = 3 // X25519
	PurposeOneTimeKEM = 4 // ML-KEM-768
	PurposeEnvelope   = 5 // X-Wing
)

// Prekey is a public key that others may encrypt to.
type Prekey struct {
	Purpose byte
	Key     []byte
}

// DeviceRecord says how to write to a device. The device key signs it, and every prekey in it on its own.
type DeviceRecord struct {
	Device    string
	Account   []byte // whom it speaks for: a certificate alone binds no device that does not say so itself
	Sequence  uint64
	Instance  [16]byte // random, new whenever an old state may have been restored
	Prekeys   []Prekey
	Mailboxes []string // peer ids
}

// Sign returns the record's bytes.
func (d DeviceRecord) Sign(key ed25519.PrivateKey) []byte {
	b := []byte{recordVersion, typeDevice}
	b = AppendLP(b, []byte(d.Device))
	b = AppendLP(b, d.Account)
	b = binary.BigEndian.AppendUint64(b, d.Sequence)
	b = append(b, d.Instance[:]...)
	b = append(b, byte(len(d.Prekeys)))
	for _, p := range d.Prekeys {
		b = appendPrekey(b, d.Device, p, key)
	}
	b = append(b, byte(len(d.Mailboxes)))
	for _, id := range d.Mailboxes {
		b = AppendLP(b, []byte(id))
	}
	return Sign(LabelDevice, key, b)
}

// appendPrekey appends a prekey with its own signature.
func appendPrekey(b []byte, device string, p Prekey, key ed25519.PrivateKey) []byte {
	b = AppendLP(append(b, p.Purpose), p.Key)
	return append(b, ed25519.Sign(key, signed(LabelPrekey, prekeyBody(device, p)))...)
}

func prekeyBody(device string, p Prekey) []byte {
	b := []byte{recordVersion, typePrekey, p.Purpose}
	b = AppendLP(b, []byte(device))
	return AppendLP(b, p.Key)
}

// ParseDeviceRecord reads and verifies a device record.
func ParseDeviceRecord(b []byte) (DeviceRecord, error) {
	body, signature, err := Split(b)
	if err != nil || len(b) > MaxRecord {
		return DeviceRecord{}, fmt.Errorf("device record of %d bytes", len(b))
	}
	r := header(body, typeDevice)
	d := DeviceRecord{Device: string(r.LP(DeviceIDSize)), Account: r.LP(KeySize), Sequence: r.U64()}
	key, err := DeviceKey(d.Device)
	if err != nil {
		return DeviceRecord{}, fmt.Errorf("device record: %w", err)
	}
	if err := Verify(LabelDevice, key, body, signature); err != nil {
		return DeviceRecord{}, fmt.Errorf("device record: %w", err)
	}
	r.Fill(d.Instance[:])
	for range r.count(maxPrekeys) {
		d.Prekeys = append(d.Prekeys, r.prekey(d.Device, key))
	}
	for range r.count(maxMailboxes) {
		d.Mailboxes = append(d.Mailboxes, string(r.LP(DeviceIDSize)))
	}
	if d.Sequence == 0 {
		r.Fail("sequence number 0")
	}
	if err := CheckSigningKey(d.Account); err != nil {
		r.Fail("account: %w", err)
	}
	if err := deviceIDs(d.Mailboxes); err != nil {
		r.Fail("mailboxes: %w", err)
	}
	if err := r.Close(); err != nil {
		return DeviceRecord{}, fmt.Errorf("device record: %w", err)
	}
	return d, nil
}

// Prekey returns the device's key for a purpose; nil when the record holds none.
func (d DeviceRecord) Prekey(purpose byte) []byte {
	for _, p := range d.Prekeys {
		if p.Purpose == purpose {
			return p.Key
		}
	}
	return nil
}

// prekey reads one prekey and checks its signature and, of those that we use, the key.
func (r *Reader) prekey(device string, key ed25519.PublicKey) Prekey {
	p := Prekey{Purpose: r.Byte(), Key: r.LP(EnvelopeKey)}
	signature := r.Take(SignatureSize)
	if r.err != nil {
		return p
	}
	if err := Verify(LabelPrekey, key, prekeyBody(device, p), signature); err != nil {
		r.Fail("prekey: %w", err)
	}
	if err := p.check(); err != nil {
		r.Fail("prekey: %w", err)
	}
	return p
}

// check refuses keys that are not what their purpose says.
func (p Prekey) check() error {
	switch p.Purpose {
	case PurposeSigned, PurposeOneTime:
		return CheckExchangeKey(p.Key)
	case PurposeLastKEM, PurposeOneTimeKEM:
		_, err := mlkem.NewEncapsulationKey768(p.Key)
		return err
	case PurposeEnvelope:
		return CheckEnvelopeKey(p.Key)
	}
	return fmt.Errorf("purpose %d", p.Purpose)
}

// ascending reports whether a list is a set in its canonical order.
func ascending(list []string) bool {
	for i := range list[min(1, len(list)):] {
		if list[i] >= list[i+1] {
			return false
		}
	}
	return true
}

func deviceIDs(list []string) error {
	for _, id := range list {
		if _, err := DeviceKey(id); err != nil {
			return err
		}
	}
	return nil
}

// CheckEnvelopeKey refuses X-Wing keys that the library cannot encapsulate to, or whose X25519 half is not canonical.
func CheckEnvelopeKey(key []byte) error {
	if len(key) != EnvelopeKey {
		return fmt.Errorf("envelope key of %d bytes", len(key))
	}
	if _, err := hpke.MLKEM768X25519().NewPublicKey(key); err != nil {
		return fmt.Errorf("envelope key: %w", err)
	}
	return CheckExchangeKey(key[EnvelopeKey-KeySize:])
}

// header starts a signed object: version and type.
func header(body []byte, want byte) *Reader {
	r := NewReader(body)
	r.Version(recordVersion)
	if t := r.Byte(); r.err == nil && t != want {
		r.Fail("object type %d, want %d", t, want)
	}
	return r
}

// count reads a count of at most limit.
func (r *Reader) count(limit int) int {
	n := int(r.Byte())
	if n > limit {
		r.Fail("%d entries, at most %d", n, limit)
		return 0
	}
	return n
}

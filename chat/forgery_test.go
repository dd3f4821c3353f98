package chat

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/libp2p/go-libp2p/core/peer"

	"parley/chat/internal/seal"
	"parley/chat/internal/wire"
)

// vault is a store for these tests of rejection: it holds nothing, and fails the test when somebody writes.
type vault struct {
	Tx
	t       *testing.T
	records map[string]RecordRow
	friends []AccountID
	last    MessageRow
	writes  int
}

func (v *vault) LastMessage() (MessageRow, bool, error) { return v.last, !v.last.Row.IsZero(), nil }

func (v *vault) Conversation(ConversationID) (ConversationRow, bool, error) {
	return ConversationRow{}, false, nil
}

func (v *vault) Contact(a AccountID) (ContactRow, bool, error) {
	return ContactRow{Account: a}, slices.Contains(v.friends, a), nil
}

func (v *vault) Request(AccountID) (RequestRow, bool, error) { return RequestRow{}, false, nil }
func (v *vault) Held(...EnvelopeID) ([]HeldRow, error)       { return nil, nil }

func (v *vault) Update(_ context.Context, fn func(Tx) error) error { return fn(v) }
func (v *vault) View(_ context.Context, fn func(Tx) error) error   { return fn(v) }

func (v *vault) Seen(...EnvelopeID) ([]SeenRow, error) { return nil, nil }
func (v *vault) Record(key string) (RecordRow, bool, error) {
	r, ok := v.records[key]
	return r, ok, nil
}

func (v *vault) PutRecord(r RecordRow) error {
	v.records[r.Key] = r
	v.writes++
	return nil
}

// newVault returns a vault of somebody with these contacts.
func newVault(t *testing.T, friends ...AccountID) *vault {
	return &vault{t: t, records: map[string]RecordRow{}, friends: friends}
}

// InsertMessage makes a message the newest.
func (v *vault) InsertMessage(m MessageRow) error {
	v.last = m
	return nil
}

func identity(t *testing.T) *Identity {
	t.Helper()
	i, err := NewIdentity("test")
	if err != nil {
		t.Fatal(err)
	}
	return i
}

func messengerOf(t *testing.T, i *Identity, network Network, s Store) *Messenger {
	t.Helper()
	return New(Config{Identity: i, Name: "test", Network: network, Store: s, Keys: newKeys(t)})
}

// keys are what one messenger's rows are sealed with, in memory.
type keys struct {
	kek      Secret
	keystore []byte
}

func newKeys(t testing.TB) *keys {
	t.Helper()
	k := &keys{kek: NewSecret()}
	var err error
	if k.keystore, err = NewKeystore(k.kek); err != nil {
		t.Fatal(err)
	}
	return k
}

func (k *keys) KEK() Secret               { return k.kek }
func (k *keys) Keystore() ([]byte, error) { return k.keystore, nil }
func (k *keys) ReplaceKeystore(keystore []byte) error {
	k.keystore = keystore
	return nil
}

func TestPinnedRecordsNeverRollBack(t *testing.T) {
	store := newVault(t)
	m := messengerOf(t, identity(t), Network{}, store)
	for _, step := range []struct {
		sequence uint64
		value    string
		want     string
	}{{2, "two", "two"}, {1, "one", "two"}, {2, "fork", "two"}, {2, "two", "two"}, {3, "three", "three"}} {
		if err := m.pin(store, "/account/x", step.sequence, []byte(step.value)); err != nil {
			t.Fatal(err)
		}
		if got := string(store.records["/account/x"].Value); got != step.want {
			t.Errorf("after %q with %d: %q is pinned, want %q", step.value, step.sequence, got, step.want)
		}
	}
}

func TestARevocationIsNeverTakenBack(t *testing.T) {
	store := newVault(t)
	i, other := identity(t), identity(t)
	account := i.Account()
	m := messengerOf(t, i, Network{}, store)
	record := func(sequence uint64, revoked ...string) []byte {
		return wire.AccountRecord{Account: account[:], Sequence: sequence, Revoked: revoked}.Sign(i.account)
	}
	key := accountRecordKey(account)
	for _, step := range []struct {
		sequence, want uint64
		value          []byte
	}{{1, 1, record(1)}, {2, 2, record(2, string(other.Device()))}, {3, 2, record(3)}, {4, 4, record(4, string(other.Device()))}} {
		if err := m.pin(store, key, step.sequence, step.value); err != nil {
			t.Fatal(err)
		}
		if got := store.records[key].Sequence; got != step.want {
			t.Errorf("after record %d: %d is pinned, want %d", step.sequence, got, step.want)
		}
	}
}

func TestValidatorsTakeARecordUnderItsOwnKeyAlone(t *testing.T) {
	alice, bob := identity(t), identity(t)
	v := Validators()
	if nouns := slices.Sorted(maps.Keys(v)); !slices.Equal(nouns, []string{"account", "device"}) {
		t.Fatalf("nouns = %v", nouns)
	}
	self := alice.Account()
	deviceRecord := wire.DeviceRecord{Device: string(alice.Device()), Account: self[:], Sequence: 1}.Sign(alice.device)
	accountOf := func(i *Identity) string { return strings.TrimPrefix(accountRecordKey(i.Account()), "/account/") }
	for _, test := range []struct {
		noun, id string
		value    []byte
		ok       bool
	}{
		{"account", accountOf(alice), alice.accountRecord, true},
		{"account", accountOf(bob), alice.accountRecord, false},
		{"account", accountOf(alice), deviceRecord, false},
		{"device", alice.Device().String(), deviceRecord, true},
		{"device", bob.Device().String(), deviceRecord, false},
		{"device", alice.Device().String(), nil, false},
	} {
		if sequence, err := v[test.noun](test.id, test.value); (err == nil) != test.ok || test.ok && sequence != 1 {
			t.Errorf("%s record of %d bytes under %s: %d, %v; want ok %v", test.noun, len(test.value), test.id, sequence, err, test.ok)
		}
	}
}

func TestAnIdentityReadsBackAndEveryDamageShows(t *testing.T) {
	i := identity(t)
	b, err := i.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	again, err := ParseIdentity(b)
	if err != nil || again.Account() != i.Account() || again.Device() != i.Device() || !again.DeviceKey().Equal(i.DeviceKey()) {
		t.Fatalf("read back: %v, %v", again, err)
	}
	for at := 0; at < len(b); at += 7 {
		bad := slices.Clone(b)
		bad[at] ^= 4
		if _, err := ParseIdentity(bad); err == nil && at > 0 {
			if bytes.Equal(clamped(bad), clamped(b)) {
				continue // three bits of an X25519 key do not count
			}
			t.Errorf("byte %d changed: not noticed", at)
		}
	}
	for n := range 64 {
		if _, err := ParseIdentity(b[:n*len(b)/64]); err == nil {
			t.Errorf("%d of 64 parts pass", n)
		}
	}
}

// clamped returns a marshalled identity without the bits of its X25519 key that X25519 ignores.
func clamped(b []byte) []byte {
	b = slices.Clone(b)
	x := b[1+2*ed25519.SeedSize:]
	x[0] &= 248
	x[31] = x[31]&127 | 64
	return b
}

func TestSecretsDoNotPrint(t *testing.T) {
	i := identity(t)
	network, _, _ := NewNetwork("home", true)
	invite := Invite{Kind: InviteNetwork, Network: network, Account: i.Account()}
	secrets := []string{
		fmt.Sprintf("%x", i.account.Seed()), fmt.Sprintf("%x", i.device.Seed()), fmt.Sprintf("%x", i.exchange.Bytes()), fmt.Sprintf("%x", network.PSK),
		fmt.Sprint(i.account.Seed()), fmt.Sprint(network.PSK), string(network.PSK), wire.Base32(network.PSK),
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		for _, value := range []any{i, *i, network, &network, invite, &invite} {
			out := fmt.Sprintf(verb, value)
			for _, secret := range secrets {
				if strings.Contains(out, secret) {
					t.Errorf("%s of %T shows a secret: %.20s…", verb, value, out)
				}
			}
		}
	}
}

func TestIDsBindAuthorDeviceAndContent(t *testing.T) {
	base := messageID(AccountID{1}, peer.ID("d"), []byte("c"))
	for name, id := range map[string]MessageID{
		"account": messageID(AccountID{2}, peer.ID("d"), []byte("c")),
		"device":  messageID(AccountID{1}, peer.ID("e"), []byte("c")),
		"content": messageID(AccountID{1}, peer.ID("d"), []byte("b")),
		"border":  messageID(AccountID{1}, peer.ID("dc"), []byte("")),
	} {
		if id == base {
			t.Errorf("another %s, the same id", name)
		}
	}
	a, b := AccountID{1}, AccountID{2}
	if DirectConversation(a, b) != DirectConversation(b, a) || DirectConversation(a, b) == DirectConversation(a, a) {
		t.Error("a direct conversation's id depends on who asks, or on nobody")
	}
	c := DirectConversation(a, b)
	if got, err := ParseConversationID(c.String()); err != nil || got != c {
		t.Errorf("conversation id read back: %v, %v", got, err)
	}
	if got, err := ParseMessageID(base.String()); err != nil || got != base {
		t.Errorf("message id read back: %v, %v", got, err)
	}
	if got, err := ParseAccountID(a.String()); err != nil || got != a {
		t.Errorf("account id read back: %v, %v", got, err)
	}
}

// withKeys gives a messenger its first keys, and returns the device record that shows them.
func withKeys(t *testing.T, m *Messenger) ([]byte, *keyring) {
	t.Helper()
	g, err := seal.NewGeneration(1, 0)
	if err != nil {
		t.Fatal(err)
	}
	r := ring{generations: []seal.Generation{g}}
	m.sign(&r, 0)
	m.keys.set(r)
	return r.record, m.keys
}

// TestAStreamOpensAtItsDeviceAlone has Alice seal a stream to Bob, whose record she has pinned.
func TestAStreamOpensAtItsDeviceAlone(t *testing.T) {
	network, _, _ := NewNetwork("home", true)
	other, _, _ := NewNetwork("home", true)
	aliceID, bobID, carolID := identity(t), identity(t), identity(t)
	store := newVault(t)
	alice, bob := messengerOf(t, aliceID, network, store), messengerOf(t, bobID, network, store)
	carolsRecord, _ := withKeys(t, messengerOf(t, carolID, network, store))
	bobsRecord, keys := withKeys(t, bob)
	pins := func(record []byte) {
		t.Helper()
		row := RecordRow{Key: deviceRecordKey(bobID.Device()), Value: record}
		if err := alice.update(t.Context(), func(tx Tx, _ *aftermath) error { return tx.PutRecord(row) }); err != nil {
			t.Fatal(err)
		}
	}
	if _, _, err := alice.SealStream(bobID.Device()); err == nil || !strings.Contains(err.Error(), "not known") {
		t.Fatalf("sealed to a device that nobody knows: %v", err)
	}
	for name, record := range map[string][]byte{"rubbish": []byte("record"), "Carol's": carolsRecord} {
		pins(record)
		if _, _, err := alice.SealStream(bobID.Device()); err == nil {
			t.Errorf("sealed to Bob by a record that is %s", name)
		}
	}
	pins(bobsRecord)
	header, next, err := alice.SealStream(bobID.Device())
	if err != nil {
		t.Fatal(err)
	}
	record, err := next([]byte("envelope"))
	if err != nil {
		t.Fatal(err)
	}
	open, err := bob.OpenStream(aliceID.Device(), header)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := open(record); err != nil || string(got) != "envelope" {
		t.Errorf("Bob opens %q, %v", got, err)
	}
	for name, m := range map[string]*Messenger{
		"Carol": messengerOf(t, carolID, network, store), "Bob in another network": messengerOf(t, bobID, other, store),
	} {
		m.keys = keys // even with Bob's keys
		if open, err := m.OpenStream(aliceID.Device(), header); err == nil {
			if _, err := open(record); err == nil {
				t.Errorf("%s opens what is sealed to Bob", name)
			}
		}
	}
	for _, bad := range [][]byte{nil, header[:100], record} {
		if _, err := bob.OpenStream(aliceID.Device(), bad); err == nil {
			t.Errorf("%d bytes are a header", len(bad))
		}
	}
}

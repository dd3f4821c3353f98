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
	last    MessageRow
	writes  int
}

func (v *vault) LastMessage() (MessageRow, bool, error) { return v.last, !v.last.Row.IsZero(), nil }

func (v *vault) Conversation(ConversationID) (ConversationRow, bool, error) {
	return ConversationRow{}, false, nil
}

func (v *vault) Update(_ context.Context, fn func(Tx) error) error { return fn(v) }
func (v *vault) View(_ context.Context, fn func(Tx) error) error   { return fn(v) }

func (v *vault) Seen(EnvelopeID) (SeenRow, bool, error) { return SeenRow{}, false, nil }
func (v *vault) Record(key string) (RecordRow, bool, error) {
	r, ok := v.records[key]
	return r, ok, nil
}

func (v *vault) PutRecord(r RecordRow) error {
	v.records[r.Key] = r
	v.writes++
	return nil
}

func (v *vault) InsertMessage(m MessageRow) error {
	v.last = m
	return nil
}

func newVault(t *testing.T) *vault { return &vault{t: t, records: map[string]RecordRow{}} }

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

func (i *Identity) asRecipient() recipient {
	return recipient{i.Account(), i.Device(), i.envelope.Public()}
}

// TestWhatNobodyWroteIsDropped sends Bob what an attacker with all the network's keys, and keys of their own, can make.
func TestWhatNobodyWroteIsDropped(t *testing.T) {
	network, _, err := NewNetwork("home", true)
	if err != nil {
		t.Fatal(err)
	}
	other, _, _ := NewNetwork("home", true)
	aliceID, bobID, carolID, malloryID := identity(t), identity(t), identity(t), identity(t)
	store := newVault(t)
	bob := messengerOf(t, bobID, network, store)
	alice := messengerOf(t, aliceID, network, store)
	mallory := messengerOf(t, malloryID, network, store)

	text := func(conversation ConversationID, kind Kind, payload string) []byte {
		return wire.Content{Conversation: conversation, Kind: byte(kind), Seq: 1, Payload: []byte(payload)}.Append(nil)
	}
	aliceToBob := DirectConversation(aliceID.Account(), bobID.Account())
	sealed := func(m *Messenger, to recipient, content []byte) []byte {
		e, _, err := m.seal(to, content)
		if err != nil {
			t.Fatal(err)
		}
		return e
	}
	// stolen is signed by Mallory, under Alice's certificate.
	stolen := *malloryID
	stolen.certificate = aliceID.certificate
	thief := messengerOf(t, &stolen, network, store)
	thief.self, thief.device = aliceID.Account(), aliceID.Device()
	// toCarol is Alice's honest message to Carol, which Carol seals to Bob again.
	honest := sealed(alice, carolID.asRecipient(), text(DirectConversation(aliceID.Account(), carolID.Account()), KindText, "for Carol"))
	inside, _, err := carolID.envelope.Open(network.ID, string(carolID.Device()), honest)
	if err != nil {
		t.Fatal(err)
	}
	forwarded, _, err := seal.Box(seal.Address{Network: network.ID, Device: string(bobID.Device()), Key: bobID.envelope.Public()}, inside)
	if err != nil {
		t.Fatal(err)
	}
	valid := sealed(alice, bobID.asRecipient(), text(aliceToBob, KindText, "hello"))
	if _, err := bob.open(valid); err != nil {
		t.Fatalf("Alice's honest message does not open: %v", err)
	}
	for name, envelope := range map[string][]byte{
		"nothing":                           {},
		"noise":                             bytes.Repeat([]byte{7}, 2000),
		"an honest message, cut":            valid[:len(valid)-1],
		"under Alice's certificate":         sealed(thief, bobID.asRecipient(), text(aliceToBob, KindText, "pay Mallory")),
		"Alice's words to Carol, passed on": forwarded,
		"for Carol":                         honest,
		"from another network":              sealed(messengerOf(t, aliceID, other, store), bobID.asRecipient(), text(aliceToBob, KindText, "x")),
		"into Alice's conversation":         sealed(mallory, bobID.asRecipient(), text(aliceToBob, KindText, "x")),
		"from ourselves":                    sealed(bob, bobID.asRecipient(), text(DirectConversation(bobID.Account(), bobID.Account()), KindText, "x")),
		"of no known kind":                  sealed(alice, bobID.asRecipient(), text(aliceToBob, 99, "x")),
		"an empty text":                     sealed(alice, bobID.asRecipient(), text(aliceToBob, KindText, "")),
		"a text that is none":               sealed(alice, bobID.asRecipient(), text(aliceToBob, KindText, "\xff")),
		"a text too long":                   sealed(alice, bobID.asRecipient(), text(aliceToBob, KindText, strings.Repeat("x", MaxText+1))),
		"a stranger's receipt":              sealed(alice, bobID.asRecipient(), text(aliceToBob, KindReceipt, string(wire.AppendReceipt(nil, [][32]byte{{1}})))),
		"a receipt for nothing":             sealed(alice, bobID.asRecipient(), text(aliceToBob, KindReceipt, "\x00\x00")),
		"a card that is none":               sealed(alice, bobID.asRecipient(), text(aliceToBob, KindCard, "card")),
		"a card with Mallory's records":     sealed(alice, bobID.asRecipient(), text(aliceToBob, KindCard, string(wire.Card{Name: "A", Account: malloryID.accountRecord, Device: malloryID.deviceRecord}.Append(nil)))),
	} {
		tags, err := bob.Receive(t.Context(), malloryID.Device(), [][]byte{envelope})
		if err != nil || len(tags) != 1 || !bytes.Equal(tags[0], make([]byte, 16)) {
			t.Errorf("%s: tag %x, %v; want it dropped with a tag of zeros", name, tags, err)
		}
	}
	if store.writes != 0 {
		t.Errorf("dropped envelopes wrote %d rows", store.writes)
	}
}

func TestARevokedDeviceIsNotHeard(t *testing.T) {
	network, _, _ := NewNetwork("home", true)
	aliceID, bobID := identity(t), identity(t)
	account := aliceID.Account()
	store := newVault(t)
	record := wire.AccountRecord{Account: account[:], Sequence: 2, Signed: [][]byte{aliceID.certificate}, Revoked: []string{string(aliceID.Device())}}
	content := wire.Content{Conversation: DirectConversation(account, bobID.Account()), Kind: byte(KindText), Seq: 1, Payload: []byte("x")}.Append(nil)
	envelope, _, err := messengerOf(t, aliceID, network, store).seal(bobID.asRecipient(), content)
	if err != nil {
		t.Fatal(err)
	}
	bob := messengerOf(t, bobID, network, store)
	err = bob.update(t.Context(), func(tx Tx, _ *aftermath) error {
		return tx.PutRecord(RecordRow{Key: accountRecordKey(account), Sequence: 2, Value: record.Sign(aliceID.account)})
	})
	if err != nil {
		t.Fatal(err)
	}
	if tags, err := bob.Receive(t.Context(), "", [][]byte{envelope}); err != nil || !bytes.Equal(tags[0], make([]byte, 16)) {
		t.Errorf("a revoked device is heard: %x, %v", tags, err)
	}
	err = bob.look(t.Context(), func(tx Tx) error {
		to, err := bob.recipients(tx, account)
		if len(to) != 0 {
			t.Errorf("a revoked device is written to: %v", to)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
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
	accountOf := func(i *Identity) string { return strings.TrimPrefix(accountRecordKey(i.Account()), "/account/") }
	for _, test := range []struct {
		noun, id string
		value    []byte
		ok       bool
	}{
		{"account", accountOf(alice), alice.accountRecord, true},
		{"account", accountOf(bob), alice.accountRecord, false},
		{"account", accountOf(alice), alice.deviceRecord, false},
		{"device", alice.Device().String(), alice.deviceRecord, true},
		{"device", bob.Device().String(), alice.deviceRecord, false},
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
		fmt.Sprintf("%x", i.account.Seed()), fmt.Sprintf("%x", i.device.Seed()), fmt.Sprintf("%x", i.seed), fmt.Sprintf("%x", network.PSK),
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

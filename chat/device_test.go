package chat

import (
	"bytes"
	"context"
	"maps"
	"slices"
	"testing"

	"github.com/libp2p/go-libp2p/core/peer"

	"parley/chat/internal/wire"
)

// Stories of devices that change hands, told with letters as they come out of their envelopes, on a store for contacts alone.

// book is a store for an address book, in memory.
type book struct {
	Tx
	contacts map[AccountID]ContactRow
	requests map[AccountID]RequestRow
	records  map[string]RecordRow
	held     []HeldRow
	told     []EventType
	events   uint64
}

func newBook() *book {
	return &book{contacts: map[AccountID]ContactRow{}, requests: map[AccountID]RequestRow{}, records: map[string]RecordRow{}}
}

func (b *book) Update(_ context.Context, fn func(Tx) error) error { return fn(b) }
func (b *book) View(_ context.Context, fn func(Tx) error) error   { return fn(b) }

func (b *book) Contact(a AccountID) (ContactRow, bool, error) {
	c, ok := b.contacts[a]
	return c, ok, nil
}

func (b *book) PutContact(c ContactRow) error {
	b.contacts[c.Account] = c
	return nil
}

func (b *book) Request(a AccountID) (RequestRow, bool, error) {
	r, ok := b.requests[a]
	return r, ok, nil
}

func (b *book) Requests() (all []RequestRow, err error) {
	for _, r := range b.requests {
		all = append(all, r)
	}
	return all, nil
}

func (b *book) PutRequest(r RequestRow) error {
	b.requests[r.Account] = r
	return nil
}

func (b *book) Record(key string) (RecordRow, bool, error) {
	r, ok := b.records[key]
	return r, ok, nil
}

func (b *book) PutRecord(r RecordRow) error {
	b.records[r.Key] = r
	return nil
}

func (b *book) AppendEvent(e Event) (uint64, error) {
	b.told = append(b.told, e.Type)
	b.events++
	return b.events, nil
}

func (b *book) LastEvent() (uint64, error)                           { return b.events, nil }
func (b *book) Held(...EnvelopeID) ([]HeldRow, error)                { return nil, nil }
func (b *book) HeldOf(AccountID) ([]HeldRow, error)                  { return b.held, nil }
func (b *book) PutHeld(h HeldRow) error                              { b.held = append(b.held, h); return nil }
func (b *book) DeleteHeldOf(AccountID) error                         { b.held = nil; return nil }
func (b *book) Contacts() (all []ContactRow, err error)              { return nil, nil }
func (b *book) Stats() (Stats, error)                                { return Stats{}, nil }
func (b *book) Waits(AccountID) (bool, error)                        { return false, nil }
func (b *book) Sessions(peer.ID) ([]SessionRow, error)               { return nil, nil }
func (b *book) Secrets(SecretKind, int) ([]SecretRow, error)         { return nil, nil }
func (b *book) OutboxOf(peer.ID, RowID, int) ([]OutboxRow, error)    { return nil, nil }
func (b *book) Unaddressed(AccountID, peer.ID, int) ([]RowID, error) { return nil, nil }
func (b *book) PutConversation(ConversationRow) error                { return nil }
func (b *book) Conversation(c ConversationID) (ConversationRow, bool, error) {
	return ConversationRow{}, false, nil
}

// linkKeys is a link key that always was.
type linkKeys struct{ key LinkKey }

func (k linkKeys) LinkKey() LinkKey  { return k.key }
func (k linkKeys) RenewLinks() error { return nil }

// record signs an account record of an identity for the given devices.
func recordOf(i *Identity, sequence uint64, devices, revoked []*Identity) []byte {
	account := i.Account()
	r := wire.AccountRecord{Account: account[:], Sequence: sequence}
	for _, d := range devices {
		r.Signed = append(r.Signed, wire.Certificate{
			Account: account[:], Device: string(d.Device()), Exchange: d.exchange.Public(), Name: "d", Sequence: sequence,
		}.Sign(i.account))
	}
	for _, d := range revoked {
		r.Revoked = append(r.Revoked, string(d.Device()))
	}
	return r.Sign(i.account)
}

// hands is Bob, who knows Alice by her record; her device gets into the hands of another account.
type hands struct {
	*book
	bob             *Messenger
	bobs            LinkKey
	alice, newcomer *Identity
	device          *Identity // the device that changes hands
	after           aftermath
}

func changeOfHands(t *testing.T, trust Trust) *hands {
	t.Helper()
	h := &hands{book: newBook(), bobs: NewLinkKey(), alice: identity(t), newcomer: identity(t)}
	h.device = h.alice
	h.bob = New(Config{Identity: identity(t), Name: "Bob", Store: h.book, Links: linkKeys{h.bobs}, Keys: newKeys(t)})
	if err := h.bob.safe.open(); err != nil {
		t.Fatal(err)
	}
	h.knows(t, ContactRow{Account: h.alice.Account(), Name: "Alice", Trust: trust})
	if err := h.bob.pin(h.plain(), accountRecordKey(h.alice.Account()), 1, recordOf(h.alice, 1, []*Identity{h.alice}, nil)); err != nil {
		t.Fatal(err)
	}
	if err := h.bob.pin(h.plain(), deviceRecordKey(h.device.Device()), 1, deviceRecordOf(h.device, h.alice)); err != nil {
		t.Fatal(err)
	}
	return h
}

// deviceRecordOf is what a device says of itself: that it speaks for an account.
func deviceRecordOf(device, account *Identity) []byte {
	id := account.Account()
	return wire.DeviceRecord{Device: string(device.Device()), Account: id[:], Sequence: 1}.Sign(device.device)
}

// plain is what is in the book, behind the seal.
func (h *hands) plain() Tx { return h.bob.safe.on(h.book) }

// knows makes somebody a contact of Bob's.
func (h *hands) knows(t *testing.T, c ContactRow) {
	t.Helper()
	if err := h.plain().PutContact(c); err != nil {
		t.Fatal(err)
	}
}

// request returns the newcomer's request.
func (h *hands) request() RequestRow {
	r, _, _ := h.plain().Request(h.newcomer.Account())
	return r
}

// letter is what the device says for the newcomer's account.
func (h *hands) letter(kind Kind, payload []byte) letter {
	content := wire.Content{
		Conversation: DirectConversation(h.newcomer.Account(), h.bob.self), Kind: byte(kind), Seq: 1, Payload: payload,
	}
	return letter{account: h.newcomer.Account(), device: h.device.Device(), id: MessageID{byte(kind)}, content: content, raw: content.Append(nil), direct: true}
}

func (h *hands) card(token Token) letter {
	return h.letter(KindCard, wire.Card{
		Name: "Alice", Account: recordOf(h.newcomer, 1, []*Identity{h.device}, nil), Device: deviceRecordOf(h.device, h.newcomer), Token: token.bytes(),
	}.Append(nil))
}

// takes hands Bob a letter, and returns what he made of it.
func (h *hands) takes(t *testing.T, l letter) admission {
	t.Helper()
	verdict, err := h.bob.admit(h.plain(), EnvelopeID{1}, l)
	if err != nil {
		t.Fatal(err)
	}
	switch verdict {
	case held:
		_, err = h.bob.hold(h.plain(), &h.after, EnvelopeID{1}, l)
	case admitted:
		_, err = h.bob.accept(h.plain(), &h.after, l)
	}
	if err != nil {
		t.Fatal(err)
	}
	return verdict
}

func (h *hands) trust() Trust {
	alice, _, _ := h.plain().Contact(h.alice.Account())
	return alice.Trust
}

func TestADeviceThatSpeaksForAnotherAccountIsDoubted(t *testing.T) {
	for _, before := range []Trust{TrustVerified, TrustNone, TrustMismatch} {
		h := changeOfHands(t, before)
		if got := h.takes(t, h.letter(KindText, []byte("it is still me"))); got != refused {
			t.Errorf("a stranger's text from Alice's device is %d", got)
		}
		for _, token := range []Token{h.bobs.Contact(), h.bobs.Invite()} { // nobody comes in by an invite on somebody else's device
			clear(h.requests)
			h.held = nil
			if got := h.takes(t, h.card(token)); got != held || h.request().Claims != h.alice.Account() {
				t.Errorf("the card is %d, and the request %+v", got, h.request())
			}
		}
		want := map[Trust]Trust{TrustVerified: TrustDoubted}[before]
		if before == TrustMismatch {
			want = TrustMismatch
		}
		if h.trust() != want || !slices.Contains(h.told, EventKeyChanged) {
			t.Errorf("Alice was %q and is %q, want %q; told %v", before, h.trust(), want, h.told)
		}
		blocked := CodeOf(mayWriteTo(h.plain(), h.alice.Account())) == CodeIdentity
		if blocked != (before != TrustNone) {
			t.Errorf("writing to Alice, who was %q, is refused: %v", before, blocked)
		}
	}
}

func TestPeopleDecideAboutADoubt(t *testing.T) {
	for name, decide := range map[string]struct {
		how  func(*hands) error
		want Trust
	}{
		"the newcomer is turned away": {func(h *hands) error { return h.bob.RejectRequest(t.Context(), h.newcomer.Account()) }, TrustVerified},
		"the numbers were compared": {func(h *hands) error {
			_, err := h.bob.SetTrust(t.Context(), h.alice.Account(), TrustVerified)
			return err
		}, TrustVerified},
		"the newcomer is accepted": {func(h *hands) error {
			return h.bob.decided(h.plain(), &h.after, h.alice.Account(), true)
		}, TrustNone},
	} {
		h := changeOfHands(t, TrustVerified)
		h.takes(t, h.card(h.bobs.Contact()))
		if h.trust() != TrustDoubted {
			t.Fatalf("%s: Alice is %q before", name, h.trust())
		}
		if err := decide.how(h); err != nil || h.trust() != decide.want {
			t.Errorf("%s: Alice is %q, %v; want %q", name, h.trust(), err, decide.want)
		}
	}
}

// A contact whose certificate names a device of another contact is not heard from it, until their own record lists it.
func TestAContactDoesNotSpeakFromAnothersDevice(t *testing.T) {
	h := changeOfHands(t, TrustVerified)
	account := h.newcomer.Account()
	h.knows(t, ContactRow{Account: account, Name: "Newcomer"})
	if got := h.takes(t, h.letter(KindText, []byte("x"))); got != refused {
		t.Errorf("a text from Alice's device is %d", got)
	}
	if h.trust() != TrustVerified {
		t.Errorf("a word alone puts Alice in doubt: %q", h.trust())
	}
	if got := h.takes(t, h.card(Token{})); got != admitted || h.trust() != TrustDoubted {
		t.Errorf("a card with the record is %d, and Alice %q", got, h.trust())
	}
	if verdict, err := h.bob.admit(h.plain(), EnvelopeID{2}, h.letter(KindText, []byte("x"))); verdict != admitted || err != nil {
		t.Errorf("a text after the card is %d, %v", verdict, err)
	}
}

// A transaction may run twice, where a neighbour in its commit undoes the first run: what people are told is told all the same.
func TestADoubtIsToldThoughATransactionRunsAgain(t *testing.T) {
	h := changeOfHands(t, TrustVerified)
	h.knows(t, ContactRow{Account: h.newcomer.Account(), Name: "Newcomer"})
	contacts, records := maps.Clone(h.contacts), maps.Clone(h.records)
	for range 2 {
		h.contacts, h.records, h.told = maps.Clone(contacts), maps.Clone(records), nil
		if got := h.takes(t, h.card(Token{})); got != admitted || h.trust() != TrustDoubted || !slices.Contains(h.told, EventKeyChanged) {
			t.Errorf("the card is %d, Alice %q, told %v", got, h.trust(), h.told)
		}
	}
}

func TestADeviceThatWasGivenUpIsFreeForAnother(t *testing.T) {
	h := changeOfHands(t, TrustVerified)
	other := identity(t)
	if err := h.bob.pin(h.plain(), accountRecordKey(h.alice.Account()), 2, recordOf(h.alice, 2, []*Identity{other}, []*Identity{h.alice})); err != nil {
		t.Fatal(err)
	}
	if got := h.takes(t, h.card(h.bobs.Contact())); got != held || !h.request().Claims.IsZero() || h.trust() != TrustVerified {
		t.Errorf("the card is %d, the request %+v, Alice %q", got, h.request(), h.trust())
	}
}

func TestNewAndRevokedDevicesAreTold(t *testing.T) {
	h := changeOfHands(t, TrustVerified)
	phone, tablet := identity(t), identity(t)
	key := accountRecordKey(h.alice.Account())
	for _, step := range []struct {
		name             string
		sequence         uint64
		devices, revoked []*Identity
		want             []EventType
	}{
		{"a phone", 2, []*Identity{h.alice, phone}, nil, []EventType{EventDeviceAdded}},
		{"the same again", 3, []*Identity{h.alice, phone}, nil, nil},
		{"a tablet for the phone", 4, []*Identity{h.alice, tablet}, []*Identity{phone}, []EventType{EventDeviceAdded, EventDeviceRevoked}},
		{"an older record", 1, []*Identity{phone}, nil, nil},
	} {
		h.told = nil
		if err := h.bob.pin(h.plain(), key, step.sequence, recordOf(h.alice, step.sequence, step.devices, step.revoked)); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(h.told, step.want) {
			t.Errorf("%s: told %v, want %v", step.name, h.told, step.want)
		}
	}
	if h.trust() != TrustVerified {
		t.Errorf("a device changes no safety number, and Alice is %q", h.trust())
	}
	clear(h.contacts)
	h.told = nil
	if err := h.bob.pin(h.plain(), key, 5, recordOf(h.alice, 5, []*Identity{h.alice}, []*Identity{phone})); err != nil || len(h.told) != 0 {
		t.Errorf("told %v of nobody we know, %v", h.told, err)
	}
}

func TestTokensOpenOneDoorEach(t *testing.T) {
	k := NewLinkKey()
	next := LinkKey{Secret: k.Secret, Generation: k.Generation + 1}
	all := []Token{k.Contact(), k.Invite(), next.Contact(), next.Invite(), NewLinkKey().Contact()}
	for i, a := range all {
		for j, b := range all {
			if a.is(b.bytes()) != (i == j) {
				t.Errorf("token %d fits lock %d: %v", j, i, i != j)
			}
		}
		if a.is(nil) || a.is(bytes.Repeat([]byte{0}, 16)) || (Token{}).is(a.bytes()) {
			t.Errorf("no token fits lock %d", i)
		}
	}
	if none := (Token{}); none.is(nil) || none.is(make([]byte, 16)) || (LinkKey{}).Contact() != none {
		t.Error("nothing is a token")
	}
}

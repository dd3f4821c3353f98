package wire

import (
	"bytes"
	"crypto/ed25519"
	"crypto/hpke"
	"encoding/hex"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

func TestLabelsAreUnique(t *testing.T) {
	seen := map[string]bool{}
	for _, l := range Labels() {
		if seen[l] {
			t.Errorf("label %q stands for two things", l)
		}
		seen[l] = true
	}
}

func TestIDsAsTextForgiveWhatPeopleConfuse(t *testing.T) {
	want := []byte{0, 0x44, 0x32, 0x14, 0xc7, 0x42, 0x54, 0xb6, 0x35, 0xcf}
	s := Base32(want)
	for _, typed := range []string{s, strings.ToUpper(s), strings.ReplaceAll(s, "0", "o"), strings.ReplaceAll(s, "1", "l"), s[:4] + "-" + s[4:]} {
		got := make([]byte, len(want))
		if err := ParseBase32(got, typed); err != nil || !bytes.Equal(got, want) {
			t.Errorf("ParseBase32(%q) = %x, %v; want %x", typed, got, err, want)
		}
	}
	for _, bad := range []string{"", s[1:], s + "0", "u" + s[1:], "!" + s[1:]} {
		if err := ParseBase32(make([]byte, len(want)), bad); err == nil {
			t.Errorf("ParseBase32(%q) took it", bad)
		}
	}
	if err := ParseBase32(make([]byte, 1), "zz"); err == nil {
		t.Error("two texts stand for one id: leftover bits must be zero")
	}
}

func TestTheShortFormShowsEveryWrongCharacter(t *testing.T) {
	sum := bytes.Repeat([]byte{0xa5, 0x17}, 16)
	short := Short(sum)
	if len(short) != 19 || short[4] != '-' {
		t.Fatalf("Short = %q", short)
	}
	digits := strings.ReplaceAll(short, "-", "")
	for i := range 15 {
		for _, c := range crockford {
			if wrong := digits[:i] + string(c) + digits[i+1:15]; wrong != digits[:15] && crockford[checkOf(wrong)] == digits[15] {
				t.Errorf("%q at %d passes the check", c, i)
			}
		}
	}
}

// person is a set of keys for these tests.
type person struct {
	account, device ed25519.PrivateKey
	envelope        []byte
}

func newPerson(t *testing.T, seed byte) person {
	t.Helper()
	k, err := hpke.MLKEM768X25519().NewPrivateKey(bytes.Repeat([]byte{seed + 2}, 32))
	if err != nil {
		t.Fatal(err)
	}
	return person{
		account:  ed25519.NewKeyFromSeed(bytes.Repeat([]byte{seed}, 32)),
		device:   ed25519.NewKeyFromSeed(bytes.Repeat([]byte{seed + 1}, 32)),
		envelope: k.PublicKey().Bytes(),
	}
}

func (p person) certificate() Certificate {
	return Certificate{
		Account: p.account.Public().(ed25519.PublicKey), Device: DeviceID(p.device.Public().(ed25519.PublicKey)),
		Exchange: bytes.Repeat([]byte{9}, 32), Name: "laptop", Sequence: 1,
	}
}

func (p person) accountRecord() []byte {
	c := p.certificate()
	return AccountRecord{Account: c.Account, Sequence: 3, Signed: [][]byte{c.Sign(p.account)}}.Sign(p.account)
}

func (p person) deviceRecord() []byte {
	return DeviceRecord{
		Device: p.certificate().Device, Account: p.certificate().Account, Sequence: 4, Prekeys: []Prekey{{PurposeEnvelope, p.envelope}},
		Mailboxes: []string{DeviceID(p.device.Public().(ed25519.PublicKey))},
	}.Sign(p.device)
}

func content() Content {
	return Content{
		Conversation: [32]byte{1}, Kind: 1, Seq: 7, Prev: [32]byte{2}, Parents: [][32]byte{{3}, {4}},
		Clock: 5, Salt: [16]byte{6}, Payload: []byte("hello"),
	}
}

func TestEverythingReadsBackAsItWasWritten(t *testing.T) {
	alice := newPerson(t, 1)
	c, err := ParseContent(content().Append(nil))
	if err != nil || !bytes.Equal(c.Append(nil), content().Append(nil)) {
		t.Errorf("content: %+v, %v", c, err)
	}
	cert, err := ParseCertificate(alice.certificate().Sign(alice.account))
	if err != nil || cert.Name != "laptop" || cert.Device != alice.certificate().Device {
		t.Errorf("certificate: %+v, %v", cert, err)
	}
	account, err := ParseAccountRecord(alice.accountRecord())
	if err != nil || account.Sequence != 3 || len(account.Certificates) != 1 {
		t.Errorf("account record: %+v, %v", account, err)
	}
	device, err := ParseDeviceRecord(alice.deviceRecord())
	if err != nil || device.Sequence != 4 || !bytes.Equal(device.Prekey(PurposeEnvelope), alice.envelope) || len(device.Mailboxes) != 1 {
		t.Errorf("device record: %+v, %v", device, err)
	}
	card := Card{Name: "Alice", Account: alice.accountRecord(), Device: alice.deviceRecord(), Token: bytes.Repeat([]byte{7}, TokenSize)}
	if got, err := ParseCard(card.Append(nil)); err != nil || got.Name != "Alice" || !bytes.Equal(got.Device, card.Device) {
		t.Errorf("card: %v", err)
	}
	if ids, err := ParseReceipt(AppendReceipt(nil, [][32]byte{{1}, {2}})); err != nil || len(ids) != 2 || ids[1] != [32]byte{2} {
		t.Errorf("receipt: %v, %v", ids, err)
	}
}

// introduction is what somebody says of a person.
func (p person) introduction() Introduction {
	return Introduction{
		Name: "Alice", Key: p.certificate().Account, Account: p.accountRecord(), Device: p.deviceRecord(), Token: bytes.Repeat([]byte{7}, TokenSize),
	}
}

func TestAnIntroductionIsOfOnePerson(t *testing.T) {
	alice, mallory := newPerson(t, 1), newPerson(t, 11)
	whole := alice.introduction()
	if got, err := ParseIntroduction(whole.Append(nil)); err != nil || !bytes.Equal(got.Append(nil), whole.Append(nil)) {
		t.Errorf("read back: %v", err)
	}
	bare := Introduction{Key: whole.Key}
	if _, err := ParseIntroduction(bare.Append(nil)); err != nil {
		t.Errorf("of somebody whose records nobody has: %v", err)
	}
	for name, change := range map[string]func(*Introduction){
		"another's key":            func(i *Introduction) { i.Key = mallory.certificate().Account },
		"a weak key":               func(i *Introduction) { i.Key = make([]byte, KeySize) },
		"another's account record": func(i *Introduction) { i.Account = mallory.accountRecord() },
		"another's device record":  func(i *Introduction) { i.Device = mallory.deviceRecord() },
		"a device of no account":   func(i *Introduction) { i.Account = nil },
		"half a token":             func(i *Introduction) { i.Token = i.Token[:8] },
		"a record that is none":    func(i *Introduction) { i.Device = []byte("record") },
		"a long name":              func(i *Introduction) { i.Name = strings.Repeat("x", MaxName+1) },
	} {
		i := alice.introduction()
		change(&i)
		if _, err := ParseIntroduction(i.Append(nil)); err == nil {
			t.Errorf("%s passes", name)
		}
	}
	card := Card{Name: "Alice", Own: []byte{1}}
	if _, err := ParseCard(card.Append(nil)); err == nil {
		t.Error("a card with a token of one byte passes")
	}
}

// TestEveryTruncationAndEveryFlippedBitIsRefused is exhaustive over the signed objects; contents are bound by their envelope and are
// held to "no truncation, nothing left over, no panic, canonical".
func TestEveryTruncationAndEveryFlippedBitIsRefused(t *testing.T) {
	alice := newPerson(t, 1)
	for name, object := range map[string]struct {
		bytes []byte
		parse func([]byte) error
	}{
		"certificate":    {alice.certificate().Sign(alice.account), func(b []byte) error { _, err := ParseCertificate(b); return err }},
		"account record": {alice.accountRecord(), func(b []byte) error { _, err := ParseAccountRecord(b); return err }},
		"device record":  {alice.deviceRecord(), func(b []byte) error { _, err := ParseDeviceRecord(b); return err }},
	} {
		if err := object.parse(object.bytes); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		for n := range object.bytes {
			if object.parse(object.bytes[:n]) == nil {
				t.Errorf("%s: the first %d bytes pass", name, n)
			}
		}
		if object.parse(append(slices.Clone(object.bytes), 0)) == nil {
			t.Errorf("%s: a byte more passes", name)
		}
		for i := range len(object.bytes) * 8 {
			bad := slices.Clone(object.bytes)
			bad[i/8] ^= 1 << (i % 8)
			if object.parse(bad) == nil {
				t.Errorf("%s: bit %d flipped passes", name, i)
			}
		}
	}
	raw := content().Append(nil)
	for n := range raw {
		if _, err := ParseContent(raw[:n]); err == nil {
			t.Errorf("content: the first %d bytes pass", n)
		}
	}
}

func TestRecordsThatAreSignedButWrong(t *testing.T) {
	alice, mallory := newPerson(t, 1), newPerson(t, 50)
	foreign := mallory.certificate().Sign(mallory.account)
	own := alice.certificate().Sign(alice.account)
	public, device := alice.certificate().Account, alice.certificate().Device
	if device < mallory.certificate().Device {
		t.Fatal("these keys were chosen to stand in this order")
	}
	for name, record := range map[string]AccountRecord{
		"somebody else's certificate": {Account: public, Sequence: 1, Signed: [][]byte{foreign}},
		"one certificate twice":       {Account: public, Sequence: 1, Signed: [][]byte{own, own}},
		"too many certificates":       {Account: public, Sequence: 1, Signed: [][]byte{own, own, own, own, own, own}},
		"sequence number 0":           {Account: public, Signed: [][]byte{own}},
		"revocations out of order":    {Account: public, Sequence: 1, Revoked: []string{device, mallory.certificate().Device}},
		"one revocation twice":        {Account: public, Sequence: 1, Revoked: []string{device, device}},
		"a revocation of no device":   {Account: public, Sequence: 1, Revoked: []string{"x"}},
	} {
		if _, err := ParseAccountRecord(record.Sign(alice.account)); err == nil {
			t.Errorf("account record with %s passes", name)
		}
	}
	weak := slices.Clone(alice.envelope)
	weak[len(weak)-1] |= 0x80
	for name, record := range map[string]DeviceRecord{
		"a purpose of nobody's":              {Device: device, Account: public, Sequence: 1, Prekeys: []Prekey{{77, nil}}},
		"an exchange key that is none":       {Device: device, Account: public, Sequence: 1, Prekeys: []Prekey{{PurposeSigned, bytes.Repeat([]byte{255}, 32)}}},
		"a mailbox that is no device":        {Device: device, Account: public, Sequence: 1, Mailboxes: []string{""}},
		"an envelope key with a second name": {Device: device, Account: public, Sequence: 1, Prekeys: []Prekey{{PurposeEnvelope, weak}}},
		"an envelope key of zeros":           {Device: device, Account: public, Sequence: 1, Prekeys: []Prekey{{PurposeEnvelope, make([]byte, 3)}}},
		"four mailboxes":                     {Device: device, Account: public, Sequence: 1, Mailboxes: []string{"a", "b", "c", "d"}},
		"somebody else's id":                 {Device: mallory.certificate().Device, Account: public, Sequence: 1},
		"no account":                         {Device: device, Sequence: 1},
		"an account whose key is weak":       {Device: device, Account: append([]byte{1}, make([]byte, 31)...), Sequence: 1},
	} {
		if _, err := ParseDeviceRecord(record.Sign(alice.device)); err == nil {
			t.Errorf("device record with %s passes", name)
		}
	}
}

func TestContentsThatNoDeviceWrites(t *testing.T) {
	for name, spoil := range map[string]func(*Content){
		"sequence number 0":          func(c *Content) { c.Seq = 0 },
		"a first with a predecessor": func(c *Content) { c.Seq = 1 },
		"a later one without":        func(c *Content) { c.Prev = [32]byte{} },
		"parents out of order":       func(c *Content) { c.Parents = [][32]byte{{4}, {3}} },
		"one parent twice":           func(c *Content) { c.Parents = [][32]byte{{3}, {3}} },
		"nine parents":               func(c *Content) { c.Parents = make([][32]byte, 9) },
	} {
		c := content()
		spoil(&c)
		if _, err := ParseContent(c.Append(nil)); err == nil {
			t.Errorf("a content with %s passes", name)
		}
	}
}

func TestWeakKeysAreRefused(t *testing.T) {
	unhex := func(s string) []byte {
		b, err := hex.DecodeString(s)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	for name, key := range map[string]string{ // the eight points of small order, and other encodings of some
		"identity":             "0100000000000000000000000000000000000000000000000000000000000000",
		"identity, sign set":   "0100000000000000000000000000000000000000000000000000000000000080",
		"order 2":              "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
		"order 4":              "0000000000000000000000000000000000000000000000000000000000000000",
		"order 4, sign set":    "0000000000000000000000000000000000000000000000000000000000000080",
		"order 8":              "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
		"order 8, sign set":    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
		"order 8, other":       "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
		"order 8, other, sign": "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
		"p, which is 0":        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
		"p+1, which is 1":      "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
		"no point":             "0200000000000000000000000000000000000000000000000000000000000000",
	} {
		if CheckSigningKey(unhex(key)) == nil {
			t.Errorf("signing key %s passes", name)
		}
	}
	for name, key := range map[string]string{
		"high bit":  "0900000000000000000000000000000000000000000000000000000000000080",
		"2^255-19":  "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
		"2^255-1":   "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
		"too short": "09",
	} {
		if CheckExchangeKey(unhex(key)) == nil {
			t.Errorf("exchange key %s passes", name)
		}
	}
	if err := CheckExchangeKey(unhex("ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f")); err != nil {
		t.Errorf("2^255-20 is canonical: %v", err)
	}
	if _, err := DeviceKey(DeviceID(unhex("0100000000000000000000000000000000000000000000000000000000000000"))); err == nil {
		t.Error("a device id of small order passes")
	}
}

func link() Link {
	device := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{2}, 32)).Public().(ed25519.PublicKey)
	return Link{
		Kind: 'J', PSK: bytes.Repeat([]byte{3}, 32), NetworkName: "home", NetworkID: [16]byte{4}, Name: "Alice", Expires: 29_000_000,
		Token:   bytes.Repeat([]byte{8}, TokenSize),
		Account: ed25519.NewKeyFromSeed(bytes.Repeat([]byte{1}, 32)).Public().(ed25519.PublicKey),
		Seeds: []LinkSeed{{device, []string{
			"/ip4/192.168.1.20/tcp/4101", "/ip6/2001:db8::1/udp/4101/quic-v1", "/dns/seed.example.org/tcp/443/wss",
		}}},
	}
}

func TestALinkReadsBackOutOfAnyText(t *testing.T) {
	want := link()
	s := want.Encode()
	wrapped := strings.Join([]string{s[:40], s[40:80], s[80:]}, "\r\n  ")
	for _, text := range []string{
		s, strings.ToLower(s), "see " + s + " bye", "<" + s + ">", "İ " + s, wrapped, s[:20] + "-" + s[20:], s[:20] + "\u200b" + s[20:],
		"parley is nice: " + s + ", really", s + "\n\nBob",
		"Here is my invite for parley: " + s, "Use parley: it's good\n" + s, "Parley: parley:J1 parley:" + s, s[:60] + "\n" + s,
		"> Join us: " + strings.Join([]string{s[:40], s[40:80], s[80:]}, "\n> ") + "\n> Bye", ">> " + strings.Join([]string{s[:40], s[40:]}, "\r\n> >\t"),
	} {
		got, err := ParseLink(text)
		if err != nil {
			t.Errorf("%q: %v", text, err)
			continue
		}
		if got.Encode() != s || !slices.Equal(got.Seeds[0].Addrs, want.Seeds[0].Addrs) {
			t.Errorf("%q: read %+v", text, got)
		}
	}
}

// A mail may bring a card and an invite: who wants one of them gets it, whichever stands first.
func TestOfSeveralLinksTheWantedKindIsRead(t *testing.T) {
	invite, card := link().Encode(), link()
	card.Kind = 'C'
	other := link()
	other.Name = "Bob"
	text := "My card is parley: " + card.Encode() + ", and the invite:\n" + invite + "\n" + other.Encode()
	for _, test := range []struct {
		text   string
		wanted []byte
		want   string
	}{
		{text, nil, card.Encode()},
		{text, []byte{'C'}, card.Encode()},
		{text, []byte{'J'}, invite},
		{text, []byte{'J', 'C'}, card.Encode()},
		{invite + " " + other.Encode(), []byte{'C'}, invite},
		{invite[:80] + "\n" + card.Encode(), []byte{'J'}, card.Encode()},
	} {
		if got, err := ParseLink(test.text, test.wanted...); err != nil || got.Encode() != test.want {
			t.Errorf("%q of %.60q…: read %+v, %v", test.wanted, test.text, got, err)
		}
	}
}

// TLS below WebSocket has two names, and links use the shorter one.
func TestALinkNamesWebServersInOneWay(t *testing.T) {
	l := link()
	l.Seeds[0].Addrs = []string{"/dns/seed.example.org/tcp/443/tls/ws", "/ip4/192.0.2.1/tcp/80/ws", "/dns/seed.example.org/tcp/443/tls"}
	got, err := ParseLink(l.Encode())
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"/dns/seed.example.org/tcp/443/wss", "/ip4/192.0.2.1/tcp/80/ws"}; !slices.Equal(got.Seeds[0].Addrs, want) {
		t.Errorf("%v, want %v", got.Seeds[0].Addrs, want)
	}
}

func TestLinksThatAreNoGood(t *testing.T) {
	s := link().Encode()
	future := link()
	future.Kind = 'G'
	newField := func(kind byte) string {
		b := append(link().fields(), kind, 1, 0)
		return linkPrefix + "J1" + linkEncoding().EncodeToString(append(b, linkCheck('J', b)...))
	}
	for _, test := range []struct {
		text string
		want error
	}{
		{"", ErrNoLink},
		{"parle", ErrNoLink},
		{"hello", ErrNoLink},
		{"parley:", ErrLinkDamaged},
		{s[:len(s)-1], ErrLinkDamaged},
		{s + "A", ErrLinkDamaged},
		{strings.Replace(s, "J1", "J2", 1), ErrLinkNewer},
		{future.Encode(), ErrLinkNewer},
		{"parley: " + future.Encode() + " or " + s[:80], ErrLinkNewer},
		{"Use parley: it's good\n" + s[:80] + "\nparley:", ErrLinkDamaged},
		{newField(11), ErrLinkNewer},
		{newField(10), nil},
		{newField(9), ErrLinkDamaged},
		{newField(1), ErrLinkDamaged},
	} {
		if _, err := ParseLink(test.text); err != test.want {
			t.Errorf("%.40q…: %v, want %v", test.text, err, test.want)
		}
	}
}

// TestDamagedLinksAreNoticed changes, drops, doubles and cuts off characters, flips bits, and makes whole links up: nearly all of them are told to be
// damaged, and none is read as another one.
func TestDamagedLinksAreNoticed(t *testing.T) {
	s := link().Encode()
	rng := rand.New(rand.NewPCG(1, 2))
	const alphabet, links = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", 100_000
	const head = len(linkPrefix) + 2
	passed, vague := 0, 0
	for range links {
		b := []byte(s)
		i := head + rng.IntN(len(b)-head)
		switch rng.IntN(6) {
		case 0:
			b[i] = alphabet[rng.IntN(32)]
		case 1:
			b = slices.Delete(b, i, i+1)
		case 2:
			b = slices.Insert(b, i, b[i])
		case 3:
			b = b[:i]
		case 4:
			b[i] ^= 1 << rng.IntN(8)
		case 5:
			b = b[:i]
			for j := range b[head:] {
				b[head+j] = alphabet[rng.IntN(32)]
			}
		}
		switch l, err := ParseLink(string(b)); {
		case err == nil && l.Encode() != s:
			passed++
		case err != nil && err != ErrLinkDamaged:
			vague++
		}
	}
	if passed > 0 || vague > links/10_000 {
		t.Errorf("of %d damaged links %d passed, and %d were not told to be damaged", links, passed, vague)
	}
}

func FuzzParseLink(f *testing.F) {
	f.Add(link().Encode())
	f.Add("parley:J1AA")
	f.Fuzz(func(t *testing.T, text string) {
		l, err := ParseLink(text)
		if err != nil {
			return
		}
		again, err := ParseLink(l.Encode())
		if err != nil || again.Encode() != l.Encode() {
			t.Errorf("%q reads as %+v, which does not read back: %v", text, l, err)
		}
	})
}

func FuzzParseContent(f *testing.F) {
	f.Add(content().Append(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		if c, err := ParseContent(b); err == nil && !bytes.Equal(c.Append(nil), b) {
			t.Errorf("%x has a second form", b)
		}
	})
}

func FuzzParseRecords(f *testing.F) {
	f.Add([]byte{1, 2})
	f.Fuzz(func(t *testing.T, b []byte) {
		_, err1 := ParseAccountRecord(b)
		_, err2 := ParseDeviceRecord(b)
		_, err3 := ParseCertificate(b)
		if err1 == nil || err2 == nil || err3 == nil {
			t.Errorf("%x passes without a signature of ours", b)
		}
	})
}

func FuzzParsePayloads(f *testing.F) {
	f.Add(AppendReceipt(nil, [][32]byte{{1}}))
	f.Add(Card{Name: "A"}.Append(nil))
	f.Add(Card{Name: "A", Token: bytes.Repeat([]byte{1}, TokenSize), Own: bytes.Repeat([]byte{2}, TokenSize)}.Append(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		if ids, err := ParseReceipt(b); err == nil && !bytes.Equal(AppendReceipt(nil, ids), b) {
			t.Errorf("receipt %x has a second form", b)
		}
		if c, err := ParseCard(b); err == nil && !bytes.Equal(c.Append(nil), b) {
			t.Errorf("card %x has a second form", b)
		}
		if i, err := ParseIntroduction(b); err == nil && !bytes.Equal(i.Append(nil), b) {
			t.Errorf("introduction %x has a second form", b)
		}
	})
}

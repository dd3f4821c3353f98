package vault

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"
)

// counter fills bytes with a run of numbers, so that tests can be repeated byte for byte.
func counter() func([]byte) {
	n := uint32(0)
	return func(b []byte) {
		for i := range b {
			n++
			b[i] = byte(n * 2654435761 >> 24)
		}
	}
}

func ringWith(t testing.TB, fill func([]byte), conversations ...Conversation) *Ring {
	t.Helper()
	r, err := NewRing(MadeSecret(fill))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range conversations {
		if err := r.Add(c, MadeSecret(fill)); err != nil {
			t.Fatal(err)
		}
	}
	return r
}

func place() Place { return Place{Table: "message", Column: "cell", Row: []byte("row 1")} }

func TestACellOpensInItsPlaceAndNowhereElse(t *testing.T) {
	fill := counter()
	alice, bob := Conversation{1}, Conversation{2}
	r := ringWith(t, fill, alice, bob)
	for _, c := range []Conversation{{}, alice, bob} {
		cell, err := r.Seal(place(), c, []byte("hello"), fill)
		if err != nil || len(cell) != Overhead+5 || bytes.Contains(cell, []byte("hello")) {
			t.Fatalf("cell %x, %v", cell, err)
		}
		plaintext, whose, err := r.Open(place(), cell)
		if err != nil || string(plaintext) != "hello" || whose != c {
			t.Fatalf("opened %q of %x, %v", plaintext, whose, err)
		}
		for _, elsewhere := range []Place{
			{"conversation", "cell", []byte("row 1")},
			{"message", "reason", []byte("row 1")},
			{"message", "cell", []byte("row 2")},
			{"messagecell", "", []byte("row 1")},
			{"message", "cellrow 1", nil},
		} {
			if _, _, err := r.Open(elsewhere, cell); err == nil {
				t.Errorf("it opens in %+v", elsewhere)
			}
		}
		for i := range cell {
			for bit := range 8 {
				bad := slices.Clone(cell)
				bad[i] ^= 1 << bit
				if _, _, err := r.Open(place(), bad); err == nil {
					t.Errorf("it opens with bit %d of byte %d flipped", bit, i)
				}
			}
			if _, _, err := r.Open(place(), cell[:i]); err == nil {
				t.Errorf("it opens cut to %d bytes", i)
			}
		}
		other := ringWith(t, counter(), bob)
		if got, _, err := other.Open(place(), cell); err == nil && whose == alice {
			t.Errorf("another ring opens it: %q", got)
		}
	}
}

func TestWhatIsDroppedIsGone(t *testing.T) {
	fill := counter()
	alice, bob := Conversation{1}, Conversation{2}
	r := ringWith(t, fill, alice, bob)
	kek := MadeSecret(fill)
	old, _ := r.Seal(place(), alice, []byte("old"), fill)
	others, _ := r.Seal(place(), bob, []byte("other"), fill)
	before, err := r.Marshal(kek, fill)
	if err != nil {
		t.Fatal(err)
	}

	ids := r.Retire(alice)
	if r.Has(alice) || len(ids) != 1 || len(r.Retire(Conversation{})) != 0 {
		t.Fatalf("retired %x", ids)
	}
	if err := r.Add(alice, MadeSecret(fill)); err != nil {
		t.Fatal(err)
	}
	fresh, _ := r.Seal(place(), alice, []byte("new"), fill)
	if _, _, err := r.Open(place(), old); err != nil {
		t.Error("a retired key does not open any more")
	}
	if !r.Drop(ids) || r.Drop(ids) {
		t.Error("dropped not once")
	}
	after, err := r.Marshal(kek, fill)
	if err != nil {
		t.Fatal(err)
	}
	again, err := Parse(kek, after)
	if err != nil {
		t.Fatal(err)
	}
	for _, ring := range []*Ring{r, again} {
		if got, _, err := ring.Open(place(), old); err == nil {
			t.Errorf("the old cell opens: %q", got)
		}
		if got, _, err := ring.Open(place(), fresh); err != nil || string(got) != "new" {
			t.Errorf("the new conversation does not: %v", err)
		}
		if got, _, err := ring.Open(place(), others); err != nil || string(got) != "other" {
			t.Errorf("another conversation does not: %v", err)
		}
	}
	if bytes.Contains(after, before[1:1+rootSize]) {
		t.Error("the new keystore has the root of the old one")
	}
	again.Wipe()
	if _, _, err := again.Open(place(), fresh); err == nil {
		t.Error("a wiped ring opens something")
	}
}

func TestAKeystoreReadsBackAndEveryChangeShows(t *testing.T) {
	fill := counter()
	r := ringWith(t, fill, Conversation{1}, Conversation{2}, Conversation{1})
	kek := MadeSecret(fill)
	file, err := r.Marshal(kek, fill)
	if err != nil || len(file) != keystoreSize+3*entrySize {
		t.Fatalf("%d bytes, %v", len(file), err)
	}
	again, err := Parse(kek, file)
	if err != nil || again.seals[Conversation{1}].id != r.seals[Conversation{1}].id || again.Blind("x", nil) != r.Blind("x", nil) {
		t.Fatalf("it reads back as another: %v", err)
	}
	for i := range file {
		bad := slices.Clone(file)
		bad[i] ^= 0x10
		if _, err := Parse(kek, bad); err == nil {
			t.Errorf("it opens with byte %d changed", i)
		}
		if _, err := Parse(kek, file[:i]); err == nil {
			t.Errorf("it opens cut to %d bytes", i)
		}
	}
	if _, err := Parse(MadeSecret(fill), file); err == nil {
		t.Error("it opens with another key")
	}
	if _, err := Parse(Secret{}, file); err == nil {
		t.Error("it opens without a key")
	}
}

func TestBlindIndexesTellKindsAndStoresApart(t *testing.T) {
	r, other := ringWith(t, counter()), ringWith(t, func(b []byte) { copy(b, "another store") })
	seen := map[[32]byte]string{}
	for name, index := range map[string][32]byte{
		"a message": r.Blind("message", []byte("id")), "an account": r.Blind("account", []byte("id")),
		"another message": r.Blind("message", []byte("ie")), "elsewhere": other.Blind("message", []byte("id")),
	} {
		if twin, ok := seen[index]; ok {
			t.Errorf("%s and %s have one index", name, twin)
		}
		seen[index] = name
	}
	if r.Blind("message", []byte("id")) != r.Blind("message", []byte("i"), []byte("d")) {
		t.Error("the parts of an id count")
	}
}

// TestSecretsNeverPrint looks for the bytes of a key in whatever prints, encodes or logs it.
func TestSecretsNeverPrint(t *testing.T) {
	key, err := NewSecret([]byte("thirty-two bytes that never show"))
	if err != nil {
		t.Fatal(err)
	}
	holder := struct{ Key Secret }{key}
	said := ""
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%p"} {
		said += fmt.Sprintf(verb+verb+verb, key, &key, holder)
	}
	encoded, err := json.Marshal(holder)
	if err != nil {
		t.Fatal(err)
	}
	core, logs := observer.New(zap.DebugLevel)
	log := zap.New(core)
	log.Info("key", zap.Any("a", key), zap.Stringer("b", key), zap.Reflect("c", holder), zap.Any("d", &key), zap.Any("e", holder))
	line, err := zapcore.NewJSONEncoder(zapcore.EncoderConfig{}).EncodeEntry(logs.All()[0].Entry, logs.All()[0].Context)
	if err != nil {
		t.Fatal(err)
	}
	said += string(encoded) + line.String()
	for _, form := range []string{"thirty", "746869", "dGhpcn", "116, 104", "116 104", "0x74, 0x68"} {
		if bytes.Contains([]byte(said), []byte(form)) {
			t.Errorf("a key prints as %s in %s", form, said)
		}
	}
	if !bytes.Contains(encoded, []byte(redacted)) {
		t.Errorf("JSON is %s", encoded)
	}
	copied := key
	key.Wipe()
	if !bytes.Equal(copied.Bytes(), make([]byte, KeySize)) {
		t.Error("a copy of a wiped key is whole")
	}
	if _, err := NewSecret([]byte("short")); err == nil {
		t.Error("a short key is taken")
	}
	Secret{}.Wipe()
}

func FuzzOpenCell(f *testing.F) {
	r := ringWith(f, counter(), Conversation{1})
	for _, c := range []Conversation{{}, {1}} {
		cell, err := r.Seal(place(), c, []byte("hello"), counter())
		if err != nil {
			f.Fatal(err)
		}
		f.Add(cell)
		f.Add(cell[:len(cell)-1])
	}
	f.Add([]byte{cellFormat})
	f.Fuzz(func(t *testing.T, cell []byte) {
		if plaintext, _, err := r.Open(place(), cell); err == nil && string(plaintext) != "hello" {
			t.Errorf("%x opens as %x", cell, plaintext)
		}
	})
}

func FuzzParseKeystore(f *testing.F) {
	kek := MadeSecret(counter())
	for n := range 3 {
		var conversations []Conversation
		for c := range n {
			conversations = append(conversations, Conversation{byte(c + 1)})
		}
		file, err := ringWith(f, counter(), conversations...).Marshal(kek, counter())
		if err != nil {
			f.Fatal(err)
		}
		f.Add(file)
	}
	f.Fuzz(func(t *testing.T, file []byte) {
		r, err := Parse(kek, file)
		if err != nil {
			return
		}
		again, err := r.Marshal(kek, counter())
		if err != nil || len(again) != len(file) {
			t.Errorf("%d bytes became %d: %v", len(file), len(again), err)
		}
	})
}

// FuzzKeystoreBody feeds what is inside of the seal, which only who has the keys can write.
func FuzzKeystoreBody(f *testing.F) {
	f.Add(make([]byte, KeySize))
	f.Add(bytes.Repeat([]byte{1}, KeySize+2*entrySize))
	f.Fuzz(func(t *testing.T, body []byte) {
		if len(body) < KeySize || (len(body)-KeySize)%entrySize != 0 {
			return
		}
		if r, err := ringOf(body); err == nil && len(r.locks) != (len(body)-KeySize)/entrySize {
			t.Errorf("%d keys of %d bytes", len(r.locks), len(body))
		}
	})
}

func BenchmarkCell(b *testing.B) {
	r := ringWith(b, counter(), Conversation{1})
	fill := func([]byte) {}
	plaintext := make([]byte, 400)
	b.Run("seal", func(b *testing.B) {
		for b.Loop() {
			if _, err := r.Seal(place(), Conversation{1}, plaintext, fill); err != nil {
				b.Fatal(err)
			}
		}
	})
	cell, err := r.Seal(place(), Conversation{1}, plaintext, fill)
	if err != nil {
		b.Fatal(err)
	}
	b.Run("open", func(b *testing.B) {
		for b.Loop() {
			if _, _, err := r.Open(place(), cell); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("blind", func(b *testing.B) {
		for b.Loop() {
			r.Blind("message", plaintext[:32])
		}
	})
}

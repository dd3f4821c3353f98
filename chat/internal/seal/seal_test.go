package seal

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
)

func key(t *testing.T, seed byte) EnvelopeKey {
	t.Helper()
	k, err := NewEnvelopeKey(bytes.Repeat([]byte{seed}, 32))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestABoxOpensForItsReaderAlone(t *testing.T) {
	bob := key(t, 1)
	to := Address{Network: [16]byte{1}, Device: "bob", Key: bob.Public()}
	box, tag, err := Box(to, []byte("hello"))
	if err != nil || len(box) != Overhead+5 {
		t.Fatalf("box of %d bytes, %v", len(box), err)
	}
	got, ack, err := bob.Open(to.Network, to.Device, box)
	if err != nil || string(got) != "hello" || ack != tag || tag == (Tag{}) {
		t.Fatalf("Bob opens %q, tag %x of %x, %v", got, ack, tag, err)
	}
	for name, open := range map[string]func() error{
		"Carol":                  func() error { _, _, err := key(t, 2).Open(to.Network, to.Device, box); return err },
		"Bob in another network": func() error { _, _, err := bob.Open([16]byte{2}, to.Device, box); return err },
		"another device of Bob":  func() error { _, _, err := bob.Open(to.Network, "bob2", box); return err },
	} {
		if open() == nil {
			t.Errorf("%s opens a box that is for Bob", name)
		}
	}
}

func TestEveryTruncationAndFlippedBitOfABoxIsRefused(t *testing.T) {
	bob := key(t, 1)
	to := Address{Device: "bob", Key: bob.Public()}
	box, _, err := Box(to, []byte("x"))
	if err != nil {
		t.Fatal(err)
	}
	for n := range box {
		if _, _, err := bob.Open(to.Network, to.Device, box[:n]); err == nil {
			t.Errorf("the first %d bytes open", n)
		}
	}
	for i := 0; i < len(box)*8; i += 3 { // every third bit of every byte, in turn
		bad := slices.Clone(box)
		bad[i/8] ^= 1 << (i % 8)
		if _, _, err := bob.Open(to.Network, to.Device, bad); err == nil {
			t.Errorf("bit %d flipped opens", i)
		}
	}
}

func TestAnEnvelopeKeyNeverPrints(t *testing.T) {
	k := key(t, 0xab)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%q"} {
		if s := fmt.Sprintf(verb, k); strings.Contains(strings.ToLower(s), "abab") || strings.Contains(s, "171") {
			t.Errorf("%s shows %s", verb, s)
		}
	}
}

func TestKeysThatAreNone(t *testing.T) {
	if _, err := NewEnvelopeKey([]byte{1}); err == nil {
		t.Error("a seed of one byte makes a key")
	}
	if _, _, err := Box(Address{Key: make([]byte, 10)}, nil); err == nil {
		t.Error("a box for ten zeros")
	}
}

func FuzzOpen(f *testing.F) {
	k, err := NewEnvelopeKey(make([]byte, 32))
	if err != nil {
		f.Fatal(err)
	}
	box, _, err := Box(Address{Key: k.Public()}, []byte("hello"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(box[:100])
	f.Fuzz(func(t *testing.T, b []byte) {
		if _, _, err := k.Open([16]byte{}, "", b); err == nil {
			t.Errorf("%x opens", b)
		}
	})
}

func BenchmarkBox(b *testing.B) {
	k, _ := NewEnvelopeKey(make([]byte, 32))
	to := Address{Key: k.Public()}
	text := make([]byte, 256)
	for b.Loop() {
		if _, _, err := Box(to, text); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkOpen(b *testing.B) {
	k, _ := NewEnvelopeKey(make([]byte, 32))
	box, _, _ := Box(Address{Key: k.Public()}, make([]byte, 256))
	for b.Loop() {
		if _, _, err := k.Open([16]byte{}, "", box); err != nil {
			b.Fatal(err)
		}
	}
}

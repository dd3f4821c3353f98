package member

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
)

// turned is the village's first rotation.
func turned(n Network) Rotation {
	r := Rotation{Sequence: 1, Made: 1_800_000_002, Ends: 1_800_604_802}
	copy(r.Key[:], bytes.Repeat([]byte{0xcc}, pskSize))
	copy(r.Older[:], bytes.Repeat([]byte{0xbb}, pskSize))
	return r.sign(n, key(0xaa))
}

func TestRotationIsTheAuthoritys(t *testing.T) {
	n := village()
	authority := chain(n, 0x10).Authority
	good := turned(n)
	if !good.Signed(n, authority) {
		t.Fatal("the authority's own is refused")
	}
	for name, spoil := range map[string]func(*Rotation){
		"another key":          func(r *Rotation) { r.Key[31]++ },
		"another older key":    func(r *Rotation) { r.Older[0]++ },
		"a longer grace":       func(r *Rotation) { r.Ends++ },
		"another time":         func(r *Rotation) { r.Made-- },
		"a later number":       func(r *Rotation) { r.Sequence++ },
		"somebody else's":      func(r *Rotation) { *r = r.sign(n, key(0x10)) },
		"signed as a list is":  func(r *Rotation) { r.signature = List{Sequence: 1}.sign(n, key(0xaa)).signature },
		"nobody's":             func(r *Rotation) { clear(r.signature[:]) },
		"of another network's": func(r *Rotation) { m := n; m.ID[0]++; *r = r.sign(m, key(0xaa)) },
	} {
		r := good
		spoil(&r)
		if r.Signed(n, authority) {
			t.Errorf("%s is taken", name)
		}
	}
	other := key(0x77)
	if forged := good.sign(n, other); forged.Signed(n, Key(public(other))) {
		t.Error("an authority of another network is believed")
	}
}

// FuzzRotation reads whatever comes: what is read is written as it came.
func FuzzRotation(f *testing.F) {
	f.Add(turned(village()).Marshal())
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		if r, err := ParseRotation(b); err == nil && !bytes.Equal(r.Marshal(), b) {
			t.Error("it is written in another way than it was read")
		}
	})
}

func TestMalformedRotation(t *testing.T) {
	good := turned(village())
	same, none, never := good, good, good
	same.Older, none.Sequence, never.Ends = same.Key, 0, 1<<63
	for name, b := range map[string][]byte{
		"cut short":          good.Marshal()[:rotationSize-1],
		"too long":           append(good.Marshal(), 0),
		"a key for itself":   same.Marshal(),
		"without a number":   append(none.body(), none.signature[:]...),
		"an end that is not": never.Marshal(),
	} {
		if _, err := ParseRotation(b); err == nil {
			t.Errorf("%s is taken", name)
		}
	}
}

// The end of a grace may come earlier, and never later.
func TestStages(t *testing.T) {
	for _, c := range []struct {
		a, b   stage
		behind bool
	}{
		{stage{}, stage{1, 10}, true},
		{stage{1, 10}, stage{2, 5}, true},
		{stage{1, 10}, stage{1, 5}, true},
		{stage{1, 5}, stage{1, 10}, false},
		{stage{1, 5}, stage{1, 5}, false},
		{stage{2, 5}, stage{1, 1}, false},
		{stage{}, stage{}, false},
	} {
		if got := c.a.behind(c.b); got != c.behind {
			t.Errorf("%v behind %v: %v", c.a, c.b, got)
		}
	}
}

func TestNoKeyIsPrinted(t *testing.T) {
	for _, verb := range []string{"%v", "%+v", "%#v", "%x", "%s", "%d"} {
		if got := fmt.Sprintf(verb, turned(village())); strings.Contains(got, "cc") || strings.Contains(got, "204") {
			t.Errorf("%s prints %q", verb, got)
		}
	}
}

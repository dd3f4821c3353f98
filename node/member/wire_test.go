package member

import (
	"bytes"
	"errors"
	"testing"
)

// FuzzChain reads whatever comes: what is read is written as it came, and judging it ends.
func FuzzChain(f *testing.F) {
	n := village()
	f.Add(chain(n, 0x10).Marshal())
	f.Add(chain(n, 0x10, 0x20, 0x30).Marshal())
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := ParseChain(b)
		if err != nil {
			return
		}
		if !bytes.Equal(c.Marshal(), b) {
			t.Error("it is written in another way than it was read")
		}
		if v := c.Judge(n, c.Own().Device); v != Admitted && v != Unproven {
			t.Errorf("the verdict is %d", v)
		}
	})
}

// FuzzList is FuzzChain for lists.
func FuzzList(f *testing.F) {
	n := village()
	alice := chain(n, 0x10, 0x20)
	f.Add(List{Sequence: 1, Issued: 1}.with(Entry{Who: claim(0x20).Device}).sign(n, key(0xaa)).Marshal())
	f.Add(List{Sequence: 1, Issued: 1}.with(Entry{Who: claim(0x10).Device, Spared: [][hashSize]byte{alice.Own().hash()}}).sign(n, key(0xaa)).Marshal())
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		l, err := ParseList(b)
		if err != nil {
			return
		}
		if !bytes.Equal(l.Marshal(), b) {
			t.Error("it is written in another way than it was read")
		}
		l.Judge(alice)
	})
}

// FuzzFrames reads whatever comes as each of the frames.
func FuzzFrames(f *testing.F) {
	n := village()
	f.Add(hello{7, stage{3, 1_800_000_000}, chain(n, 0x10)}.marshal())
	f.Add(NewRequest(n, claim(0x10).Device, Token{1}, claim(0x20), key(0x20)).Marshal())
	f.Add([]byte{byte(Revoked)})
	for _, b := range (news{rotation: turned(n).Marshal()}).frames() {
		f.Add(b)
	}
	f.Add(marshalStage(stage{3, 1_800_000_000}))
	f.Fuzz(func(t *testing.T, b []byte) {
		if h, err := parseHello(b); err == nil && !bytes.Equal(h.marshal(), b) {
			t.Error("a hello is written in another way than it was read")
		}
		if r, err := parseRequest(b); err == nil && !bytes.Equal(r.Marshal(), b) {
			t.Error("a request is written in another way than it was read")
		}
		if chain, err := parseGranted(b); err == nil && len(chain) == 0 {
			t.Error("granted, and nothing")
		}
		if v, err := parseVerdict(b); err == nil && (v == 0 || len(b) != 1) {
			t.Errorf("the verdict %d", v)
		}
		if list, err := parseNews(kindList, b); err == nil && !bytes.Equal(news{list: list}.frames()[0], b) {
			t.Error("a list is written in another way than it was read")
		}
		if rotation, err := parseNews(kindTurn, b); err == nil && !bytes.Equal(news{rotation: rotation}.frames()[1], b) {
			t.Error("a rotation is written in another way than it was read")
		}
		if s, err := parseStage(b); err == nil && !bytes.Equal(marshalStage(s), b) {
			t.Error("a stage is written in another way than it was read")
		}
	})
}

// TestMalformed refuses what no honest node writes, without looking at what it would mean.
func TestMalformed(t *testing.T) {
	n := village()
	good := chain(n, 0x10, 0x20).Marshal()
	list := List{Sequence: 2, Issued: 1}.with(Entry{Who: claim(0x20).Device}).with(Entry{Who: claim(0x30).Device}).sign(n, key(0xaa))
	changed := func(b []byte, at int, to byte) []byte {
		b = bytes.Clone(b)
		b[at] = to
		return b
	}
	for name, b := range map[string][]byte{
		"nothing":                  {},
		"an authority alone":       good[:keySize],
		"no certificate":           changed(good, keySize, 0),
		"more than there are":      changed(good, keySize, 3),
		"more than there may be":   append(changed(good, keySize, MaxDepth+1), make([]byte, (MaxDepth-1)*certificateSize)...),
		"something behind":         append(bytes.Clone(good), 0),
		"half a certificate":       good[:len(good)-1],
		"a flag that nobody knows": changed(good, keySize+1+2*keySize, 3),
	} {
		if _, err := ParseChain(b); err == nil {
			t.Errorf("a chain: %s", name)
		}
	}
	twice := list
	twice.Entries = []Entry{list.Entries[0], list.Entries[0]}
	swapped := list
	swapped.Entries = []Entry{list.Entries[1], list.Entries[0]}
	unsorted := List{Sequence: 1, Entries: []Entry{{Who: claim(0x20).Device, Spared: [][hashSize]byte{{2}, {1}}}}}
	for name, b := range map[string][]byte{
		"an end too early":   list.Marshal()[:listHead],
		"a number of zero":   append(List{}.body(), make([]byte, 64)...),
		"a device twice":     twice.Marshal(),
		"not in order":       swapped.Marshal(),
		"spared, unsorted":   unsorted.Marshal(),
		"more than entries":  changed(list.Marshal(), 17, 3),
		"fewer than entries": changed(list.Marshal(), 17, 1),
		"longer than may be": make([]byte, MaxList+1),
	} {
		if _, err := ParseList(b); err == nil {
			t.Errorf("a list: %s", name)
		}
	}
}

// TestGranted tells a chain from a verdict.
func TestGranted(t *testing.T) {
	if chain, err := parseGranted([]byte{1, 7}); err != nil || !bytes.Equal(chain, []byte{7}) {
		t.Errorf("a chain: %x, %v", chain, err)
	}
	if _, err := parseGranted([]byte{byte(UsedInvite)}); !errors.Is(err, UsedInvite) {
		t.Errorf("used: %v", err)
	}
	for _, b := range [][]byte{{}, {0}, {1}, {7, 7}} {
		if _, err := parseGranted(b); err == nil {
			t.Errorf("%x is taken", b)
		}
	}
}

// TestEveryVerdictSaysWhy has a text of its own for each, and one for those of later nodes.
func TestEveryVerdictSaysWhy(t *testing.T) {
	seen := map[string]Verdict{}
	for v := Unproven; v <= Busy+1; v++ {
		if other, again := seen[v.Error()]; again || v.Error() == "" {
			t.Errorf("%d says %q, as %d does", v, v.Error(), other)
		}
		seen[v.Error()] = v
		if v.Refused() != (v != NoMember && v != IssuerAway && v != Busy) {
			t.Errorf("asking again after %d: %v", v, v.Refused())
		}
	}
	for v := range Verdict(255) {
		if v.ofIssuer() != (v == 2 || v == 3 || v >= 6 && v <= 9) {
			t.Errorf("whether to hand back %d: %v", v, v.ofIssuer())
		}
	}
}

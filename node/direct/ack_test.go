package direct

import (
	"bytes"
	"encoding/hex"
	"os"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"parley/node/internal/frame"
)

// vectorTags are those of the vector in SPEC.md: three envelopes, of which the second was taken and not accepted.
func vectorTags() [][TagSize]byte {
	fill := func(c byte) [TagSize]byte { return [TagSize]byte(bytes.Repeat([]byte{c}, TagSize)) }
	return [][TagSize]byte{fill(1), {}, fill(3)}
}

// TestVector holds the example of SPEC.md, "Direct delivery".
func TestVector(t *testing.T) {
	a := ack{refused: []uint32{2}}
	lines := []string{}
	for _, tag := range vectorTags() {
		a.add(tag)
		lines = append(lines, hex.EncodeToString(a.f[:]))
	}
	lines = append(lines, hex.EncodeToString(frame.Append(nil, marshalAck(a))))
	spec, err := os.ReadFile("../SPEC.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range lines {
		if !strings.Contains(strings.ReplaceAll(string(spec), " ", ""), line) {
			t.Errorf("SPEC.md does not have %s", line)
		}
	}
	expected := vectorTags()
	expected[1] = [TagSize]byte{2} // what its device would have shown
	if accepted, err := (tally{}).prove(a, expected); err != nil || !slices.Equal(accepted, []bool{true, false, true}) {
		t.Errorf("%v, %v", accepted, err)
	}
}

// TestTruthIsProven makes up streams: an honest receiver proves what it has accepted, in any batches, and no other hash passes.
func TestTruthIsProven(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 20).Draw(t, "envelopes")
		var expected [][TagSize]byte
		want := rapid.SliceOfN(rapid.Bool(), n, n).Draw(t, "accepted")
		for i := range n {
			expected = append(expected, [TagSize]byte{byte(i), 1})
		}
		var ours, theirs tally
		var got []bool
		for int(theirs.k) < n {
			a := ack{tally: theirs}
			for range rapid.IntRange(1, n-int(theirs.k)).Draw(t, "batch") {
				tag := expected[a.k]
				if !want[a.k] {
					tag = [TagSize]byte{}
					a.refused = append(a.refused, a.k+1)
				}
				a.add(tag)
			}
			read, err := parseAck(marshalAck(a), ours.k)
			if err != nil {
				t.Fatal(err)
			}
			lie := read
			lie.f[rapid.IntRange(0, 31).Draw(t, "byte")] ^= 1 << rapid.IntRange(0, 7).Draw(t, "bit")
			if accepted, err := ours.prove(lie, expected[ours.k:]); err == nil || accepted != nil {
				t.Fatalf("a lie passes: %v", accepted)
			}
			accepted, err := ours.prove(read, expected[ours.k:])
			if err != nil {
				t.Fatal(err)
			}
			got, theirs, ours = append(got, accepted...), a.tally, read.tally
		}
		if !slices.Equal(got, want) {
			t.Fatalf("%v, want %v", got, want)
		}
	})
}

// FuzzParseAck feeds anything: what is taken is written back to the same bytes, and names only what it may.
func FuzzParseAck(f *testing.F) {
	f.Add(marshalAck(ack{tally: tally{k: 3}, refused: []uint32{2}}), uint32(0))
	f.Add(marshalAck(ack{tally: tally{k: 1 << 20}}), uint32(1<<20-1))
	f.Add([]byte{0, 0, 0, 1}, uint32(0))
	f.Fuzz(func(t *testing.T, b []byte, before uint32) {
		a, err := parseAck(b, before)
		if err != nil {
			return
		}
		if again := marshalAck(a); !bytes.Equal(again, b) || a.k <= before || len(b) > maxAck {
			t.Fatalf("%x after %d is written as %x", b, before, again)
		}
		for i, n := range a.refused {
			if n <= before || n > a.k || i > 0 && n <= a.refused[i-1] {
				t.Fatalf("%d of %d to %d is refused", n, before+1, a.k)
			}
		}
	})
}

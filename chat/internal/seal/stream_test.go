package seal

import (
	"bytes"
	"fmt"
	"slices"
	"testing"

	"parley/chat/internal/wire"
)

// stream seals packets "0", "1", … to an address.
func stream(t testing.TB, to Address, n int) (header []byte, records [][]byte) {
	t.Helper()
	header, s, err := NewSealer(to)
	if err != nil {
		t.Fatal(err)
	}
	for i := range n {
		r, err := s.Seal([]byte(fmt.Sprint(i)))
		if err != nil {
			t.Fatal(err)
		}
		records = append(records, r)
	}
	return header, records
}

// opened counts the records that open as the packets "0", "1", …, until one does not.
func opened(k EnvelopeKey, at Address, header []byte, records ...[]byte) (n int) {
	o, err := k.OpenStream(at.Network, at.Device, header)
	if err != nil {
		return 0
	}
	for i, r := range records {
		if p, err := o.Open(r); err != nil || string(p) != fmt.Sprint(i) {
			return n
		}
		n++
	}
	return n
}

func TestAStreamOpensForItsReaderAlone(t *testing.T) {
	bob, to := bobs(t)
	header, records := stream(t, to, 3)
	if len(header) != HeaderSize || HeaderSize != 1130 || len(records[0]) != RecordOverhead+1 {
		t.Errorf("a header of %d bytes, a record of %d for one byte", len(header), len(records[0]))
	}
	if id, ok := KeyOf(header); !ok || id != wire.ID8(to.Key) {
		t.Errorf("the header names key %x, %v", id, ok)
	}
	if n := opened(bob, to, header, records...); n != 3 {
		t.Fatalf("Bob opens %d records of 3", n)
	}
	elsewhere, sibling := to, to
	elsewhere.Network, sibling.Device = [16]byte{2}, "bob2"
	relabelled := slices.Clone(header)
	relabelled[1] = purposeDeposit
	for name, n := range map[string]int{
		"Carol":                  opened(key(t, 2), to, header, records...),
		"Bob in another network": opened(bob, elsewhere, header, records...),
		"another device of Bob":  opened(bob, sibling, header, records...),
		"with another purpose":   opened(bob, to, relabelled, records...),
		"an empty header":        opened(bob, to, nil, records...),
		"a longer header":        opened(bob, to, append(slices.Clone(header), 0), records...),
	} {
		if n != 0 {
			t.Errorf("%s opens %d records that are for Bob", name, n)
		}
	}
}

func TestEveryTruncationAndFlippedBitOfAStreamIsRefused(t *testing.T) {
	bob, to := bobs(t)
	header, records := stream(t, to, 1)
	for n := range header {
		if opened(bob, to, header[:n], records[0]) != 0 {
			t.Errorf("behind the first %d bytes of a header, a record opens", n)
		}
	}
	for n := range records[0] {
		if opened(bob, to, header, records[0][:n]) != 0 {
			t.Errorf("the first %d bytes of a record open", n)
		}
	}
	flip := func(b []byte, bit int) []byte {
		bad := slices.Clone(b)
		bad[bit/8] ^= 1 << (bit % 8)
		return bad
	}
	for bit := 0; bit < len(header)*8; bit += 3 { // every third bit of every byte, in turn
		if opened(bob, to, flip(header, bit), records[0]) != 0 {
			t.Errorf("bit %d of the header flipped, a record opens", bit)
		}
	}
	for bit := range len(records[0]) * 8 {
		if opened(bob, to, header, flip(records[0], bit)) != 0 {
			t.Errorf("bit %d of a record flipped, it opens", bit)
		}
	}
}

func TestAStreamHasOneOrder(t *testing.T) {
	bob, to := bobs(t)
	header, r := stream(t, to, 4)
	other, foreign := stream(t, to, 4)
	if opened(bob, to, other, foreign...) != 4 {
		t.Fatal("the other stream does not open")
	}
	for name, c := range map[string]struct {
		records [][]byte
		want    int
	}{
		"two swapped":           {[][]byte{r[0], r[2], r[1], r[3]}, 1},
		"the first left out":    {[][]byte{r[1], r[2], r[3]}, 0},
		"one left out":          {[][]byte{r[0], r[1], r[3]}, 2},
		"one repeated":          {[][]byte{r[0], r[1], r[1], r[2]}, 2},
		"the first at the end":  {[][]byte{r[1], r[2], r[3], r[0]}, 0},
		"one of another stream": {[][]byte{r[0], foreign[1], r[2]}, 1},
		"all":                   {r, 4},
	} {
		if got := opened(bob, to, header, c.records...); got != c.want {
			t.Errorf("%s: %d records open, want %d", name, got, c.want)
		}
	}
}

func TestNothingOpensBehindARecordThatDidNot(t *testing.T) {
	bob, to := bobs(t)
	header, records := stream(t, to, 2)
	o, err := bob.OpenStream(to.Network, to.Device, header)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := o.Open(records[1]); err == nil {
		t.Error("the second record opens in the place of the first")
	}
	if _, err := o.Open(records[0]); err == nil {
		t.Error("a stream goes on behind a record that did not open")
	}
}

func TestAStreamForNoKey(t *testing.T) {
	if _, _, err := NewSealer(Address{Key: make([]byte, 10)}); err == nil {
		t.Error("a stream for ten zeros")
	}
}

// FuzzOpenStream feeds anything: no header that we did not make lets a record open.
func FuzzOpenStream(f *testing.F) {
	bob, to := bobs(f)
	header, records := stream(f, to, 1)
	f.Add(header, records[0][:RecordOverhead])
	f.Add(header[:100], records[0])
	f.Add([]byte{version, purposeStream}, []byte{})
	f.Fuzz(func(t *testing.T, header, record []byte) {
		o, err := bob.OpenStream(to.Network, to.Device, header)
		if err != nil {
			return
		}
		if _, err := o.Open(record); err == nil {
			t.Errorf("%x opens", record)
		}
	})
}

func BenchmarkSealRecord(b *testing.B) {
	_, to := bobs(b)
	_, s, err := NewSealer(to)
	if err != nil {
		b.Fatal(err)
	}
	packet := make([]byte, 256)
	b.SetBytes(int64(len(packet)))
	for b.Loop() {
		if _, err := s.Seal(packet); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkOpenRecord(b *testing.B) {
	bob, to := bobs(b)
	header, s, err := NewSealer(to)
	if err != nil {
		b.Fatal(err)
	}
	o, err := bob.OpenStream(to.Network, to.Device, header)
	if err != nil {
		b.Fatal(err)
	}
	packet := make([]byte, 256)
	b.SetBytes(int64(len(packet)))
	var records [][]byte
	for b.Loop() {
		if len(records) == 0 {
			b.StopTimer()
			for range 1024 {
				r, err := s.Seal(packet)
				if err != nil {
					b.Fatal(err)
				}
				records = append(records, r)
			}
			b.StartTimer()
		}
		if _, err := o.Open(records[0]); err != nil {
			b.Fatal(err)
		}
		records = records[1:]
	}
}

func BenchmarkNewSealer(b *testing.B) {
	_, to := bobs(b)
	for b.Loop() {
		if _, _, err := NewSealer(to); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkOpenStream(b *testing.B) {
	bob, to := bobs(b)
	header, _ := stream(b, to, 0)
	for b.Loop() {
		if _, err := bob.OpenStream(to.Network, to.Device, header); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkOpenDeposit(b *testing.B) {
	bob, to := bobs(b)
	box := deposit(b, to, bytes.Repeat([]byte{1}, 256))
	for b.Loop() {
		if _, err := bob.OpenDeposit(to.Network, to.Device, box); err != nil {
			b.Fatal(err)
		}
	}
}

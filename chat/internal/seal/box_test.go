package seal

import (
	"bytes"
	"slices"
	"testing"

	"parley/chat/internal/wire"
)

// bobs returns Bob's key, and his address under it.
func bobs(t testing.TB) (EnvelopeKey, Address) {
	t.Helper()
	k, err := NewEnvelopeKey(bytes.Repeat([]byte{1}, 32))
	if err != nil {
		t.Fatal(err)
	}
	return k, Address{Network: [16]byte{1}, Device: "bob", Key: k.Public()}
}

func deposit(t testing.TB, to Address, packets ...[]byte) []byte {
	t.Helper()
	box, err := SealDeposit(to, packets)
	if err != nil {
		t.Fatal(err)
	}
	return box
}

func TestADepositOpensForItsReaderAlone(t *testing.T) {
	bob, to := bobs(t)
	packets := [][]byte{[]byte("one"), bytes.Repeat([]byte{0}, 3000), []byte("three")}
	box := deposit(t, to, packets...)
	got, err := bob.OpenDeposit(to.Network, to.Device, box)
	if err != nil || !slices.EqualFunc(got, packets, bytes.Equal) {
		t.Fatalf("Bob opens %d packets, %v", len(got), err)
	}
	if id, ok := KeyOf(box); !ok || id != wire.ID8(to.Key) {
		t.Errorf("the box names key %x, %v", id, ok)
	}
	open := func(k EnvelopeKey, network [16]byte, device string, box []byte) error {
		_, err := k.OpenDeposit(network, device, box)
		return err
	}
	relabelled := slices.Clone(box)
	relabelled[1] = purposeStream
	for name, err := range map[string]error{
		"Carol":                   open(key(t, 2), to.Network, to.Device, box),
		"Bob in another network":  open(bob, [16]byte{2}, to.Device, box),
		"another device of Bob":   open(bob, to.Network, "bob2", box),
		"with another purpose":    open(bob, to.Network, to.Device, relabelled),
		"with something behind":   open(bob, to.Network, to.Device, append(slices.Clone(box), 0)),
		"far more than ever fits": open(bob, to.Network, to.Device, append(slices.Clone(box), make([]byte, DepositSize)...)),
	} {
		if err == nil {
			t.Errorf("%s: a deposit for Bob opens", name)
		}
	}
}

func TestADepositAndAStreamAreNotTakenForEachOther(t *testing.T) {
	bob, to := bobs(t)
	box := deposit(t, to, []byte("in a mailbox"))
	asStream := slices.Clone(box)
	asStream[1] = purposeStream
	for name, b := range map[string][]byte{"as it is": box, "relabelled": asStream} {
		if o, err := bob.OpenStream(to.Network, to.Device, b[:HeaderSize]); err == nil {
			if _, err := o.Open(b[HeaderSize:]); err == nil {
				t.Errorf("a deposit, %s, opens as a stream", name)
			}
		}
	}
	plaintext, err := marshalDeposit([][]byte{[]byte("on a stream")})
	if err != nil {
		t.Fatal(err)
	}
	header, s, err := NewSealer(to)
	if err != nil {
		t.Fatal(err)
	}
	record, err := s.Seal(plaintext)
	if err != nil {
		t.Fatal(err)
	}
	stream := append(header, record...)
	for _, purpose := range []byte{purposeStream, purposeDeposit, 3} {
		stream[1] = purpose
		if _, err := bob.OpenDeposit(to.Network, to.Device, stream); err == nil {
			t.Errorf("a stream labelled %d opens as a deposit", purpose)
		}
	}
}

func TestEveryTruncationAndFlippedBitOfADepositIsRefused(t *testing.T) {
	bob, to := bobs(t)
	box := deposit(t, to, []byte("x"))
	for n := range box {
		if _, err := bob.OpenDeposit(to.Network, to.Device, box[:n]); err == nil {
			t.Errorf("the first %d bytes open", n)
		}
	}
	for i := 0; i < len(box)*8; i += 3 { // every third bit of every byte, in turn
		bad := slices.Clone(box)
		bad[i/8] ^= 1 << (i % 8)
		if _, err := bob.OpenDeposit(to.Network, to.Device, bad); err == nil {
			t.Errorf("bit %d flipped opens", i)
		}
	}
}

func TestADepositHasOneOfFewSizes(t *testing.T) {
	_, to := bobs(t)
	const kib = 1 << 10
	for _, test := range []struct{ packets, size, class int }{
		{1, 1, 2 * kib},
		{1, 2*kib - 6, 2 * kib},
		{1, 2*kib - 5, 8 * kib},
		{2, 4*kib - 5, 8 * kib},
		{1, 8*kib - 5, 32 * kib},
		{64, 256, 32 * kib},
		{1, 32*kib - 5, 128 * kib},
		{1, 128 * kib, 512 * kib}, // the largest packet
		{3, 128 * kib, 512 * kib},
		{4, 128*kib - 5, 512 * kib},
	} {
		packets := slices.Repeat([][]byte{make([]byte, test.size)}, test.packets)
		if box := deposit(t, to, packets...); len(box) != (headerSize+tagSize)+test.class {
			t.Errorf("%d packets of %d bytes make a box of %d bytes, want %d + %d", test.packets, test.size, len(box), (headerSize + tagSize), test.class)
		}
	}
	for name, packets := range map[string][][]byte{
		"nothing":         nil,
		"an empty packet": {[]byte("x"), nil},
		"65 packets":      slices.Repeat([][]byte{{1}}, DepositPackets+1),
		"a byte too many": {make([]byte, DepositSize-5)},
	} {
		if _, err := SealDeposit(to, packets); err == nil {
			t.Errorf("%s is sealed", name)
		}
	}
	if _, err := SealDeposit(Address{Key: make([]byte, 10)}, [][]byte{{1}}); err == nil {
		t.Error("a deposit for ten zeros")
	}
}

func TestADepositHasOneForm(t *testing.T) {
	padded := func(b ...byte) []byte { return append(b, make([]byte, 2<<10-len(b))...) }
	if got, err := parseDeposit(padded(0, 2, 0, 0, 0, 1, 'a', 0, 0, 0, 2, 'b', 'c')); err != nil || len(got) != 2 || string(got[1]) != "bc" {
		t.Fatalf("parsed %q, %v", got, err)
	}
	dirty := padded(0, 1, 0, 0, 0, 1, 'a')
	dirty[len(dirty)-1] = 1
	for name, b := range map[string][]byte{
		"nothing":               nil,
		"half a count":          {0},
		"no padding":            {0, 1, 0, 0, 0, 1, 'a'},
		"count of nothing":      padded(0, 0),
		"count of 65":           append(padded(0, 65), make([]byte, 6<<10)...),
		"an empty packet":       padded(0, 1, 0, 0, 0, 0),
		"fewer than counted":    padded(0, 2, 0, 0, 0, 1, 'a'),
		"longer than the box":   padded(0, 1, 0, 0, 8, 0, 'a'),
		"4 GiB":                 padded(0, 1, 0xff, 0xff, 0xff, 0xff, 'a'),
		"padding that is not 0": dirty,
		"more than counted":     padded(0, 1, 0, 0, 0, 1, 'a', 0, 0, 0, 1, 'b'),
		"a larger class":        append(padded(0, 1, 0, 0, 0, 1, 'a'), make([]byte, 6<<10)...),
		"no class":              padded(0, 1, 0, 0, 0, 1, 'a')[:2047],
	} {
		if got, err := parseDeposit(b); err == nil {
			t.Errorf("%s: parsed as %d packets", name, len(got))
		}
	}
}

// FuzzParseDeposit feeds anything: what is taken is written back to the same bytes.
func FuzzParseDeposit(f *testing.F) {
	for _, packets := range [][][]byte{{[]byte("a")}, {[]byte("a"), make([]byte, 3000)}, slices.Repeat([][]byte{{1}}, DepositPackets)} {
		b, err := marshalDeposit(packets)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Add([]byte{0, 1, 0, 0, 0, 1, 'a'})
	f.Fuzz(func(t *testing.T, b []byte) {
		packets, err := parseDeposit(b)
		if err != nil {
			return
		}
		again, err := marshalDeposit(packets)
		if err != nil || !bytes.Equal(again, b) {
			t.Errorf("%d packets of %d bytes are written as %d, %v", len(packets), len(b), len(again), err)
		}
	})
}

// FuzzOpenDeposit feeds anything to the door: nothing that we did not seal opens.
func FuzzOpenDeposit(f *testing.F) {
	bob, to := bobs(f)
	box := deposit(f, to, []byte("hello"))
	f.Add(box[:HeaderSize+100])
	f.Add([]byte("not a box"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if _, err := bob.OpenDeposit(to.Network, to.Device, b); err == nil {
			t.Errorf("%x opens", b)
		}
	})
}

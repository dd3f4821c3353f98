package mailbox_test

import (
	"bytes"
	"encoding/hex"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"

	"parley/node/internal/frame"
	"parley/node/mailbox"
	"parley/node/mailbox/mailboxtest"
)

// golden is one message of the protocol: how it is written, and what reads and writes it.
type golden struct {
	name string
	wire []byte
	// again reads a message and writes what it has read.
	again func([]byte) ([]byte, error)
}

func capability(n byte) (c [32]byte) {
	for i := range c {
		c[i] = n
	}
	return c
}

func depositID(n byte) (id mailbox.DepositID) {
	for i := range id {
		id[i] = n
	}
	return id
}

func address(t testing.TB, text string) ma.Multiaddr {
	t.Helper()
	a, err := ma.NewMultiaddr(text)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// goldens lists one of each message.
func goldens(t testing.TB) []golden {
	policy := mailbox.Policy{TimeToLive: 30 * 24 * time.Hour, Boxes: 10_000, Bytes: 64 << 20}
	hosts := []peer.AddrInfo{
		{ID: mailboxtest.Peer(1), Addrs: []ma.Multiaddr{address(t, "/ip4/5.6.7.8/tcp/4101")}},
		{ID: mailboxtest.Peer(2)},
	}
	lanes := []mailbox.Lane{mailboxtest.Lane(2, mailbox.ClassLink), mailboxtest.Lane(1, mailbox.ClassContact)}
	return []golden{
		{"head", mailbox.MarshalHead(capability(1), depositID(2), mailboxtest.Peer(3)), againHead},
		{"lanes", mailbox.MarshalLanes(lanes), againLanes},
		{"no lanes", mailbox.MarshalLanes(nil), againLanes},
		{"policy", mailbox.MarshalPolicy(mailbox.Stored, policy), againPolicy},
		{"box", mailbox.MarshalBox(mailbox.Box{ID: depositID(2), Box: []byte("box")}), againHanded},
		{"nothing", []byte{mailbox.HandedNothing}, againHanded},
		{"acknowledgement", mailbox.MarshalAck([]mailbox.DepositID{depositID(2), depositID(3)}), againAck},
		{"hosts", mailbox.MarshalHosts(hosts), againHosts},
		{"no hosts", mailbox.MarshalHosts(nil), againHosts},
	}
}

func againHead(b []byte) ([]byte, error) {
	c, id, owner, err := mailbox.ParseHead(b)
	return mailbox.MarshalHead(c, id, owner), err
}

func againLanes(b []byte) ([]byte, error) {
	lanes, err := mailbox.ParseLanes(b)
	return mailbox.MarshalLanes(lanes), err
}

func againPolicy(b []byte) ([]byte, error) {
	v, p, err := mailbox.ParsePolicy(b)
	return mailbox.MarshalPolicy(v, p), err
}

func againHanded(b []byte) ([]byte, error) {
	box, more, err := mailbox.ParseHanded(b)
	if !more {
		return []byte{mailbox.HandedNothing}, err
	}
	return mailbox.MarshalBox(box), err
}

func againAck(b []byte) ([]byte, error) {
	ids, err := mailbox.ParseAck(b)
	return mailbox.MarshalAck(ids), err
}

func againHosts(b []byte) ([]byte, error) {
	hosts, err := mailbox.ParseHosts(b)
	return mailbox.MarshalHosts(hosts), err
}

// TestVectors holds the examples of SPEC.md, "Mailboxes", as frames.
func TestVectors(t *testing.T) {
	key := strings.Repeat("01", 32)
	lane := "aa" + strings.Repeat("00", 30)
	bob := "002408011220" + strings.Repeat("00", 24)
	vectors := map[string]string{
		"head":            "56" + key + strings.Repeat("02", 16) + bob + "0000000000000003",
		"lanes":           "44" + "0002" + lane + "01" + "01" + lane + "02" + "02",
		"no lanes":        "02" + "0000",
		"policy":          "11" + "01" + "00278d00" + "00002710" + "0000000004000000",
		"box":             "14" + "01" + strings.Repeat("02", 16) + hex.EncodeToString([]byte("box")),
		"nothing":         "01" + "02",
		"acknowledgement": "20" + strings.Repeat("02", 16) + strings.Repeat("03", 16),
		"hosts":           "5a" + "02" + "26" + bob + "0000000000000001" + "01" + "08" + "0405060708061005" + "26" + bob + "0000000000000002" + "00",
		"no hosts":        "01" + "00",
	}
	for _, g := range goldens(t) {
		if got := hex.EncodeToString(frame.Append(nil, g.wire)); got != vectors[g.name] {
			t.Errorf("%s is written as\n%s, not\n%s", g.name, got, vectors[g.name])
		}
	}
}

// TestNames holds the examples of SPEC.md for what is derived.
func TestNames(t *testing.T) {
	id := mailbox.IDOf(mailboxtest.Peer(3), [][]byte{[]byte("one"), []byte("two")})
	if got := hex.EncodeToString(id[:]); got != "dba5a4c5004116753b0b2745a2061f8f" {
		t.Errorf("the deposit is called %s", got)
	}
	key := mailbox.LaneOf(capability(1))
	if got := hex.EncodeToString(key[:]); got != "72cd6e8422c407fb6d098690f1130b7ded7ec2f7f5e1d30bd9d521f015363793" {
		t.Errorf("the lane is %s", got)
	}
	if mailbox.LaneOf([32]byte{}) != [32]byte{} {
		t.Error("no capability opens another lane than the open one")
	}
	hash := mailbox.HashOf([]mailbox.Lane{mailboxtest.Lane(2, mailbox.ClassLink), mailboxtest.Lane(1, mailbox.ClassContact)})
	if got := hex.EncodeToString(hash[:]); got != "c6f63fce7de3290063908261470c60b957c8a8231e3f17a33b3841fca7e7ebbf" {
		t.Errorf("the lanes hash to %s", got)
	}
}

// TestDepositsHaveNamesOfTheirOwn gives another name to whatever differs.
func TestDepositsHaveNamesOfTheirOwn(t *testing.T) {
	one, two := []byte("one"), []byte("two")
	names := map[mailbox.DepositID]string{}
	for what, id := range map[string]mailbox.DepositID{
		"one":            mailbox.IDOf(mailboxtest.Peer(1), [][]byte{one}),
		"two":            mailbox.IDOf(mailboxtest.Peer(1), [][]byte{two}),
		"one for Dave":   mailbox.IDOf(mailboxtest.Peer(2), [][]byte{one}),
		"one, two":       mailbox.IDOf(mailboxtest.Peer(1), [][]byte{one, two}),
		"two, one":       mailbox.IDOf(mailboxtest.Peer(1), [][]byte{two, one}),
		"both in one":    mailbox.IDOf(mailboxtest.Peer(1), [][]byte{[]byte("onetwo")}),
		"one twice":      mailbox.IDOf(mailboxtest.Peer(1), [][]byte{one, one}),
		"nothing at all": mailbox.IDOf(mailboxtest.Peer(1), nil),
	} {
		if other, taken := names[id]; taken {
			t.Errorf("%q and %q have one name", what, other)
		}
		names[id] = what
	}
	if mailbox.IDOf(mailboxtest.Peer(1), [][]byte{one, two}) != mailbox.IDOf(mailboxtest.Peer(1), [][]byte{[]byte("one"), []byte("two")}) {
		t.Error("a deposit that is made again has another name")
	}
}

// TestEveryTruncation reads no message that is cut short, or goes on.
func TestEveryTruncation(t *testing.T) {
	for _, g := range goldens(t) {
		if got, err := g.again(g.wire); err != nil || !bytes.Equal(got, g.wire) {
			t.Errorf("%s: %x is read as %x, %v", g.name, g.wire, got, err)
		}
		for cut := range len(g.wire) {
			if g.name == "box" && cut > 17 || g.name == "acknowledgement" && cut == 16 {
				continue // a shorter one of the same kind
			}
			if _, err := g.again(g.wire[:cut]); err == nil {
				t.Errorf("%s: %d bytes of %d are read as a whole", g.name, cut, len(g.wire))
			}
		}
		if g.name == "box" {
			continue // a longer one
		}
		if _, err := g.again(append(slices.Clone(g.wire), 0)); err == nil {
			t.Errorf("%s: a byte behind the end is read over", g.name)
		}
	}
}

// TestEveryBitFlip reads either nothing or another message: what is read is written the same again, so that no two forms mean one thing.
func TestEveryBitFlip(t *testing.T) {
	for _, g := range goldens(t) {
		for bit := range len(g.wire) * 8 {
			flipped := slices.Clone(g.wire)
			flipped[bit/8] ^= 1 << (bit % 8)
			if got, err := g.again(flipped); err == nil && !bytes.Equal(got, flipped) {
				t.Errorf("%s, bit %d: %x is read as %x", g.name, bit, flipped, got)
			}
		}
	}
}

// TestStrictness refuses what no honest peer writes.
func TestStrictness(t *testing.T) {
	one, two := mailboxtest.Lane(1, mailbox.ClassContact), mailboxtest.Lane(2, mailbox.ClassContact)
	raw := func(lanes ...mailbox.Lane) []byte { // in any order
		b := []byte{0, byte(len(lanes))}
		for _, l := range lanes {
			b = append(append(b, l.Key[:]...), l.Class)
		}
		return b
	}
	for name, refused := range map[string]error{
		"lanes out of order":     second(mailbox.ParseLanes(raw(two, one))),
		"a lane twice":           second(mailbox.ParseLanes(raw(one, one))),
		"the open lane by a key": second(mailbox.ParseLanes(raw(mailbox.Lane{Class: mailbox.ClassContact}))),
		"a lane of no class":     second(mailbox.ParseLanes(raw(mailbox.Lane{Key: one.Key, Class: mailbox.ClassOpen}))),
		"a lane of class 3":      second(mailbox.ParseLanes(raw(mailbox.Lane{Key: one.Key, Class: 3}))),
		"too many lanes":         second(mailbox.ParseLanes(make([]byte, 2+33*(mailbox.MaxLanes+1)))),
		"verdict 0":              second(mailbox.ParseVerdict(0)),
		"verdict 6":              second(mailbox.ParseVerdict(6)),
		"no acknowledgement":     second(mailbox.ParseAck(nil)),
		"65 ids":                 second(mailbox.ParseAck(make([]byte, 65*16))),
		"17 hosts":               second(mailbox.ParseHosts([]byte{17})),
		"an endless id":          second(mailbox.ParseHosts(append([]byte{1, 65}, make([]byte, 66)...))),
	} {
		if refused == nil {
			t.Errorf("%s: taken", name)
		}
	}
	negative := mailbox.MarshalPolicy(mailbox.Stored, mailbox.Policy{Bytes: math.MinInt64})
	if _, _, err := mailbox.ParsePolicy(negative); err == nil {
		t.Error("a policy of a negative number of bytes is taken")
	}
	long := append([]byte{0x00, 0x7f}, make([]byte, 127)...)
	if _, _, _, err := mailbox.ParseHead(append(make([]byte, 48), long...)); err == nil {
		t.Error("a name of 129 bytes is taken for an owner's")
	}
}

func second[T any](_ T, err error) error { return err }

// TestTheLargestFit writes the largest of each message within its limit.
func TestTheLargestFit(t *testing.T) {
	var lanes []mailbox.Lane
	for i := range mailbox.MaxLanes {
		lanes = append(lanes, mailboxtest.Lane(i, mailbox.ClassContact))
	}
	var hosts []peer.AddrInfo
	long := address(t, "/dns4/"+strings.Repeat("x", mailbox.MaxAddress-1))
	fits := address(t, "/dns4/"+strings.Repeat("x", mailbox.MaxAddress-2)) // a code, a length, and the name
	for i := range 2 * mailbox.MaxHosts {
		hosts = append(hosts, peer.AddrInfo{ID: mailboxtest.Peer(i), Addrs: append([]ma.Multiaddr{long}, slices.Repeat([]ma.Multiaddr{fits}, 9)...)})
	}
	answer := mailbox.MarshalHosts(hosts)
	told, err := mailbox.ParseHosts(answer)
	if err != nil || len(told) != mailbox.MaxHosts || len(told[0].Addrs) != mailbox.HostAddresses || !told[0].Addrs[0].Equal(fits) {
		t.Errorf("%d hosts with %d addresses are told, %v", len(told), len(told[0].Addrs), err)
	}
	box := mailbox.MarshalBox(mailbox.Box{Box: make([]byte, mailbox.MaxBox)})
	if _, _, err := mailbox.ParseHanded(box); err != nil || len(box) != mailbox.MaxHanded {
		t.Errorf("the largest box: %v", err)
	}
	if _, _, err := mailbox.ParseHanded(append(box, 0)); err == nil {
		t.Error("a larger box is taken")
	}
	written := mailbox.MarshalLanes(lanes)
	if read, err := mailbox.ParseLanes(written); err != nil || len(read) != len(lanes) || len(written) != mailbox.MaxLanesFrame {
		t.Errorf("%d lanes are read of %d, %v", len(read), len(lanes), err)
	}
	if len(answer) > mailbox.MaxAnswer {
		t.Errorf("an answer of %d bytes, at most %d are allowed", len(answer), mailbox.MaxAnswer)
	}
}

// fuzz reads what no honest peer may have written: it does not crash, and what it reads it writes the same again.
func fuzz(f *testing.F, names []string, again func([]byte) ([]byte, error)) {
	for _, g := range goldens(f) {
		if slices.Contains(names, g.name) {
			f.Add(g.wire)
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if got, err := again(b); err == nil && !bytes.Equal(got, b) {
			t.Errorf("%x is read as %x", b, got)
		}
	})
}

func FuzzHead(f *testing.F)   { fuzz(f, []string{"head"}, againHead) }
func FuzzLanes(f *testing.F)  { fuzz(f, []string{"lanes", "no lanes"}, againLanes) }
func FuzzPolicy(f *testing.F) { fuzz(f, []string{"policy"}, againPolicy) }
func FuzzHanded(f *testing.F) { fuzz(f, []string{"box", "nothing"}, againHanded) }
func FuzzAck(f *testing.F)    { fuzz(f, []string{"acknowledgement"}, againAck) }
func FuzzHosts(f *testing.F)  { fuzz(f, []string{"hosts", "no hosts"}, againHosts) }

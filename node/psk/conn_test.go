package psk

import (
	"bytes"
	"errors"
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/libp2p/go-libp2p/p2p/net/pnet"
	manet "github.com/multiformats/go-multiaddr/net"
)

// wire is one end of a connection in memory, which needs no addresses.
type wire struct {
	manet.Conn
	end net.Conn
}

func (w wire) Read(b []byte) (int, error)        { return w.end.Read(b) }
func (w wire) Write(b []byte) (int, error)       { return w.end.Write(b) }
func (w wire) Close() error                      { return w.end.Close() }
func (w wire) SetReadDeadline(t time.Time) error { return w.end.SetReadDeadline(t) }

// answered returns both ends of a connection to somebody whose ring it is.
func answered(t *testing.T, r *Ring) (caller net.Conn, in *incoming) {
	t.Helper()
	ours, theirs := net.Pipe()
	t.Cleanup(func() { _, _ = ours.Close(), theirs.Close() })
	return theirs, &incoming{Conn: wire{end: ours}, ring: r}
}

// said returns what a caller with a key sends.
func said(t testing.TB, key Key, words string) []byte {
	t.Helper()
	var sent bytes.Buffer
	c, err := pnet.NewProtectedConn(key[:], sink{Writer: &sent})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Write([]byte(words)); err != nil {
		t.Fatal(err)
	}
	return sent.Bytes()
}

type sink struct {
	net.Conn
	io.Writer
}

func (s sink) Write(b []byte) (int, error) { return s.Writer.Write(b) }

// FuzzFits shows whatever there is to a ring of two keys: a key fits as long as what came can be a caller's, and nothing is decided by what is
// behind the greeting.
func FuzzFits(f *testing.F) {
	newest, older := Key{1}, Key{2}
	f.Add(said(f, newest, greeting+"\x07/noise\n"), 44)
	f.Add(said(f, older, greeting), 30)
	f.Add(said(f, Key{3}, greeting), 25)
	f.Add([]byte(greeting), 20)
	f.Add([]byte("GET / HTTP/1.1\r\nHost: example.org\r\n\r\n"), 40)
	f.Fuzz(func(t *testing.T, b []byte, n int) {
		shown := b[:max(0, min(n, len(b), shownSize))]
		left := fits(shown, []Key{newest, older})
		for _, key := range left {
			if len(shown) == shownSize && decrypt(key, shown) != greeting {
				t.Errorf("%x fits, and says %q", shown, decrypt(key, shown))
			}
		}
		if bytes.HasPrefix(shown, []byte(greeting)) && len(left) > 0 {
			t.Error("what is said in clear fits")
		}
		if again := fits(shown[:len(shown)/2], []Key{newest, older}); len(again) < len(left) && !bytes.HasPrefix(shown, []byte(greeting)) {
			t.Error("less fitted before more came")
		}
		for i := range len(shown) - nonceSize { // one bit is enough
			spoilt := bytes.Clone(shown)
			spoilt[nonceSize+i] ^= 1
			if len(fits(spoilt, left)) > 0 {
				t.Errorf("byte %d does not matter", nonceSize+i)
			}
		}
	})
}

// Alice takes callers with either key in the grace, however their bytes come, and answers under the key that they have.
func TestTheCallersKeyIsFound(t *testing.T) {
	t.Parallel()
	newest, older := Key{1}, Key{2}
	for _, key := range []Key{newest, older} {
		for _, size := range []int{1, 7, nonceSize, shownSize, 1 << 10} {
			ring := NewRing(older)
			ring.Turn(newest, older, time.Now().Add(time.Hour))
			caller, in := answered(t, ring)
			if _, err := in.Write([]byte("hel")); err != nil { // before anything is known
				t.Fatal(err)
			}
			bob, err := pnet.NewProtectedConn(key[:], slow{caller, size})
			if err != nil {
				t.Fatal(err)
			}
			done := make(chan error, 1)
			go func() {
				_, err := bob.Write([]byte(greeting + "and more"))
				done <- err
			}()
			heard := make(chan string, 1)
			go func() {
				b := make([]byte, 5)
				_, _ = io.ReadFull(bob, b)
				heard <- string(b)
			}()
			got := make([]byte, len(greeting)+8)
			if _, err := io.ReadFull(in, got); err != nil || string(got) != greeting+"and more" {
				t.Fatalf("%d at a time: %q, %v", size, got, err)
			}
			if _, err := in.Write([]byte("lo")); err != nil {
				t.Fatal(err)
			}
			if word := <-heard; word != "hello" || <-done != nil {
				t.Errorf("%d at a time: Bob hears %q", size, word)
			}
			if ring.Wrong() != 0 {
				t.Error("he is counted")
			}
		}
	}
}

// slow writes a few bytes at a time.
type slow struct {
	net.Conn
	size int
}

func (s slow) Write(b []byte) (n int, err error) {
	for len(b) > 0 && err == nil {
		k := min(s.size, len(b))
		_, err = s.Conn.Write(b[:k])
		b, n = b[k:], n+k
	}
	return n, err
}

// Whoever has another key, or none, is hung up on with the first byte that shows it, and hears nothing, not even a nonce.
func TestOthersHearNothing(t *testing.T) {
	t.Parallel()
	for name, words := range map[string][]byte{
		"another key":          said(t, Key{9}, greeting),
		"a key of last year":   said(t, Key{2}, greeting),
		"no key":               []byte(greeting + "\x07/noise\n"),
		"the right key, drunk": said(t, Key{1}, "\x13/multistream/2.0.0\n"),
		"a browser":            []byte("GET / HTTP/1.1\r\nHost: example.org\r\n\r\n0123456789"),
	} {
		ring := NewRing(Key{2})
		ring.Turn(Key{1}, Key{2}, time.Now())
		caller, in := answered(t, ring)
		_, _ = in.Write([]byte(greeting))
		go func() { _, _ = caller.Write(words) }()
		if _, err := in.Read(make([]byte, 1)); !errors.Is(err, ErrOtherKey) {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := in.Write([]byte("x")); !errors.Is(err, ErrOtherKey) {
			t.Errorf("%s is written to: %v", name, err)
		}
		if heard, err := io.ReadAll(caller); len(heard) > 0 || err != nil {
			t.Errorf("%s hears %x, %v", name, heard, err)
		}
		if ring.Wrong() != 1 {
			t.Errorf("%s is counted %d times", name, ring.Wrong())
		}
	}
}

// Who says nothing, or not enough, is waited for as long as the limit says. Who goes away before he has begun is nobody's business.
func TestTheSilentAreNotWaitedForForEver(t *testing.T) {
	for name, c := range map[string]struct {
		words  []byte
		leaves bool
		wrong  int
	}{
		"silent":          {nil, false, 1},
		"a nonce alone":   {make([]byte, nonceSize), false, 1},
		"half a greeting": {said(t, Key{1}, greeting)[:shownSize-1], false, 1},
		"gone at once":    {nil, true, 0},
		"gone again":      {make([]byte, nonceSize), true, 0},
		"gone too late":   {said(t, Key{1}, greeting)[:shownSize-1], true, 1},
	} {
		synctest.Test(t, func(t *testing.T) {
			ring := NewRing(Key{1})
			caller, in := answered(t, ring)
			go func() {
				_, _ = caller.Write(c.words)
				if c.leaves {
					_ = caller.Close()
				}
			}()
			began := time.Now()
			if _, err := in.Read(make([]byte, 1)); err == nil {
				t.Errorf("%s: something was read", name)
			}
			if took := time.Since(began); took > ShowTimeout || !c.leaves && took != ShowTimeout {
				t.Errorf("%s: it took %v", name, took)
			}
			if ring.Wrong() != c.wrong {
				t.Errorf("%s: counted %d times", name, ring.Wrong())
			}
		})
	}
}

// What waits for the caller's key is bounded.
func TestWhatIsHeldIsBounded(t *testing.T) {
	t.Parallel()
	_, in := answered(t, NewRing(Key{1}))
	if _, err := in.Write(make([]byte, maxHeld)); err != nil {
		t.Fatal(err)
	}
	if _, err := in.Write([]byte{0}); err == nil {
		t.Error("more than the limit is held")
	}
}

// The grace ends by itself, and a ring remembers who was behind until then, and no more of them than it may.
func TestARingTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ring := NewRing(Key{1})
		if keys := ring.toDial("bob"); len(keys) != 1 || keys[0] != (Key{1}) {
			t.Fatalf("at first: %d keys", len(keys))
		}
		ring.Turn(Key{2}, Key{1}, time.Now().Add(time.Hour))
		ring.answered("bob", Key{1})
		if keys := ring.toDial("bob"); len(keys) != 2 || keys[0] != (Key{1}) {
			t.Error("Bob's key is not tried first")
		}
		if keys := ring.toDial("carol"); len(keys) != 2 || keys[0] != (Key{2}) {
			t.Error("Carol is not called with the newest key first")
		}
		ring.answered("bob", Key{2})
		if keys := ring.toDial("bob"); keys[0] != (Key{2}) {
			t.Error("Bob has followed, and is called with the older key first")
		}
		for i := range 2 * maxBehind {
			ring.answered(peerOf(i), Key{1})
		}
		if len(ring.behind) != maxBehind {
			t.Errorf("%d are remembered", len(ring.behind))
		}
		time.Sleep(time.Hour)
		if keys := ring.toDial("bob"); len(keys) != 1 || keys[0] != (Key{2}) || ring.Newest() != (Key{2}) {
			t.Error("the older key is good after its grace")
		}
	})
}

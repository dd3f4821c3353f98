package pace

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
)

const (
	alice = peer.ID("alice")
	bob   = peer.ID("bob")
)

// TestAllow lets a burst through, then one use per interval, and keeps peers apart.
func TestAllow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := New(2, 5)
		count := func(id peer.ID) (n int) {
			for range 20 {
				if p.Allow(id) {
					n++
				}
			}
			return n
		}
		if n := count(alice); n != 5 {
			t.Errorf("alice's burst: %d", n)
		}
		if n := count(bob); n != 5 {
			t.Errorf("bob pays for alice: %d", n)
		}
		time.Sleep(time.Second)
		if n := count(alice); n != 2 {
			t.Errorf("alice after a second: %d", n)
		}
	})
}

// TestWait slows down and refuses nobody who can wait.
func TestWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := New(100, 10)
		start := time.Now()
		for range 11 {
			if err := p.Wait(t.Context(), alice, 1000); err != nil { // counts as 10
				t.Fatal(err)
			}
		}
		if took := time.Since(start).Round(time.Millisecond); took != time.Second {
			t.Errorf("110 uses at 100 a second, 10 at once, took %s", took)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := p.Wait(ctx, alice, 10); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
	})
}

// TestBounded shows that many peers cost bounded memory, and that those who have used up their burst are forgotten last.
func TestBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := New(1, 2)
		p.Allow(alice)
		p.Allow(alice)
		for i := range MaxPeers + 10 {
			p.bucket(peer.ID(fmt.Sprint(i)))
			if len(p.buckets) > MaxPeers {
				t.Fatalf("%d buckets", len(p.buckets))
			}
		}
		if p.Allow(alice) {
			t.Error("alice got a new burst because others came")
		}
		for i := range 2 * MaxPeers {
			p.Allow(peer.ID(fmt.Sprint("spender", i)))
		}
		if len(p.buckets) > MaxPeers {
			t.Errorf("%d buckets when nobody's is full", len(p.buckets))
		}
	})
}

// TestBackoff doubles, has an end, and is never the same twice.
func TestBackoff(t *testing.T) {
	b := Backoff{First: time.Second, Most: time.Minute}
	for i := range 100 {
		full := time.Minute
		if i < 7 {
			full = min(time.Second<<i, time.Minute)
		}
		if d := b.Next(); d < full/2 || d > full {
			t.Errorf("attempt %d: %s, not %s to %s", i, d, full/2, full)
		}
	}
}

// TestBackoffStartsAgain waits as short as at first once something went well.
func TestBackoffStartsAgain(t *testing.T) {
	b := Backoff{First: time.Second, Most: time.Minute}
	for range 10 {
		b.Next()
	}
	b.Reset()
	if d := b.Next(); d > time.Second {
		t.Errorf("%s", d)
	}
}

// TestSpent says who has used up what is his, and uses nothing itself.
func TestSpent(t *testing.T) {
	p := New(0, 1)
	if p.Spent(alice) || !p.Allow(alice) {
		t.Error("a token was taken by who only looked")
	}
	if !p.Spent(alice) || p.Spent(bob) {
		t.Error("alice has none left, and bob has his")
	}
}

package signs

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
)

const life = 10 * time.Second

// A device has time since its last sign of life, and not for ever.
func TestPatience(t *testing.T) {
	s, now := New(10, life), time.Now()
	late := now.Add(time.Hour)
	if more := s.Patience("bob", now, late); more > 0 {
		t.Errorf("bob has %v though nobody has heard of him", more)
	}
	s.Note("bob", now)
	if silent, never := s.Silent("bob", now.Add(time.Second)), s.Silent("carol", now); silent != time.Second || never < life {
		t.Errorf("bob is silent for %v, and carol for %v", silent, never)
	}
	for after, want := range map[time.Duration]time.Duration{0: life, life - 1: 1, life: 0} {
		if more := s.Patience("bob", now.Add(after), late); more != want {
			t.Errorf("after %s: %v", after, more)
		}
	}
	if more := s.Patience("bob", now, now.Add(time.Second)); more != time.Second {
		t.Errorf("bob has %v with a second left", more)
	}
}

// Old signs go where there are many.
func TestSignsAreBounded(t *testing.T) {
	const size = 100
	s, now := New(size, life), time.Now()
	for i := range 3 * size {
		s.Note(peer.ID(fmt.Sprint(i)), now.Add(time.Duration(i)*time.Second))
	}
	if len(s.last) > size {
		t.Errorf("%d signs are remembered, most of which are too old", len(s.last))
	}
}

// A device that is silent is doubted, and neither one that gives signs of life nor one whose attempt has ended.
func TestWhenSilent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const while = 3 * time.Second
		s := New(10, life)
		ended, end := context.WithCancel(t.Context())
		defer end()
		var bob, carol atomic.Int32 // how often they were in doubt
		s.WhenSilent(t.Context(), "bob", while, func() { bob.Add(1) })
		s.WhenSilent(ended, "carol", while, func() { carol.Add(1) })
		for range 10 {
			time.Sleep(while / 2)
			s.Note("bob", time.Now())
			end()
		}
		if bob.Load() > 0 {
			t.Error("bob is in doubt, and gives signs of life")
		}
		time.Sleep(2 * while)
		synctest.Wait()
		if bob.Load() != 1 || carol.Load() != 0 {
			t.Errorf("bob was in doubt %d times, who is silent, and carol %d times, whom nobody waits for", bob.Load(), carol.Load())
		}
	})
}

package chat_test

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"parley/chat"
	"parley/chat/chattest"
)

// twice hands each one-time pair of Bob's to two who ask, one after the other.
type twice struct {
	*chat.Messenger

	mu   sync.Mutex
	last []byte
}

func (d *twice) OneTime(ctx context.Context) (pair []byte, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if pair, d.last = d.last, nil; pair == nil {
		pair, err = d.Messenger.OneTime(ctx)
		d.last = pair
	}
	return pair, err
}

// Whoever hands Bob's one-time pairs out hands each to two. Where both are strangers each can ask Bob, and is answered nothing before he has
// accepted them; where both are contacts that he cannot open what comes second is told. Everything arrives, once, with nobody doing anything about
// it, and Bob notices.
func TestAPairForTwo(t *testing.T) {
	for round := range times(8, 500) {
		synctest.Test(t, func(t *testing.T) {
			s := chattest.NewScene(t, uint64(round))
			bob := s.Started("Bob", chattest.NewMemStore())
			synctest.Wait()
			s.Net.Plug(bob.Identity.Device(), &twice{Messenger: bob.Messenger})
			two := []*chattest.Person{s.Started("Eve", chattest.NewMemStore()), s.Started("Fred", chattest.NewMemStore())}
			if round%2 == 0 {
				strangersOf(bob, two)
			} else {
				contactsOf(s, bob, two)
				time.Sleep(chat.CopyFirst / 2) // before the stock fills up
				s.Net.SetFaults(chattest.Faults{})
				bob.Hears(two[0], 1)
				bob.Hears(two[1], 1)
			}
			if n := secretsOf(t, bob, chat.SecretOneTime); n != chat.OneTimePairs-1 {
				t.Fatalf("round %d: %d pairs are left: not each was given to two", round, n)
			}
			for _, p := range two {
				p.Sees(p.Say(bob, "thank you"), chat.StateDelivered)
				bob.Sees(bob.Say(p, "welcome"), chat.StateDelivered)
				if got := bob.Texts(p); !slices.Equal(got, []string{"may I?", "thank you", "welcome"}) {
					t.Errorf("round %d: Bob has %q", round, got)
				}
			}
			if bob.Doubles() == 0 {
				t.Errorf("round %d: Bob has not noticed", round)
			}
		})
	}
}

// strangersOf lets two write to Bob, who accepts them.
func strangersOf(bob *chattest.Person, two []*chattest.Person) {
	for _, p := range two {
		p.Adds(bob)
		p.Say(bob, "may I?")
	}
	bob.Asked(2)
	for _, p := range two {
		bob.Accepts(p)
	}
}

// contactsOf lets two write to Bob who have added him, and whom he has added, while nothing arrives.
func contactsOf(s *chattest.Scene, bob *chattest.Person, two []*chattest.Person) {
	s.Net.SetFaults(chattest.Faults{Lose: 1})
	for _, p := range two {
		p.Befriend(bob)
		p.Say(bob, "may I?")
	}
}

// Mallory takes ten thousand one-time pairs of Bob's an hour, so that he never has any. Whoever is new reaches him all the same.
func TestWhoTakesAllPairsKeepsNobodyOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := chattest.NewScene(t, 1)
		bob := s.Started("Bob", chattest.NewMemStore())
		people := times(10, 100)
		for hour := range 5 {
			synctest.Wait() // the stock is full
			taken := 0
			for range 10_000 {
				pair, err := bob.OneTime(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				if pair != nil {
					taken++
				}
			}
			if taken > chat.OneTimePairs {
				t.Errorf("%d pairs were taken in an hour", taken)
			}
			for i := range people / 5 {
				p := s.Started(fmt.Sprintf("P%d-%d", hour, i), chattest.NewMemStore())
				p.Befriend(bob)
				p.Sees(p.Say(bob, "hello"), chat.StateDelivered)
				p.Stop()
			}
			time.Sleep(chat.TendEvery)
		}
		if contacts, err := bob.Contacts(t.Context()); err != nil || len(contacts) != people {
			t.Errorf("%d of %d reached Bob, %v", len(contacts), people, err)
		}
	})
}

// slots is how many parts of the hour the next story tells apart.
const slots = 4

// Nobody learns from when Bob's stock of pairs is full again whether and when pairs were taken: it fills up on a schedule that began with
// his node. The same statistics find a messenger that fills up whenever one is used.
func TestTheStockFillsUpWhateverWasUsed(t *testing.T) {
	trials := times(120, 2000)
	if p := dependence(refills(t, trials, false)); p <= 0.01 {
		t.Errorf("when the stock fills up depends on when pairs were taken: p = %.2g", p)
	} else {
		t.Logf("p = %.2g", p)
	}
	if p := dependence(refills(t, trials/4, true)); p > 0.01 {
		t.Errorf("these statistics do not find a stock that fills up on use: p = %.2g", p)
	}
}

// refills takes pairs of Bob's at random times after starts at random times, and counts in which part of the hour they were taken and in which
// the stock filled up. Where it is planted he fills up on use.
func refills(t *testing.T, trials int, planted bool) (table [slots][slots]int) {
	synctest.Test(t, func(t *testing.T) {
		s, rng := chattest.NewScene(t, 1), rand.New(rand.NewPCG(1, 2))
		bob := s.Started("Bob", chattest.NewMemStore())
		begin := time.Now()
		slot := func() int { return int(time.Since(begin)%time.Hour) * slots / int(time.Hour) }
		for range trials {
			bob.Stop()
			time.Sleep(time.Duration(rng.Int64N(int64(time.Hour))))
			bob.Start(nil)
			time.Sleep(time.Hour/slots + time.Duration(rng.Int64N(int64(time.Hour))))
			used := slot()
			for range 1 + rng.IntN(5) {
				if _, err := bob.OneTime(t.Context()); err != nil {
					t.Fatal(err)
				}
				if planted {
					if err := bob.Refill(t.Context()); err != nil {
						t.Fatal(err)
					}
				}
			}
			for secretsOf(t, bob, chat.SecretOneTime) < chat.OneTimePairs {
				time.Sleep(time.Minute)
				synctest.Wait()
			}
			table[used][slot()]++
		}
	})
	return table
}

// dependence is the chance that a table as uneven as this one comes about where rows and columns have nothing to do with each other: Pearson's
// chi-square.
func dependence(table [slots][slots]int) float64 {
	var rows, columns [slots]float64
	var all, sum float64
	for i, row := range table {
		for j, n := range row {
			rows[i] += float64(n)
			columns[j] += float64(n)
			all += float64(n)
		}
	}
	for i, row := range table {
		for j, n := range row {
			expected := rows[i] * columns[j] / all
			sum += (float64(n) - expected) * (float64(n) - expected) / expected
		}
	}
	return chiSquareTail((slots-1)*(slots-1), sum)
}

// chiSquareTail is the chance that a chi-square of so many degrees of freedom is above x: the series of the regularized incomplete gamma function.
func chiSquareTail(degrees int, x float64) float64 {
	a, z := float64(degrees)/2, x/2
	gamma, _ := math.Lgamma(a + 1)
	term := math.Exp(a*math.Log(z) - z - gamma)
	below := term
	for k := 1; k < 10_000; k++ {
		term *= z / (a + float64(k))
		below += term
	}
	return max(1-below, 0)
}

// TestChiSquare compares with a table: the values that are exceeded once in a hundred times, and twice.
func TestChiSquare(t *testing.T) {
	for _, c := range []struct {
		degrees int
		x, tail float64
	}{{1, 6.635, 0.01}, {1, 3.841, 0.05}, {2, 9.210, 0.01}, {10, 23.209, 0.01}, {25, 44.314, 0.01}, {25, 37.652, 0.05}, {25, 24.337, 0.5}} {
		if got := chiSquareTail(c.degrees, c.x); math.Abs(got-c.tail) > c.tail/500 {
			t.Errorf("%d degrees above %v: %.5f, not %v", c.degrees, c.x, got, c.tail)
		}
	}
}

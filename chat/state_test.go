package chat

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"parley/chat/internal/wire"
)

func TestStatesNeverGoBackwards(t *testing.T) {
	all := []State{StateQueued, StateSent, StateDelivered, StateRead, StateFailed, StateReceived}
	allowed := map[State]string{
		StateQueued: "sent delivered read failed", StateSent: "delivered read failed", StateDelivered: "read", StateReceived: "read",
	}
	for _, from := range all {
		for _, to := range all {
			got, changed := from.Advance(to)
			want := strings.Contains(allowed[from], string(to))
			if changed != want || changed && got != to || !changed && got != from {
				t.Errorf("%s, told of %s: %s, %v; want a change: %v", from, to, got, changed, want)
			}
			if changed && from != StateReceived && to != StateFailed && !to.Reached(from) {
				t.Errorf("%s -> %s goes back", from, to)
			}
		}
	}
	if StateFailed.Reached(StateQueued) || StateReceived.Reached(StateQueued) {
		t.Error("a failed or received message has reached a state of delivery")
	}
}

func TestRowIDsGrowWhateverTheClockDoes(t *testing.T) {
	clock := clock{wall: func() time.Time { return time.UnixMilli(1_700_000_000_000) }}
	var last RowID
	for i := range 20_000 {
		if i == 10_000 {
			clock.wall = func() time.Time { return time.UnixMilli(0) }
		}
		id := clock.nextRow()
		if string(id[:]) <= string(last[:]) {
			t.Fatalf("row %d: %x does not follow %x", i, id, last)
		}
		if id[6]>>4 != 7 || id[8]>>6 != 2 {
			t.Fatalf("row %d: %x is no UUIDv7", i, id)
		}
		last = id
	}
}

func TestAClockFarAheadMovesNobodyElses(t *testing.T) {
	now := time.UnixMilli(1_700_000_000_000)
	clock := clock{wall: func() time.Time { return now }}
	clock.merge(hlcAt(now.AddDate(1, 0, 0)))
	if got := clock.tick(); got != hlcAt(now) {
		t.Errorf("a clock a year ahead moved ours to %d", got>>16)
	}
	ahead := hlcAt(now.Add(time.Minute))
	clock.merge(ahead)
	if got := clock.tick(); got != ahead+1 {
		t.Errorf("tick after a credible clock = %d, want %d", got, ahead+1)
	}
	if a, b := clock.tick(), clock.tick(); b <= a {
		t.Errorf("ticks do not grow: %d, %d", a, b)
	}
}

func TestBackoffGrowsAndIsBounded(t *testing.T) {
	for attempts := range 100 {
		for range 50 {
			d := backoff(attempts)
			if d < RetryFirst/2 || d > RetryMax {
				t.Fatalf("backoff(%d) = %v", attempts, d)
			}
			if attempts >= 9 && d < RetryMax/2 {
				t.Fatalf("backoff(%d) = %v, want at least half of %v", attempts, d, RetryMax)
			}
		}
	}
}

func TestAHandOverIsJudgedByWhatTheDeviceHasProven(t *testing.T) {
	row := OutboxRow{Message: RowID{1}, Tag: AckTag{7}, Body: wire.BodyContent}
	receipt := wire.Content{Kind: byte(KindReceipt), Seq: 1, Payload: []byte{1}}.Append(nil)
	receipts := OutboxRow{Tag: AckTag{7}, Body: wire.BodyContent, Content: receipt}
	card := OutboxRow{Tag: AckTag{7}, Body: wire.BodyContent, Content: wire.Content{Kind: byte(KindCard), Seq: 1, Payload: []byte{1}}.Append(nil)}
	acks, step, heal := OutboxRow{Tag: AckTag{7}, Body: bodyAcks}, OutboxRow{Body: wire.BodyStep}, OutboxRow{Body: wire.BodyHeal}
	for _, test := range []struct {
		name   string
		row    OutboxRow
		handed Handed
		state  State
		final  bool
	}{
		{"the device opened it", row, Handed{Route: RouteDirect, Acked: true}, StateDelivered, true},
		{"the device opened it, over a relay", row, Handed{Route: RouteRelayed, Acked: true}, StateDelivered, true},
		{"the device has not accepted it", row, Handed{Route: RouteDirect}, "", false},
		{"the device has not accepted receipts", receipts, Handed{Route: RouteRelayed}, "", false},
		{"a mailbox holds it", row, Handed{Route: RouteMailbox}, StateSent, false},
		{"a mailbox holds receipts", receipts, Handed{Route: RouteMailbox}, StateSent, true},
		{"a mailbox holds a step", step, Handed{Route: RouteMailbox}, StateSent, true},
		{"a mailbox holds a card", card, Handed{Route: RouteMailbox}, StateSent, false},
		{"a mailbox holds a heal", heal, Handed{Route: RouteMailbox}, StateSent, false},
		{"the device took acknowledgements", acks, Handed{Route: RouteDirect}, "", true},
		{"a mailbox holds acknowledgements", acks, Handed{Route: RouteMailbox}, "", true},
	} {
		if state, final := settled(test.row, test.handed); state != test.state || final != test.final {
			t.Errorf("%s: %q, %v", test.name, state, final)
		}
	}
}

// TestTheQueueOfADevice plays what happens to one device, and asks each time whether it may fly.
func TestTheQueueOfADevice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOutbox()
		const bob = peer.ID("bob")
		refused := landing{failure: errUnaccepted, ceiling: RetryMax}
		land := func(l landing) { o.landed(bob, time.Now(), l) }
		fly := func(what string, want bool) {
			t.Helper()
			if device, ok, _ := o.next(time.Now()); ok != want || ok && device != bob {
				t.Fatalf("%s: flies %v, want %v", what, ok, want)
			}
		}
		fly("nothing is queued", false)
		o.queued(bob)
		fly("the first", true)
		o.queued(bob)
		fly("two at once", false)
		land(refused)
		for range 10 { // the rests grow to their longest
			time.Sleep(RetryMax)
			fly("after a rest", true)
			land(refused)
		}
		time.Sleep(RetryNew)
		o.queued(bob)
		fly("something new, for somebody who accepts nothing", false)
		o.heard(bob)
		fly("Bob has spoken", true)
		o.heard(bob)
		land(refused)
		fly("right after an attempt, whoever speaks", false)
		time.Sleep(RetryFirst)
		fly("Bob spoke meanwhile", true)
		land(refused)
		o.accepted(bob)
		fly("Bob has sent his card", true)
		o.accepted(bob)
		land(refused)
		fly("a second card is no reason", false)
		time.Sleep(RetryMax)
		fly("after a rest", true)
		land(landing{progress: true, failure: errUnaccepted, ceiling: RetryMax})
		o.accepted(bob)
		fly("he has taken something since", true)
		land(landing{progress: true, failure: errUnaccepted, ceiling: RetryMax})
		time.Sleep(RetryMax)
		fly("after one more rest", true)
		o.accepted(bob)
		land(refused)
		fly("his card came meanwhile", true)
		o.online(bob)
		land(refused)
		fly("he came online meanwhile", true)
		land(landing{})
		fly("nothing is left", false)
	})
}

func TestTroubleIsTheStoresAndEnds(t *testing.T) {
	var trouble trouble
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	for _, step := range []struct {
		ctx  context.Context
		err  error
		want string
	}{
		{t.Context(), &Error{Code: CodeInvalid, Detail: "a name is taken"}, ""},
		{gone, context.Canceled, ""},
		{t.Context(), &Error{Code: CodeUnavailable, Detail: "database unreachable"}, "database unreachable"},
		{t.Context(), &Error{Code: CodeTarget, Detail: "nobody"}, "database unreachable"},
		{t.Context(), errors.New("disk full"), "disk full"},
		{t.Context(), nil, ""},
	} {
		trouble.judge(step.ctx, step.err)
		if got := trouble.now(); got != step.want {
			t.Errorf("after %v: %q, want %q", step.err, got, step.want)
		}
	}
}

func TestAFlightIsBoundedInBytesButNeverEmpty(t *testing.T) {
	row := func(n int) OutboxRow { return OutboxRow{Envelope: make([]byte, n)} }
	rows := []OutboxRow{row(100), row(1), row(50), row(50)}
	for bytes, want := range map[int]int{0: 1, 99: 1, 100: 1, 101: 2, 150: 2, 151: 3, 201: 4, 1000: 4} {
		if got := len(within(rows, bytes)); got != want {
			t.Errorf("%d bytes: %d rows, want %d", bytes, got, want)
		}
	}
}

func TestAStrangersClockMovesOursNeitherNowNorAtARestart(t *testing.T) {
	store := newVault(t)
	alice, mallory := identity(t), identity(t)
	year9000 := hlcAt(time.Date(9000, 1, 1, 0, 0, 0, 0, time.UTC))
	content := wire.Content{Kind: byte(KindText), Seq: 1, Clock: year9000, Payload: []byte("x")}.Append(nil)
	m := messengerOf(t, alice, Network{}, store)
	newest := func(author AccountID) {
		t.Helper()
		row := MessageRow{Row: RowID{1}, Author: author, Content: content}
		if err := m.update(t.Context(), func(tx Tx, _ *aftermath) error { return tx.InsertMessage(row) }); err != nil {
			t.Fatal(err)
		}
	}
	newest(mallory.Account())
	if err := m.resumeClock(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := m.clock.tick(); got >= hlcAt(time.Now().Add(time.Minute)) {
		t.Errorf("our clock says %v", time.UnixMilli(int64(got>>16)))
	}
	newest(alice.Account())
	if err := m.resumeClock(t.Context()); err != nil || m.clock.tick() <= year9000 {
		t.Errorf("our own clock went back, %v", err)
	}
}

func TestAMemoKeepsNothingOfItsInput(t *testing.T) {
	memo := newMemo(func(b []byte) ([]byte, error) { return b, nil })
	in := []byte("certificate and 96 KiB behind it")
	kept, err := memo.of(in[:11])
	if err != nil || &kept[0] == &in[0] {
		t.Errorf("the memo holds on to what it was given, %v", err)
	}
}

func TestAMemoProvesOnceAndForgetsInTime(t *testing.T) {
	parsed := 0
	memo := newMemo(func(b []byte) (string, error) {
		parsed++
		if len(b) == 0 {
			return "", errors.New("nothing")
		}
		return string(b), nil
	})
	for range 3 {
		if v, err := memo.of([]byte("a")); v != "a" || err != nil {
			t.Fatalf("a is %q, %v", v, err)
		}
		if _, err := memo.of(nil); err == nil {
			t.Fatal("nothing was parsed")
		}
	}
	if parsed != 1+3 {
		t.Errorf("parsed %d times; want once what is good, each time what is not", parsed)
	}
	for i := range 3 * memoSize {
		if _, err := memo.of([]byte{byte(i), byte(i >> 8), 1}); err != nil || len(memo.known) > memoSize {
			t.Fatalf("after %d: %d remembered, %v", i, len(memo.known), err)
		}
	}
}

// What a device has numbered comes in any order; each number counts once, and what is missing is known.
func TestNumbersAreCountedInAnyOrder(t *testing.T) {
	for seed := range uint64(200) {
		rng := rand.New(rand.NewPCG(seed, 1))
		const n = 50
		order := rng.Perm(n)
		var a *Author
		came := map[uint64]bool{}
		for i, k := range order[:rng.IntN(n)+1] {
			seq := uint64(k + 1)
			if a == nil {
				a = &Author{First: seq, Next: seq + 1}
			} else if !a.count(seq) {
				t.Fatalf("seed %d: %d counts as known at its first coming", seed, seq)
			}
			came[seq] = true
			if back := uint64(order[rng.IntN(i+1)] + 1); back >= a.First && a.count(back) {
				t.Fatalf("seed %d: %d counts twice", seed, back)
			}
		}
		missing := map[uint64]bool{}
		for _, g := range a.Missing {
			for seq := g.From; seq <= g.To; seq++ {
				missing[seq] = true
			}
		}
		for seq := a.First; seq < a.Next; seq++ {
			if missing[seq] == came[seq] {
				t.Fatalf("seed %d: %d came: %v, missing: %v", seed, seq, came[seq], missing[seq])
			}
		}
		again := readAuthors(wire.NewReader(appendAuthors(nil, []Author{*a})))
		if len(again) != 1 || !slices.Equal(again[0].Missing, a.Missing) || again[0].First != a.First || again[0].Next != a.Next {
			t.Fatalf("seed %d: %+v is read as %+v", seed, a, again)
		}
	}
}

package node_test

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/libp2p/go-libp2p/p2p/protocol/autonatv2"
	"github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/proto"
	"github.com/libp2p/go-libp2p/p2p/protocol/holepunch"
	"github.com/libp2p/go-libp2p/p2p/protocol/identify"
	"github.com/libp2p/go-libp2p/p2p/protocol/ping"

	"parley/node"
	"parley/node/direct"
	"parley/node/directory"
	"parley/node/mailbox"
	"parley/node/mailbox/mailboxtest"
	"parley/node/member"
	"parley/node/nodetest"
	"parley/node/prekey"
)

// newSeedSiege is a siege of a network's only seed, which keeps mailboxes and lets newcomers in: everybody needs it.
func newSeedSiege(t *testing.T) *siege {
	t.Helper()
	p := &post{t: t, world: nodetest.NewWorld(t, nodetest.Private)}
	seed, store := founder(p.world, "seed"), mailboxtest.NewStore()
	seed.Config.Mailboxes = store
	p.seed = seed.Start()
	p.hosts, p.stores = append(p.hosts, p.seed), append(p.stores, store)
	p.alice, p.bob = p.world.Device("alice").Start(), p.world.Device("bob").Start()
	for _, d := range []*nodetest.Device{p.alice, p.bob} {
		d.Knows(p.seed)
	}
	return beset(p, p.seed)
}

// arrivals are newcomers who join while a seed is beset.
type arrivals struct {
	took     []time.Duration
	attempts int
}

// joins has newcomers join one after the other until an end, at least three. Who is not let in at the first attempt tries again, as a node does.
func (s *siege) joins(end <-chan struct{}) (a arrivals) {
	s.t.Helper()
	for i := 0; ; i++ {
		select {
		case <-end:
			if i >= 3 {
				return a
			}
		default:
		}
		newcomer := invited(s.t, s.world, fmt.Sprintf("newcomer %d", i), s.home, 1)
		begin, err := time.Now(), error(nil)
		for ; time.Since(begin) < time.Minute; a.attempts++ {
			ctx, cancel := context.WithTimeout(context.Background(), 2*node.DialTimeout)
			err = node.Join(ctx, newcomer.Config)
			if cancel(); err == nil {
				break
			}
		}
		if err != nil {
			s.t.Errorf("newcomer %d is not let in within a minute: %v", i, err)
			return a
		}
		a.attempts++
		a.took = append(a.took, time.Since(begin))
	}
}

// stands is holds, while newcomers join too. What was refused is counted, under each of these reasons.
func (s *siege) stands(attack func(), reasons ...string) {
	s.t.Helper()
	end, joined := make(chan struct{}), make(chan arrivals, 1)
	go func() { joined <- s.joins(end) }()
	over := sync.OnceValue(func() arrivals { close(end); return <-joined })
	defer over()
	s.holds(attack)
	a := over()
	slices.Sort(a.took)
	counted := figuresOf(s.t, s.home)
	all := make(map[string]float64)
	for _, r := range reasons {
		if all[r] = counted["parley_node_refused_total{"+r+"}"]; all[r] == 0 {
			s.t.Errorf("nothing is counted as %s", r)
		}
	}
	if len(a.took) > 0 {
		s.t.Logf("%d newcomers joined in %d attempts, the slowest in %v; refused: %v", len(a.took), a.attempts, a.took[len(a.took)-1], s.home.Refused())
	}
}

// TestSeedMeetsSlowStrangers has strangers, and some members among them, hold streams of every kind at a seed as slowly as they can.
func TestSeedMeetsSlowStrangers(t *testing.T) {
	s := newSeedSiege(t)
	crowd := s.crowd(times(20, 50))
	for range times(3, 10) {
		crowd = append(crowd, mallory(t, s.home))
	}
	ctx, hangUp := context.WithTimeout(t.Context(), longest)
	defer hangUp()
	var opening, holding sync.WaitGroup
	reasons := []string{"not_admitted"}
	if *whole {
		reasons = append(reasons, "too_slow")
	}
	s.stands(func() {
		for _, h := range crowd {
			for _, kind := range slownesses() {
				opening.Add(1)
				holding.Go(func() { kind.hold(ctx, h, s.home.ID(), sync.OnceFunc(opening.Done)) })
			}
		}
		opening.Wait()
		if *whole {
			holding.Wait()
		}
	}, reasons...)
	hangUp()
	holding.Wait()
}

// TestSeedMeetsStreamChurn has a stranger, and a member, open and end streams at a seed as fast as they can.
func TestSeedMeetsStreamChurn(t *testing.T) {
	s := newSeedSiege(t)
	crowd := []host.Host{s.crowd(1)[0], mallory(t, s.home)}
	s.stands(func() {
		begin, opened, n := time.Now(), atomic.Int64{}, times(2_000, 200_000)
		var churning sync.WaitGroup
		for worker := range 8 {
			churning.Go(func() {
				for i := worker; i < n; i += 8 {
					if s.churn(crowd[worker%2], i) {
						opened.Add(1)
					}
				}
			})
		}
		churning.Go(func() { flood(t, crowd[1], s.home, directory.Protocol, 100, []byte{0x7f, '/'}) })
		churning.Wait()
		t.Logf("%d streams of %d were opened, %.0f a second", opened.Load(), n, float64(opened.Load())/time.Since(begin).Seconds())
	}, "not_admitted", "resource_limit")
}

// TestSeedMeetsConnectionFlood has many strangers connect to a seed, and others who only knock and say nothing.
func TestSeedMeetsConnectionFlood(t *testing.T) {
	s := newSeedSiege(t)
	address := nodetest.Multiaddrs(t, s.home.Config.Listen...)[0]
	var accepted atomic.Int32
	n := times(200, 5_000)
	s.stands(func() {
		var flooding sync.WaitGroup
		for worker := range 8 {
			flooding.Go(func() {
				for i := worker; i < n; i += 8 {
					if s.knock(address, i) {
						accepted.Add(1)
					}
				}
			})
		}
		flooding.Wait()
		nodetest.WaitFor(t, "those who said nothing, and those who are no members, to be counted", func() bool {
			counted := s.home.Refused()
			return counted["wrong_key"] > 0 && counted["no_member"] > 0
		})
	}, "not_admitted", "no_member", "wrong_key")
	t.Logf("%d of %d connections were made", accepted.Load(), n)
	for _, d := range []*nodetest.Device{s.alice, s.bob} {
		if !slices.ContainsFunc(s.home.Peers(), func(p node.Peer) bool { return p.ID == d.ID() }) {
			t.Errorf("%s is gone", d.Name)
		}
	}
}

// silences is how long a seed lets a member be silent on a stream of each protocol; zero: as long as the connection lives, since it is the seed's
// turn. A protocol that is not in it has to be looked at.
func silences() map[protocol.ID]time.Duration {
	return map[protocol.ID]time.Duration{
		member.Protocol:            member.Probation,
		direct.Protocol:            direct.FirstFrame,
		directory.Protocol:         directory.ServeTimeout,
		prekey.Protocol:            prekey.Timeout,
		mailbox.ProtocolDeposit:    mailbox.FirstFrame,
		mailbox.ProtocolFetch:      mailbox.FirstFrame,
		mailbox.ProtocolOpen:       mailbox.FirstFrame,
		mailbox.ProtocolHosts:      member.Unspoken,
		identify.ID:                member.Unspoken,
		identify.IDPush:            member.Unspoken,
		ping.ID:                    member.Unspoken,
		autonatv2.DialProtocol:     15 * time.Second,
		autonatv2.DialBackProtocol: 5 * time.Second,
		holepunch.Protocol:         member.Unspoken,
		proto.ProtoIDv2Hop:         member.Unspoken,
		proto.ProtoIDv2Stop:        member.Unspoken,
	}
}

// TestNoHandlerWaitsForEver has Mallory, a member, open a stream of each protocol that a seed speaks and say nothing. In the whole each is ended in
// time; every day those that wait for a quarter of a minute at most are.
func TestNoHandlerWaitsForEver(t *testing.T) {
	s := newSeedSiege(t)
	h := mallory(t, s.home)
	nodetest.WaitFor(t, "the seed to have told what it speaks", func() bool {
		spoken, err := h.Peerstore().GetProtocols(s.home.ID())
		return err == nil && len(spoken) >= len(silences())
	})
	spoken, err := h.Peerstore().GetProtocols(s.home.ID())
	if err != nil {
		t.Fatal(err)
	}
	var waiting sync.WaitGroup
	defer waiting.Wait()
	for _, id := range spoken {
		most, known := silences()[id]
		if strings.HasSuffix(string(id), "/kad/1.0.0") { // its id has the network's in it
			most, known = time.Minute, true
		}
		if !known {
			t.Errorf("%s: nobody has said how long it may be silent", id)
		}
		if most > 15*time.Second && !*whole {
			continue
		}
		waiting.Go(func() {
			stream, err := h.NewStream(nodetest.Context(t), s.home.ID(), id)
			if err != nil {
				t.Errorf("%s: %v", id, err)
				return
			}
			defer func() { _ = stream.Reset() }()
			_, _ = stream.Write(nil) // says which protocol it is
			_ = stream.SetReadDeadline(time.Now().Add(most + 10*time.Second))
			if _, err := io.Copy(io.Discard, stream); isTimeout(err) {
				t.Errorf("%s: it is open after %v", id, most)
			}
		})
	}
}

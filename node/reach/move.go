package reach

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/libp2p/go-libp2p/core/event"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	manet "github.com/multiformats/go-multiaddr/net"
)

// keepUp notices that this machine has got other addresses or has slept, until ctx ends: then it closes the connections that are over, and says so.
func (r *Reach) keepUp(ctx context.Context) error {
	changes := make(chan struct{}, 1)
	watcher, err := r.watch(changes)
	if err != nil {
		return err
	}
	defer watcher.end()
	tick := time.NewTicker(SleepEvery)
	defer tick.Stop()
	clock, links := elapsed{time.Now().Round(0)}, ownLinks()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-changes:
			settle(ctx, changes)
			before := links
			if links = ownLinks(); sameLinks(links, before) { // something else: a container has come, or gone
				continue
			}
		case now := <-tick.C:
			if !clock.slept(now, SleepEvery) {
				continue
			}
		}
		if ctx.Err() == nil {
			r.log.Debug("this machine has other addresses, or has slept")
			r.moved()
			r.tell()
		}
	}
}

// watcher is who says that addresses have changed.
type watcher struct {
	source io.Closer
	work   sync.WaitGroup
}

// end returns once the watcher is gone.
func (w *watcher) end() {
	_ = w.source.Close() // it only ends what reads
	w.work.Wait()
}

// watch nudges when addresses have changed: at once where the system tells us, and else when libp2p has looked again.
func (r *Reach) watch(changes chan<- struct{}) (*watcher, error) {
	if system, err := watchSystem(); err == nil {
		w := &watcher{source: system}
		w.work.Go(func() {
			news := make([]byte, newsSize)
			for {
				if _, err := system.Read(news); err != nil && !errors.Is(err, syscall.ENOBUFS) { // more than it keeps for us has happened
					return
				}
				nudge(changes)
			}
		})
		return w, nil
	}
	events, err := r.host.EventBus().Subscribe(new(event.EvtLocalAddressesUpdated))
	if err != nil {
		return nil, fmt.Errorf("watch addresses: %w", err)
	}
	w := &watcher{source: events}
	w.work.Go(func() {
		<-events.Out() // how things are
		for range events.Out() {
			nudge(changes)
		}
	})
	return w, nil
}

// newsSize is how much is read at once of what the system says, in bytes: a message or a few. The rest of it is of no interest.
const newsSize = 4 << 10

// settle waits until there are no more changes for a moment: a link that comes up brings many.
func settle(ctx context.Context, changes <-chan struct{}) {
	for most := time.Now().Add(SettleMost); time.Now().Before(most); {
		quiet := time.NewTimer(Settle)
		select {
		case <-changes:
			quiet.Stop()
		case <-quiet.C:
			return
		case <-ctx.Done():
			quiet.Stop()
			return
		}
	}
}

// moved closes the connections from addresses that we have no more, and doubts all others.
func (r *Reach) moved() {
	own := ownAddresses()
	doubted := map[peer.ID]bool{}
	for _, c := range r.host.Network().Conns() {
		if from, ok := localAddress(c); ok && own != nil && !own[from] {
			_ = c.CloseWithError(network.ConnGarbageCollected)
			continue
		}
		if p := c.RemotePeer(); !doubted[p] {
			doubted[p] = true
			r.Doubt(p)
		}
	}
}

// ownLink is an address that others can reach us from, on its link: one that comes back on another link is another one.
type ownLink struct {
	index   int
	address string
}

// ownLinks lists those of this machine, but for what is no further than a cable; none where the system does not say.
func ownLinks() (links []ownLink) {
	list, err := net.Interfaces()
	if err != nil {
		return nil
	}
	for _, i := range list {
		addresses, err := i.Addrs()
		if err != nil || i.Flags&net.FlagUp == 0 || i.Flags&net.FlagLoopback != 0 {
			continue
		}
		for _, a := range addresses {
			if p, err := netip.ParsePrefix(a.String()); err == nil && !p.Addr().IsLinkLocalUnicast() {
				links = append(links, ownLink{i.Index, p.Addr().String()})
			}
		}
	}
	return links
}

// sameLinks reports whether two lists have the same in them: in which order the system says it changes with addresses that do not matter.
func sameLinks(a, b []ownLink) bool {
	order := func(x, y ownLink) int {
		return cmp.Or(cmp.Compare(x.index, y.index), cmp.Compare(x.address, y.address))
	}
	return slices.Equal(slices.SortedFunc(slices.Values(a), order), slices.SortedFunc(slices.Values(b), order))
}

// localAddress returns the address of ours that a connection is made from, unless it does not matter: a circuit has none, and what is bound to all
// addresses changes over to another.
func localAddress(c network.Conn) (netip.Addr, bool) {
	ip, err := manet.ToIP(c.LocalMultiaddr())
	if err != nil || ip.IsUnspecified() || ip.IsLoopback() || IsCircuit(c.RemoteMultiaddr()) {
		return netip.Addr{}, false
	}
	a, ok := netip.AddrFromSlice(ip)
	return a.Unmap(), ok
}

// ownAddresses returns the addresses of this machine; nil where the system does not say.
func ownAddresses() map[netip.Addr]bool {
	list, err := net.InterfaceAddrs()
	if err != nil {
		return nil
	}
	own := map[netip.Addr]bool{}
	for _, a := range list {
		if p, err := netip.ParsePrefix(a.String()); err == nil {
			own[p.Addr().Unmap().WithZone("")] = true
		}
	}
	return own
}

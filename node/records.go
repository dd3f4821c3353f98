package node

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	ds "github.com/ipfs/go-datastore"
	dssync "github.com/ipfs/go-datastore/sync"
	dht "github.com/libp2p/go-libp2p-kad-dht"
	record "github.com/libp2p/go-libp2p-record"
	"github.com/libp2p/go-libp2p/core/peer"
	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"parley/node/directory"
	"parley/node/internal/sybil"
	"parley/node/prekey"
)

// Publish keeps a record of ours available: on the shelf from now on, and in the DHT as soon as there is one, again every
// RepublishEvery and whenever the network comes back. It does not wait for the network.
func (n *Node) Publish(key string, value []byte) {
	if err := n.shelf.Publish(key, value); err != nil {
		n.log.Error("cannot publish a record of ours", zap.Error(err))
		return
	}
	n.due.add(key)
	n.changed.fire()
}

// Lookup returns the newest valid record that it can find: from the hinted devices, from other connected peers and from the DHT,
// all at once. It ends with ctx, or after LookupTimeout where ctx has no deadline. A record of ours is looked for as well as any: a newer
// one would say that somebody else has our key.
func (n *Node) Lookup(ctx context.Context, key string, hints ...peer.ID) ([]byte, error) {
	if _, limited := ctx.Deadline(); !limited {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, LookupTimeout)
		defer cancel()
	}
	hints = slices.DeleteFunc(slices.Clone(hints), func(p peer.ID) bool { return p == n.ID() || p == "" })
	hints = hints[:min(len(hints), AskHints)]
	sources := []directory.Source{{Ask: func(ctx context.Context, found func([]byte)) { n.searchDHT(ctx, key, found) }}}
	for _, p := range hints {
		sources = append(sources, n.device(p, key))
	}
	for _, p := range n.others(hints) {
		sources = append(sources, directory.Source{Ask: n.ask(p, key)})
	}
	value, err := n.shelf.Newest(ctx, key, sources)
	if err != nil {
		return nil, fmt.Errorf("look up a record at %d devices and the DHT: %w", len(sources)-1, err)
	}
	return value, nil
}

// OneTime asks a device for keys to be used once, and connects to it first if need be.
func (n *Node) OneTime(ctx context.Context, device peer.ID) ([]byte, error) {
	if err := n.reach(ctx, device); err != nil {
		return nil, fmt.Errorf("reach %s: %w", device, err)
	}
	return prekey.Ask(ctx, n.host, device)
}

// device is the source of a hinted device, which is connected to first if need be.
func (n *Node) device(p peer.ID, key string) directory.Source {
	ask := n.ask(p, key)
	return directory.Source{Owner: true, Ask: func(ctx context.Context, found func([]byte)) {
		if err := n.reach(ctx, p); err == nil {
			ask(ctx, found)
		}
	}}
}

// ask is the source of a connected peer.
func (n *Node) ask(p peer.ID, key string) func(context.Context, func([]byte)) {
	return func(ctx context.Context, found func([]byte)) {
		value, err := directory.Ask(ctx, n.host, p, key)
		if err == nil {
			found(value)
		} else if !errors.Is(err, directory.ErrNotFound) {
			n.log.Debug("no answer about a record", zap.Stringer("peer", p), zap.Error(err))
		}
	}
}

// others picks a few connected peers that are not among the hints.
func (n *Node) others(hints []peer.ID) []peer.ID {
	peers := slices.DeleteFunc(n.peers(), func(p peer.ID) bool { return slices.Contains(hints, p) })
	rand.Shuffle(len(peers), func(i, j int) { peers[i], peers[j] = peers[j], peers[i] })
	return peers[:min(len(peers), AskPeers)]
}

// searchDHT reports every value that the DHT comes up with, once.
func (n *Node) searchDHT(ctx context.Context, key string, found func([]byte)) {
	table := n.awaitTable(ctx)
	if table == nil {
		return
	}
	found = sybil.Once(found)
	var walking sync.WaitGroup
	defer walking.Wait()
	walking.Go(func() { n.searchRegion(ctx, table, key, found) })
	values, err := table.SearchValue(ctx, key)
	if err != nil {
		n.log.Debug("no answer from the DHT", zap.Error(err))
		return
	}
	for v := range values {
		found(v)
	}
}

// keepPublished puts records into the DHT when they are due, until ctx ends.
func (n *Node) keepPublished(ctx context.Context) error {
	again := time.NewTicker(RepublishEvery)
	defer again.Stop()
	for ctx.Err() == nil {
		change := n.changed.wait()
		var retry <-chan time.Time
		if !n.publishDue(ctx) {
			retry = time.After(PublishRetry)
		}
		select {
		case <-change:
		case <-retry:
		case <-again.C:
			n.due.all()
		case <-ctx.Done():
		}
	}
	return nil
}

// publishDue puts what is due and reports whether all of it went out.
func (n *Node) publishDue(ctx context.Context) bool {
	todo := n.due.take()
	if len(todo) == 0 {
		return true
	}
	table := n.awaitTable(ctx)
	complete := true
	for _, key := range todo {
		if err := n.put(ctx, table, key); err != nil {
			n.log.Debug("cannot put a record into the DHT yet", zap.Error(err))
			n.due.add(key)
			complete = false
		}
	}
	if complete {
		n.log.Info("records of this device can be found", zap.Int("put", len(todo)))
	}
	return complete
}

// put puts one record of ours into the DHT.
func (n *Node) put(ctx context.Context, table *dht.IpfsDHT, key string) error {
	if table == nil {
		return errors.New("no DHT server is known")
	}
	value, _ := n.shelf.Own(key)
	ctx, cancel := context.WithTimeout(ctx, PublishTimeout)
	defer cancel()
	var putting errgroup.Group
	putting.Go(func() error { return n.putRegion(ctx, table, key, value) })
	putting.Go(func() error { return table.PutValue(ctx, key, value) })
	return putting.Wait()
}

// awaitTable returns the DHT once it knows a server. It returns nil when none shows up within TableWait, and at once when
// everybody who is connected has said that he is none.
func (n *Node) awaitTable(ctx context.Context) *dht.IpfsDHT {
	ctx, cancel := context.WithTimeout(ctx, TableWait)
	defer cancel()
	for poll := TablePoll; ctx.Err() == nil; poll = min(2*poll, time.Second) {
		table := n.table.Load()
		if table == nil {
			return nil
		}
		n.seatSeeds(table)
		if table.RoutingTable().Size() > 0 {
			return table
		}
		if peers := n.host.Network().Peers(); len(peers) > 0 && !slices.ContainsFunc(peers, n.maybeServer) {
			return nil
		}
		pause(ctx, nil, poll)
	}
	return nil
}

// maybeServer reports whether a connected peer serves the DHT, and so will soon be in the table, or has not yet said what it does.
func (n *Node) maybeServer(p peer.ID) bool {
	return n.isServer(p) || n.version(p) == ""
}

// isServer reports whether a peer has said that it serves the DHT.
func (n *Node) isServer(p peer.ID) bool {
	spoken, err := n.host.Peerstore().SupportsProtocols(p, n.cfg.Network.dhtPrefix()+"/kad/1.0.0")
	return err == nil && len(spoken) > 0
}

// startDHT starts the DHT as a server or a client, in the place of the one that runs.
func (n *Node) startDHT(serve bool) error {
	mode := dht.ModeClient
	if serve {
		mode = dht.ModeServer
	}
	table, err := dht.New(n.host,
		dht.Mode(mode),
		dht.ProtocolPrefix(n.cfg.Network.dhtPrefix()),
		dht.Validator(namespaces(n.shelf)),
		dht.Datastore(dssync.MutexWrap(&boundedStore{MapDatastore: ds.NewMapDatastore()})),
		dht.DisableProviders(),
		dht.BucketSize(BucketSize),
		dht.RoutingTableFilter(func(_ any, p peer.ID) bool { return n.gate.Settled(p) }),
		dht.RoutingTablePeerDiversityFilter(n.tableFilter()),
		dht.MaxRecordAge(RecordAge),
		dht.RoutingTableRefreshPeriod(RefreshEvery),
		dht.RoutingTableRefreshQueryTimeout(DialTimeout),
	)
	if err != nil {
		return fmt.Errorf("start DHT: %w", err)
	}
	if old := n.table.Swap(table); old != nil {
		return old.Close()
	}
	return nil
}

func (n *Node) stopDHT() error {
	if table := n.table.Swap(nil); table != nil {
		return table.Close()
	}
	return nil
}

func (n *Node) servesDHT() bool {
	table := n.table.Load()
	return table != nil && table.Mode() == dht.ModeServer
}

// namespaces makes the DHT apply the rules of the shelf.
func namespaces(shelf *directory.Shelf) record.NamespacedValidator {
	v := record.NamespacedValidator{}
	for _, noun := range shelf.Nouns() {
		v[noun] = judge{shelf: shelf}
	}
	return v
}

// judge is the shelf's rules in the form that kad-dht asks for.
type judge struct{ shelf *directory.Shelf }

// Validate accepts what the shelf accepts.
func (j judge) Validate(key string, value []byte) error {
	_, err := j.shelf.Check(key, value)
	return err
}

// Select returns the first of the newest valid values.
func (j judge) Select(key string, values [][]byte) (int, error) {
	best, highest := -1, uint64(0)
	for i, v := range values {
		sequence, err := j.shelf.Check(key, v)
		if err == nil && (best < 0 || sequence > highest) {
			best, highest = i, sequence
		}
	}
	if best < 0 {
		return 0, errors.New("select record: none is valid")
	}
	return best, nil
}

// boundedStore refuses new keys when it is full: what a DHT server keeps for strangers has an end.
type boundedStore struct {
	*ds.MapDatastore
	count int
}

// Put stores a value, unless it needs a key more than there may be.
func (b *boundedStore) Put(ctx context.Context, key ds.Key, value []byte) error {
	known, err := b.Has(ctx, key)
	if err != nil {
		return err
	}
	if !known {
		if b.count >= MaxStoredRecords {
			return fmt.Errorf("store record: %d are stored already", MaxStoredRecords)
		}
		b.count++
	}
	return b.MapDatastore.Put(ctx, key, value)
}

// Delete removes a value if it is there.
func (b *boundedStore) Delete(ctx context.Context, key ds.Key) error {
	if known, err := b.Has(ctx, key); err != nil || !known {
		return err
	}
	b.count--
	return b.MapDatastore.Delete(ctx, key)
}

// Batch collects writes that end up in Put and Delete.
func (b *boundedStore) Batch(context.Context) (ds.Batch, error) { return ds.NewBasicBatch(b), nil }

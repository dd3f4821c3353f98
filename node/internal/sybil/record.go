package sybil

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"sync"

	dht "github.com/libp2p/go-libp2p-kad-dht"
	kad "github.com/libp2p/go-libp2p-kad-dht/pb"
	record "github.com/libp2p/go-libp2p-record"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/peerstore"
)

// Look asks the servers around a key for the record there, and calls found for each value that it gets, from several goroutines; nobody has
// validated them. It does nothing where the table names k servers at most: kad-dht by itself asks that many.
func Look(ctx context.Context, table *dht.IpfsDHT, key string, limits Limits, found func(value []byte)) error {
	_, err := walkFor(ctx, table, key, limits, &servers{found: found})
	return err
}

// Put puts a record to the servers around its key. It does nothing where the table names k servers at most: kad-dht by itself puts it to
// that many.
func Put(ctx context.Context, table *dht.IpfsDHT, key string, value []byte, limits Limits) error {
	visited, err := walkFor(ctx, table, key, limits, &servers{value: value})
	if err == nil && visited == 0 {
		return errors.New("put record: no server around its key took it")
	}
	return err
}

// walkFor walks for a record. It returns more than zero where there is nothing to do.
func walkFor(ctx context.Context, table *dht.IpfsDHT, key string, limits Limits, s *servers) (visited int, err error) {
	known := table.RoutingTable().ListPeers()
	if len(known) <= table.BucketSize() {
		return len(known) + 1, nil
	}
	s.messenger, err = kad.NewProtocolMessenger(table.MessageSender())
	if err != nil {
		return 0, fmt.Errorf("speak to DHT servers: %w", err)
	}
	s.table, s.key, s.limits = table, key, limits
	return Walk(ctx, s, key, known, limits), nil
}

// servers is the DHT's servers, as a walk asks them about one record: to look for it, or to put it.
type servers struct {
	table     *dht.IpfsDHT
	messenger *kad.ProtocolMessenger
	key       string
	limits    Limits
	found     func([]byte) // of a search
	value     []byte       // of a publication
}

// Closer asks a server for the record.
func (s *servers) Closer(ctx context.Context, server peer.ID) ([]peer.ID, error) {
	has, closer, err := s.messenger.GetValue(ctx, server, s.key)
	if err != nil {
		return nil, err
	}
	if s.found != nil && len(has.GetValue()) > 0 {
		s.found(has.GetValue())
	}
	return s.named(closer), nil
}

// Neighbours asks a server about itself.
func (s *servers) Neighbours(ctx context.Context, server peer.ID) ([]peer.ID, error) {
	near, err := s.messenger.GetClosestPeers(ctx, server, server)
	if err != nil {
		return nil, err
	}
	return s.named(near), nil
}

// Visit puts the record, if that is what the walk is for.
func (s *servers) Visit(ctx context.Context, server peer.ID) error {
	if s.value == nil {
		return nil
	}
	return s.messenger.PutValue(ctx, server, record.MakePutRecord(s.key, s.value))
}

// named notes for a while where servers are that another has named, but for us, and returns who they are.
func (s *servers) named(others []*peer.AddrInfo) (ids []peer.ID) {
	h := s.table.Host()
	for _, o := range others[:min(len(others), s.limits.Names)] {
		if _, err := peer.IDFromBytes([]byte(o.ID)); err != nil || o.ID == h.ID() {
			continue
		}
		if h.Network().Connectedness(o.ID) != network.Connected {
			h.Peerstore().AddAddrs(o.ID, o.Addrs[:min(len(o.Addrs), s.limits.Addresses)], peerstore.TempAddrTTL)
		}
		ids = append(ids, o.ID)
	}
	return ids
}

// Once passes each value on the first time only: however many servers have it, the DHT is one witness.
func Once(found func([]byte)) func([]byte) {
	var mu sync.Mutex
	seen := make(map[[sha256.Size]byte]bool)
	return func(value []byte) {
		sum := sha256.Sum256(value)
		mu.Lock()
		news := !seen[sum]
		seen[sum] = true
		mu.Unlock()
		if news {
			found(value)
		}
	}
}

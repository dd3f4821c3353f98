package node

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"

	dht "github.com/libp2p/go-libp2p-kad-dht"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"
	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"parley/node/direct"
	"parley/node/directory"
	"parley/node/internal/announce"
	"parley/node/internal/book"
	"parley/node/internal/guard"
	"parley/node/internal/setback"
	"parley/node/internal/signs"
	"parley/node/mailbox"
	"parley/node/member"
	"parley/node/prekey"
	"parley/node/psk"
	"parley/node/reach"
)

// Boxes seals envelopes to devices and opens what was sealed to us. No method shows a plaintext: what is inside is a session packet.
type Boxes interface {
	// SealStream begins a stream to a device: the header goes first, and then what seal makes of each envelope, until it fails with an error
	// that has a method Outdated() bool which returns true: the device has another key by now, and another stream is to be begun.
	SealStream(device peer.ID) (header []byte, seal func(envelope []byte) ([]byte, error), err error)
	// OpenStream reads the header of a stream. An error of it, or of open, means that nothing on the stream is of any use.
	OpenStream(from peer.ID, header []byte) (open func(record []byte) ([]byte, error), err error)
	// SealDeposit makes one box of envelopes, for the mailboxes of a device: at most mailbox.Chunk, and mailbox.ChunkBytes together.
	SealDeposit(device peer.ID, envelopes [][]byte) ([]byte, error)
}

// Messenger is who the node works for.
type Messenger interface {
	Boxes
	// Receive takes envelopes from a device, in their order, and returns an acknowledgement tag of 16 bytes for each once all are
	// kept for good; a tag of zeros says that the envelope was taken and not accepted. An error says that all of them must be
	// offered again.
	Receive(ctx context.Context, from peer.ID, envelopes [][]byte) (tags [][]byte, err error)
	// OneTime gives keys away that are to be used once, signed; nil when none are left.
	OneTime(ctx context.Context) ([]byte, error)
	// Collect takes boxes that a host of our mailboxes has kept, and returns nil once all are kept for good, or are of no use: then the host
	// deletes them. An error says that all of them must be offered again.
	Collect(ctx context.Context, host peer.ID, boxes [][]byte) error
	// Connected says that a device can be reached now. It must not wait for anything.
	Connected(device peer.ID)
	// LetIn says that an invite of this device's has let a device of an account into the network. Each use is said once, and not again after a crash.
	LetIn(account [32]byte)
}

// Node is one device in its network. Its methods may be called from several goroutines, before Run, while it runs and after it.
type Node struct {
	cfg       Config
	log       *zap.Logger
	host      host.Host // the gate
	gate      *member.Gate
	members   *member.Ledger
	letIn     chan [32]byte // accounts of those whom invites of ours have let in, to be told
	ring      *psk.Ring     // nil in a network without a pre-shared key
	rebuffs   *rebuffs
	guard     *guard.Guard
	announced []ma.Multiaddr
	confirmed *reach.Confirmed // of our addresses, by seeds
	seeds     []peer.AddrInfo  // without ourselves

	ways      *reach.Reach
	sender    *direct.Sender  // nil until the node serves
	post      *mailbox.Post   // the same
	mailboxes *mailbox.Server // nil where the node hosts none
	keeper    *mailbox.Keeper
	absent    *absences
	heard     *signs.Signs
	attempts  *attempts

	shelf     *directory.Shelf
	dials     *dials
	table     atomic.Pointer[dht.IpfsDHT] // nil while the node does not run
	due       *pending                    // records to put into the DHT
	walks     chan struct{}               // one in it for each walk to the servers around a key
	book      *book.Book                  // whom it remembers
	found     chan peer.AddrInfo          // on the LAN
	changed   *pulse                      // connections came or went
	elsewhere *pulse                      // this machine has other addresses, or has slept
	joined    atomic.Bool
	trouble   *setback.Log
	serving   chan struct{} // closed when Run serves

	closing sync.Once
}

// New returns a node that listens. Run makes it work; who does not call Run must call Close.
func New(cfg Config) (*Node, error) {
	if err := cfg.check(); err != nil {
		return nil, fmt.Errorf("make node: %w", err)
	}
	var err error
	if cfg.MailboxLimits, err = mailbox.Fill(cfg.MailboxLimits); err != nil {
		return nil, fmt.Errorf("make node: mailbox limits: %w", err)
	}
	announced, bad, why := announce.Check(cfg.Announce, cfg.Key, cfg.Network.PSK != nil)
	if why != "" {
		return nil, &ListenError{Address: bad, Reason: why, Announced: true}
	}
	listen, skipped, err := listenAddresses(context.Background(), cfg)
	if err != nil {
		return nil, err
	}
	n, err := build(cfg, listen, announced)
	if err != nil {
		return nil, err
	}
	if a := missing(listen, n.host.Network().ListenAddresses()); a != nil {
		return nil, errors.Join(&ListenError{Address: a.String(), Reason: "the address was taken meanwhile"}, n.Close())
	}
	if len(skipped) > 0 {
		n.log.Info("no IPv6 here, listening without it", zap.Strings("skipped", skipped))
	}
	return n, nil
}

// assemble puts a node around its host, which is behind the gate.
func assemble(cfg Config, h *member.Gate, members *member.Ledger, announced []ma.Multiaddr, ring *psk.Ring, g *guard.Guard, good *reach.Confirmed) *Node {
	n := &Node{
		cfg:       cfg,
		log:       cfg.logger(),
		host:      h,
		gate:      h,
		members:   members,
		ring:      ring,
		guard:     g,
		confirmed: good,
		announced: announced,
		shelf:     directory.NewShelf(cfg.Validators),
		dials:     newDials(),
		due:       newPending(),
		walks:     make(chan struct{}, Walks),
		book:      book.New(BookSize, MaxPeerAddresses),
		found:     make(chan peer.AddrInfo, LANQueue),
		changed:   newPulse(),
		elsewhere: newPulse(),
		trouble:   &setback.Log{},
		serving:   make(chan struct{}),
		mailboxes: newMailboxes(cfg, h, g),
		absent:    newAbsences(),
		rebuffs:   &rebuffs{row: map[peer.ID]int{}},
		heard:     signs.New(BookSize, SilentFor),
		attempts:  &attempts{},
	}
	roads := ways(cfg, h.ID(), announced)
	roads.Dialling.Gater, roads.Dialling.Transports, roads.Confirmed = g, transports(ring), good
	roads.Refused = func(p peer.ID, at ma.Multiaddr) { g.Refuse(guard.Relay, p, at) }
	n.ways = reach.New(h, roads, h.Admits, n.moved, n.log)
	n.keeper = mailbox.NewKeeper(h, n.reach, func(err error) string { return setback.Reason(err, false) }, n.log)
	for _, s := range cfg.Network.Seeds {
		if s.ID != h.ID() {
			n.seeds = append(n.seeds, s)
			h.ConnManager().Protect(s.ID, "seed")
		}
	}
	return n
}

// Run serves the network until ctx ends, and then closes the node; it is called once. What m is taking at that time it may finish.
func (n *Node) Run(ctx context.Context, m Messenger) (err error) {
	defer func() { err = errors.Join(err, n.Close()) }()
	events, err := n.subscribe()
	if err != nil {
		return err
	}
	if err := n.startDHT(n.servesFromTheStart()); err != nil {
		return errors.Join(err, events.Close())
	}
	n.recall(ctx)

	n.sender = direct.NewSender(n.openDirect, m)
	receiver := direct.NewReceiver(n.receive(m), m, n.isContact)
	receiver.Serve(n.host)
	answerer := directory.NewServer(n.shelf)
	answerer.Serve(n.host)
	giver := prekey.NewServer(m.OneTime)
	giver.Serve(n.host)
	guide := mailbox.NewGuide(n.knownHosts)
	guide.Serve(n.host)
	n.post = &mailbox.Post{Host: n.host, Connect: n.reach, Seal: m.SealDeposit, Own: n.mailboxes, Patience: mailbox.Patience}
	if n.mailboxes != nil {
		n.mailboxes.Serve(n.host)
	}
	close(n.serving)

	work, ctx := errgroup.WithContext(ctx)
	work.Go(func() error { return n.watch(ctx, events, m) })
	work.Go(func() error { return n.tellLetIn(ctx, m) })
	work.Go(func() error { return n.ways.Run(ctx) })
	work.Go(func() error { return n.keepPublished(ctx) })
	work.Go(func() error { return n.keepRemembered(ctx) })
	work.Go(func() error { return n.keepSaved(ctx) })
	work.Go(func() error { return n.keeper.Run(ctx, m.Collect) })
	if n.mailboxes != nil {
		work.Go(func() error { return n.mailboxes.Run(ctx) })
	}
	for _, seed := range n.seeds {
		work.Go(func() error { return n.keepSeed(ctx, seed) })
	}
	if n.cfg.MDNS {
		work.Go(func() error { return n.discoverLAN(ctx) })
	}
	<-ctx.Done()

	answerer.Stop(n.host)
	giver.Stop(n.host)
	guide.Stop(n.host)
	if n.mailboxes != nil {
		n.mailboxes.Stop(n.host, ShutdownGrace)
	}
	receiver.Stop(n.host, ShutdownGrace)
	return errors.Join(work.Wait(), n.stopDHT())
}

// servesFromTheStart reports whether others can rely on this node's part of the DHT: it is a seed, it is announced, or it made the
// network, and is in every invite.
func (n *Node) servesFromTheStart() bool {
	return n.cfg.Seed || len(n.announced) > 0 || len(n.seeds) == 0
}

// Serving returns a channel that is closed when Run has begun to take envelopes and questions.
func (n *Node) Serving() <-chan struct{} { return n.serving }

// Close gives up the listeners and all connections. Run does it by itself.
func (n *Node) Close() error {
	var err error
	n.closing.Do(func() {
		err = n.host.Close()
		n.attempts.end()
	})
	return err
}

// ID returns the device's peer id.
func (n *Node) ID() peer.ID { return n.host.ID() }

// Listening returns the multiaddrs that the node listens on, as they were bound.
func (n *Node) Listening() []string { return texts(n.host.Network().ListenAddresses()) }

// Joined reports whether a node of the network has answered since this one was made.
func (n *Node) Joined() bool { return n.joined.Load() }

// SeedsConnected counts the seeds that the node is connected to.
func (n *Node) SeedsConnected() int {
	count := 0
	for _, s := range n.seeds {
		if n.connected(s.ID) {
			count++
		}
	}
	return count
}

// connected reports whether a peer is connected, if only by a circuit, and it and we have admitted each other.
func (n *Node) connected(p peer.ID) bool { return n.gate.Settled(p) }

// peers lists who is connected in that sense.
func (n *Node) peers() []peer.ID {
	return slices.DeleteFunc(n.host.Network().Peers(), func(p peer.ID) bool { return !n.connected(p) })
}

func (n *Node) isSeed(p peer.ID) bool {
	for _, s := range n.cfg.Network.Seeds {
		if s.ID == p {
			return true
		}
	}
	return false
}

func texts(addrs []ma.Multiaddr) []string {
	all := make([]string, 0, len(addrs))
	for _, a := range addrs {
		all = append(all, a.String())
	}
	return all
}

func loopback4() netip.Prefix { return netip.PrefixFrom(netip.AddrFrom4([4]byte{127}), 8) }
func loopback6() netip.Prefix { return netip.PrefixFrom(netip.IPv6Loopback(), 128) }

package chat

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"parley/chat/internal/wire"
)

// Config is what a Messenger is made of.
type Config struct {
	Identity  *Identity // nil for a messenger that only reads
	Account   AccountID // whose messages are ours, where Identity is nil
	Name      string    // what others see
	Network   Network
	Seeds     []Seed  // seeds of the network, for invites
	Join      *Invite // the invite that we joined with: its owner becomes a contact; nil for none
	Links     Links   // nil: our links let nobody in
	Store     Store
	Keys      Keys     // to what is in the store
	Instance  Instance // notes beside the store that tell a restored one from the last; nil: nobody looks
	OnlyCopy  bool     // people say that no other copy of this device is at work: begin anew, as after a restore
	Database  string   // the engine's name, for Status
	Transport Transport
	Directory Directory
	Members   Members          // nil: nobody can be invited
	NetKey    NetworkKey       // nil: the network's key is the one in Network, and stays
	Hosts     Hosts            // nil: nobody keeps mailboxes for us
	Health    func() Health    // what Status says of the network; nil: all is well
	Hosting   *HostLimits      // what Status says that this node keeps for others; nil: nothing
	Logger    *zap.Logger      // nil: no logs
	Clock     func() time.Time // nil: time.Now
}

// Messenger is the messenger of one device. After Resume its methods may be called at once from many goroutines,
// before, while and after Run runs: what they queue waits for Run.
type Messenger struct {
	identity  *Identity
	self      AccountID
	device    peer.ID
	name      string
	network   Network
	seeds     []Seed
	join      *Invite
	links     Links
	store     Store
	safe      safe
	instance  instance
	database  string
	transport Transport
	directory Directory
	hosts     Hosts
	members   Members
	netKey    NetworkKey
	health    func() Health
	hosting   *HostLimits
	log       *zap.Logger

	keys         *keyring
	certificates *memo[wire.Certificate]
	accounts     *memo[wire.AccountRecord]
	devices      *memo[wire.DeviceRecord]

	clock     clock
	elapsed   elapsed
	sends     sends
	steps     steps
	outbox    *outbox
	resolver  *resolver
	arrange   chan struct{} // a token: look after the mailboxes again
	arranged  gate          // they have been looked after
	strangers *budget
	bell      bell
	trouble   trouble
	since     time.Time
	onlyCopy  bool
	restored  bool //  Resume found that the database is not the one that this device wrote last
	copied    copied
	doubles   atomic.Uint64 // first flights with one-time keys that another one has used: whoever hands our keys out does so twice
	pinned    atomic.Uint64 // grows when a device's record was written: streams look then whether they are sealed to the right key

	mu    sync.Mutex
	hints map[AccountID][]peer.ID // where to ask for an account's records first, from links used in this run
}

// New returns a messenger; Run makes it work. Without Identity, Transport and Directory it only reads.
func New(cfg Config) *Messenger {
	if cfg.Clock == nil {
		cfg.Clock = time.Now
	}
	if cfg.Health == nil {
		cfg.Health = func() Health { return Health{Joined: true} }
	}
	if cfg.Logger == nil {
		cfg.Logger = zap.NewNop()
	}
	if cfg.Links == nil {
		cfg.Links = noLinks{}
	}
	var device peer.ID
	if cfg.Identity != nil {
		cfg.Account, device = cfg.Identity.Account(), cfg.Identity.Device()
	}
	m := &Messenger{
		identity: cfg.Identity, self: cfg.Account, device: device, name: cfg.Name,
		network: cfg.Network, seeds: cfg.Seeds, join: cfg.Join, links: cfg.Links, store: cfg.Store, database: cfg.Database,
		safe: safe{keys: cfg.Keys, self: cfg.Account}, instance: newInstance(cfg.Instance),
		transport: cfg.Transport, directory: cfg.Directory, hosts: cfg.Hosts, members: cfg.Members, netKey: cfg.NetKey, health: cfg.Health, hosting: cfg.Hosting, log: cfg.Logger,
		keys: &keyring{}, certificates: newMemo(wire.ParseCertificate), accounts: newMemo(wire.ParseAccountRecord),
		devices: newMemo(wire.ParseDeviceRecord),
		clock:   clock{wall: cfg.Clock}, elapsed: newElapsed(), outbox: newOutbox(), resolver: newResolver(), arrange: make(chan struct{}, 1), arranged: newGate(), strangers: newBudget(), since: cfg.Clock(),
		onlyCopy: cfg.OnlyCopy, hints: map[AccountID][]peer.ID{},
	}
	if cfg.Hosts == nil || len(cfg.Seeds) == 0 {
		m.arranged.end()
	}
	return m
}

// Format says who it is, whatever the verb: a messenger holds every secret there is.
func (m *Messenger) Format(f fmt.State, _ rune) {
	_, _ = f.Write([]byte("messenger of " + m.self.Short()))
}

// Resume continues where an earlier run ended, and carries out a join that is not in the store yet. Call it once, before anything
// else; what is asked of the messenger after it finds the contacts of a join.
func (m *Messenger) Resume(ctx context.Context) error {
	for _, step := range []func(context.Context) error{
		m.resumeInstance, m.resumeShredding, m.resumeClock, m.resumeElapsed, m.resumeCopied, m.resumeKeys, m.resumeMailbox, m.learnContacts, m.resumeRestored, m.resumeJoin,
	} {
		err := step(ctx)
		if errors.Is(err, errDamaged) && !m.restored { // status shows it, and the rest shall go on; but nothing goes on half restored
			m.log.Error("the database is damaged", zap.Error(err))
		} else if err != nil {
			return err
		}
	}
	return nil
}

// Run publishes our records, finds the devices of contacts, and delivers what is queued, until ctx ends. A flight under way may
// settle what the other side has acknowledged already; everything else waits in the store for the next run.
func (m *Messenger) Run(ctx context.Context) error {
	m.publish()
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return m.dispatch(ctx) })
	g.Go(func() error { return m.findDevices(ctx) })
	g.Go(func() error { return m.tendKeys(ctx) })
	g.Go(func() error { return m.tendMailboxes(ctx) })
	g.Go(func() error { return m.keepInstance(ctx) })
	return g.Wait()
}

// resumeClock sets the clock behind the newest row of an earlier run.
func (m *Messenger) resumeClock(ctx context.Context) error {
	err := m.look(ctx, func(tx Tx) error {
		row, ok, err := tx.LastMessage()
		m.clock.resume(row.Row, 0) // also where the message is damaged
		if err != nil || !ok {
			return err
		}
		content, err := wire.ParseContent(row.Content)
		if err != nil {
			return fmt.Errorf("stored message %s: %w", row.ID, err)
		}
		if row.Author != m.self {
			m.clock.merge(content.Clock)
			return nil
		}
		m.clock.resume(row.Row, content.Clock)
		return nil
	})
	return wrap(err, "resume")
}

func (m *Messenger) now() time.Time { return m.clock.now() }

// aftermath is what a transaction asks for once it has committed.
type aftermath struct {
	nudge   []peer.ID                // devices that have something in the outbox
	resolve []AccountID              // accounts whose devices are wanted
	refresh []AccountID              // accounts whose records are known, and are not the newest
	learn   []recipient              // devices of contacts
	heard   []peer.ID                // devices that something was taken from: they are there, and what they would not take before they may take now
	cards   []peer.ID                // devices that have sent their card
	anew    []peer.ID                // devices whose rows were sealed anew
	lines   lines                    // the sessions that it has loaded
	stepped []SessionID              // those on which it sent a step
	owed    map[SessionID][]wire.Ack // what its packets from mailboxes are to be acknowledged with
	people  bool                     // contacts have changed, and so who may deposit for us
	event   uint64                   // the last event that it appended; 0 for none
	pins    bool                     // it wrote a device's record
	twice   int                      // first flights with one-time keys that another one has used
}

// heed does what a transaction has asked for. It is called also after an error, which may have been the answer to a commit that went
// through: looking once too often changes nothing.
func (m *Messenger) heed(after aftermath) {
	for _, device := range after.nudge {
		m.outbox.queued(device)
	}
	for _, device := range after.anew {
		m.outbox.online(device)
	}
	for _, device := range after.heard {
		m.outbox.heard(device)
	}
	for _, device := range after.cards {
		m.outbox.accepted(device)
	}
	m.steps.note(after.stepped, m.now())
	for _, account := range after.resolve {
		m.resolver.want(account)
	}
	for _, account := range after.refresh {
		m.resolver.refresh(account)
	}
	if after.people {
		poke(m.arrange)
	}
	if after.twice > 0 {
		m.log.Info("one-time keys of this device were given to two: the second begins again without", zap.Int("times", after.twice))
		m.doubles.Add(uint64(after.twice))
	}
	if after.pins {
		m.pinned.Add(1)
	}
	m.know(after.learn)
	m.bell.ring()
}

// wrap says what was being done, unless the error says it all to people already.
func wrap(err error, what string) error {
	var e *Error
	if err == nil || errors.As(err, &e) {
		return err
	}
	return fmt.Errorf("%s: %w", what, err)
}

// trouble remembers what is wrong with the store, for people to see.
type trouble struct {
	mu   sync.Mutex
	line string
}

// judge takes the outcome of a transaction. Refusals (a name that is taken) and callers that went away say nothing about the store, and damage
// is told by itself.
func (t *trouble) judge(ctx context.Context, err error) {
	if err != nil && (ctx.Err() != nil || isRefusal(err) || errors.Is(err, errDamaged)) {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.line = ""
	if err != nil {
		t.line = err.Error()
	}
}

// isRefusal reports whether we refused, and not the store.
func isRefusal(err error) bool {
	switch CodeOf(err) {
	case CodeInvalid, CodeTarget, CodeRefused, CodeIDReused, CodeIdentity:
		return true
	}
	return errors.Is(err, errFull)
}

// now returns one line of trouble, or nothing.
func (t *trouble) now() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.line
}

// Status is how the node is doing.
type Status struct {
	Ready       bool // database migrated, listeners and API up; it waits for no peer
	Name        string
	Account     AccountID
	Device      peer.ID
	Network     NetworkStatus
	Peers       int
	Seeds       int // connected seeds, of Network.Seeds
	Addresses   []string
	Reachable   bool // an address is announced or public
	Queued      int
	OldestQueue time.Time // when the oldest queued message was queued; zero when none is
	Database    string    // "sqlite" or "postgres"
	Contacts    int
	Verified    int    // contacts whose safety number was compared
	Requests    int    // accounts that wait for an answer
	Trouble     string // what is wrong right now, in one line; empty when nothing is
	Restored    bool   // the database is an older one than this device wrote last: what came since is missing in it
	LastEvent   uint64
	Since       time.Time

	Receipts  Receipts // whether those of whom nothing else is said learn that their messages were shown
	Mailboxes int      // hosts that keep a mailbox for this device
	Drained   int      // those of them from which everything has been fetched in this run

	Reach   Reach
	Hosting *HostLimits // what this node keeps for others at most; nil: it keeps nothing
}

// NetworkStatus names the network and says whether we are in.
type NetworkStatus struct {
	Name        string
	Fingerprint string
	Private     bool // it has a pre-shared key
	Joined      bool // a node of the network has answered since the invite was taken, or we made the network
	Seeds       int  // seeds that we know
	WrongKey    int  // connections in this run of those who had not the network's key
	NoMember    int  // connections in this run of those who had it and are no members
	OtherKey    bool // nobody is connected, and seeds have another network key, as far as can be told
	Removed     bool // this device is no member any more, as the network's authority has said: it was removed, or who invited it
	// WaitsFor is what would help while no seed is connected: WaitsForAnswer, WaitsForMember or WaitsForInvite; "" while one is.
	WaitsFor string
	// Refused is how often the node has refused something in this run, by the name of the reason; empty where it does not count.
	Refused map[string]uint64
}

// Reach is whether others can dial a node, as far as seeds have tried.
type Reach = struct {
	State string // ReachYes, ReachNo or ReachUnknown
	Seeds int    // how many have found it so
}

// What is known of a node's reach.
const (
	ReachYes     = "yes"     // a seed has dialled it at an address of its own
	ReachNo      = "no"      // seeds have tried, and none got through: it is behind a router
	ReachUnknown = "unknown" // nobody has tried yet
)

// What a device waits for that no seed takes in.
const (
	WaitsForAnswer = "answer" // nobody is there
	WaitsForMember = "member" // somebody is, and cannot let it in now
	WaitsForInvite = "invite" // another one: the one that it has is of no use any more
)

// Health is what a node says of its network.
type Health struct {
	Joined   bool              // a node of it has admitted us since the invite was taken, or we made it
	Trouble  string            // "" where there is none
	Refused  map[string]uint64 // see NetworkStatus
	OtherKey bool              // the same
	Removed  bool              // the same
	WaitsFor string            // the same
	Reach    Reach
}

// late says what helps a member that was away while the network's key was changed, or while who has invited it was removed; "" for all others.
func (h Health) late() string {
	switch {
	case h.Removed && h.Joined:
		return "this device was removed from the network, or who invited it was: then ask a member for a new invite, and join with it"
	case h.OtherKey && h.Joined:
		return "the network's key was changed while this device was away: ask a member for a new invite, and join with it"
	}
	return ""
}

// Status says how the node is doing.
func (m *Messenger) Status(ctx context.Context) (Status, error) {
	health := m.health()
	s := Status{
		Ready: true, Name: m.name, Account: m.self, Device: m.device, Database: m.database, Since: m.since,
		Hosting: m.hosting,
		Trouble: cmp.Or(m.trouble.now(), m.safe.damage.now(), m.secondCopy(), m.restoration(), health.late(), health.Trouble), Restored: m.restored,
		Network: NetworkStatus{
			Name: m.network.Name, Fingerprint: m.network.Fingerprint(), Private: m.network.PSK != nil, Joined: health.Joined,
			Seeds: len(m.seeds), WrongKey: int(health.Refused["wrong_key"]), NoMember: int(health.Refused["no_member"] + health.Refused["revoked"]),
			OtherKey: health.OtherKey, Removed: health.Removed, WaitsFor: health.WaitsFor, Refused: health.Refused,
		},
		Reach: Reach{State: cmp.Or(health.Reach.State, ReachUnknown), Seeds: health.Reach.Seeds},
	}
	if m.transport != nil {
		s.Addresses, s.Reachable = m.transport.Addresses()
		for _, p := range m.transport.Peers() {
			s.Peers++
			if p.Seed {
				s.Seeds++
			}
		}
	}
	err := m.look(ctx, func(tx Tx) error {
		stats, err := tx.Stats()
		s.Queued, s.OldestQueue, s.LastEvent = stats.Queued, stats.Oldest, stats.LastEvent
		if err != nil {
			return err
		}
		if s.Receipts, err = receiptsToAll(tx); err != nil {
			return err
		}
		return s.countPeople(tx)
	})
	if boxes, err := m.Mailboxes(ctx); err == nil { // without keys there is no record of ours that names any
		s.countMailboxes(boxes)
	}
	return s, wrap(err, "look at the node")
}

func (s *Status) countMailboxes(boxes Mailboxes) {
	s.Mailboxes = len(boxes.Hosts)
	for _, host := range boxes.Hosts {
		if host.Drained {
			s.Drained++
		}
	}
}

// countPeople counts who is known, and who wants to be.
func (s *Status) countPeople(tx Tx) error {
	contacts, err1 := tx.Contacts()
	requests, err2 := tx.Requests()
	s.Contacts, s.Verified, s.Requests = len(contacts), 0, 0
	for _, c := range contacts {
		if c.Trust == TrustVerified {
			s.Verified++
		}
	}
	for _, r := range requests {
		if r.State == RequestPending {
			s.Requests++
		}
	}
	return errors.Join(err1, err2)
}

// restoration says in this run what a restored database means.
func (m *Messenger) restoration() string {
	if !m.restored {
		return ""
	}
	return "the database was restored from a copy or exchanged: messages since then may be missing here"
}

// Peers lists the nodes that this one is connected to.
func (m *Messenger) Peers(context.Context) ([]Peer, error) {
	if m.transport == nil {
		return nil, nil
	}
	return m.transport.Peers(), nil
}

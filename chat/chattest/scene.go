package chattest

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"go.uber.org/zap"

	"parley/chat"
)

// Scene is a network with people in it.
type Scene struct {
	T       testing.TB
	Net     *Network
	Network chat.Network
	Clock   func() time.Time // nil: time.Now
	Log     *zap.Logger      // nil: nobody listens
}

// patience is how long a scene waits before it fails: longer than the longest pause between two attempts.
const patience = 2 * chat.RetryMax

// NewScene makes a network called "home".
func NewScene(t testing.TB, seed uint64) *Scene {
	t.Helper()
	network, _, err := chat.NewNetwork("home", true)
	if err != nil {
		t.Fatal(err)
	}
	return &Scene{T: t, Net: NewNetwork(seed), Network: network}
}

// Person is somebody with one device. The messenger runs between Start and Stop; store, identity and keys outlive it.
type Person struct {
	*chat.Messenger
	Name     string
	Identity *chat.Identity
	Store    chat.Store
	Links    *Links
	Keys     *Keys
	Town     *Members      // what the person's node knows of the network
	OnlyCopy bool          // what Start says of other copies of the device
	Skew     time.Duration // how far the person's clock is ahead of the scene's

	scene *Scene
	stop  context.CancelFunc
	done  chan error
}

// Person makes somebody with a store of their own, not started yet.
func (s *Scene) Person(name string, store chat.Store) *Person {
	s.T.Helper()
	identity, err := chat.NewIdentity(name + "'s device")
	if err != nil {
		s.T.Fatal(err)
	}
	keys, err := NewKeys()
	if err != nil {
		s.T.Fatal(err)
	}
	p := &Person{Name: name, Identity: identity, Store: store, Links: &Links{key: chat.NewLinkKey()}, Keys: keys, Town: NewMembers(identity), scene: s}
	p.Town.First = s.Network.PSK
	p.Messenger = p.messenger(nil)
	return p
}

// Copied returns a second copy of the person's device, with all that is in the store (from NewMemStore) and beside it. It is not started.
// What arrives for the device arrives at the copy that was started last.
func (p *Person) Copied() *Person {
	second := &Person{Name: p.Name, Identity: p.Identity, Store: Copy(p.Store), Links: p.Links, Keys: p.Keys.copied(), Town: p.Town, scene: p.scene}
	second.Messenger = second.messenger(nil)
	return second
}

// Dies is a start that is killed before anything of it is published.
func (p *Person) Dies() {
	p.scene.T.Helper()
	if err := p.messenger(nil).Resume(context.Background()); err != nil {
		p.scene.T.Fatal(err)
	}
}

// Started is Person and Start.
func (s *Scene) Started(name string, store chat.Store) *Person {
	p := s.Person(name, store)
	p.Start(nil)
	return p
}

func (p *Person) messenger(join *chat.Invite) *chat.Messenger {
	port := p.scene.Net.Port(p.Identity.Device())
	clock := p.scene.Clock
	if p.Skew != 0 {
		scene := clock
		if scene == nil {
			scene = time.Now
		}
		clock = func() time.Time { return scene().Add(p.Skew) }
	}
	log := p.scene.Log
	if log != nil {
		log = log.Named(p.Name)
	}
	return chat.New(chat.Config{
		Identity: p.Identity, Name: p.Name, Network: p.scene.Network, Join: join, Links: p.Links, Store: p.Store, Keys: p.Keys, Instance: p.Keys,
		OnlyCopy: p.OnlyCopy, Transport: port, Directory: port, Members: p.Town, NetKey: p.Town, Hosts: port, Clock: clock, Logger: log,
	})
}

// Start runs the messenger, new from its store, and plugs it in.
func (p *Person) Start(join *chat.Invite) {
	p.Messenger = p.messenger(join)
	if err := p.Resume(context.Background()); err != nil {
		p.scene.T.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	p.stop, p.done = cancel, make(chan error, 1)
	go func() { p.done <- p.Run(ctx) }()
	p.scene.Net.Plug(p.Identity.Device(), p.Messenger)
	p.scene.T.Cleanup(p.Stop)
}

// Stop unplugs the messenger and waits until it has ended. Stopping twice is fine.
func (p *Person) Stop() {
	if p.stop == nil {
		return
	}
	p.scene.Net.Unplug(p.Identity.Device())
	p.stop()
	if err := <-p.done; err != nil && !errors.Is(err, context.Canceled) {
		p.scene.T.Errorf("%s's messenger ended: %v", p.Name, err)
	}
	p.stop = nil
}

// Adds makes p add other by their link as it is now, and returns the contact. Other is asked, and not p's contact by that.
func (p *Person) Adds(other *Person) chat.Contact {
	p.scene.T.Helper()
	link, err := other.ContactLink(context.Background())
	if err != nil {
		p.scene.T.Fatal(err)
	}
	contact, err := p.AddContact(context.Background(), link.Link, "")
	if err != nil {
		p.scene.T.Fatal(err)
	}
	return contact
}

// Befriend makes the two add each other by their links, and returns the conversation.
func (p *Person) Befriend(other *Person) chat.ConversationID {
	p.scene.T.Helper()
	contact := p.Adds(other)
	other.Adds(p)
	return contact.Conversation
}

// Asked waits until so many wait for p's answer, and returns them.
func (p *Person) Asked(n int) (waiting []chat.Request) {
	p.scene.T.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	err := p.Follow(ctx, 0, func(e chat.Entry) error {
		if e.Type != chat.EventContactRequest {
			return nil
		}
		all, err := p.Requests(ctx)
		waiting = slices.DeleteFunc(all, func(r chat.Request) bool { return r.State != chat.RequestPending })
		if err == nil && len(waiting) >= n {
			err = errEnough
		}
		return err
	})
	if !errors.Is(err, errEnough) {
		p.scene.T.Fatalf("%d of %d ask %s: %v", len(waiting), n, p.Name, err)
	}
	return waiting
}

// Accepts makes p accept other's request.
func (p *Person) Accepts(other *Person) chat.Contact {
	p.scene.T.Helper()
	c, err := p.AcceptRequest(context.Background(), other.Identity.Account(), "")
	if err != nil {
		p.scene.T.Fatal(err)
	}
	return c
}

// Links keeps the key of somebody's links in memory.
type Links struct {
	mu  sync.Mutex
	key chat.LinkKey
}

// LinkKey implements chat.Links.
func (l *Links) LinkKey() chat.LinkKey {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.key
}

// RenewLinks implements chat.Links.
func (l *Links) RenewLinks() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.key.Generation++
	return nil
}

// With returns the conversation with other.
func (p *Person) With(other *Person) chat.ConversationID {
	return chat.DirectConversation(p.Identity.Account(), other.Identity.Account())
}

// Say queues a text to other.
func (p *Person) Say(other *Person, text string) chat.Message {
	p.scene.T.Helper()
	m, err := p.Send(context.Background(), chat.Draft{Conversation: p.With(other), Text: text})
	if err != nil {
		p.scene.T.Fatalf("%s says %q: %v", p.Name, text, err)
	}
	return m
}

// Sees waits until a message of p's has reached a state.
func (p *Person) Sees(m chat.Message, want chat.State) chat.Message {
	p.scene.T.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	m, err := p.Wait(ctx, m.ID, want)
	if err != nil {
		p.scene.T.Fatalf("%s waits for %q to be %s: %v", p.Name, m.Text, want, err)
	}
	return m
}

// errEnough ends a Follow that has seen what it waited for.
var errEnough = errors.New("enough")

// Hears waits until n messages have come in from other, and returns their texts in the order of the event log.
func (p *Person) Hears(other *Person, n int) []string {
	p.scene.T.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	var texts []string
	err := p.Follow(ctx, 0, func(e chat.Entry) error {
		if e.Type == chat.EventMessageReceived && e.Account == other.Identity.Account() {
			texts = append(texts, e.Message.Text)
		}
		if len(texts) >= n {
			return errEnough
		}
		return nil
	})
	if n > 0 && !errors.Is(err, errEnough) {
		p.scene.T.Fatalf("%s heard %d of %d from %s: %v", p.Name, len(texts), n, other.Name, err)
	}
	return texts
}

// Messages returns p's history with other, oldest first.
func (p *Person) Messages(other *Person) ([]chat.Message, error) {
	var all []chat.Message
	var before chat.MessageID
	for {
		page, err := p.History(context.Background(), p.With(other), before, chat.MaxPage)
		if err != nil || len(page) == 0 {
			return all, err
		}
		all = append(page, all...)
		before = page[0].ID
	}
}

// Texts returns what p's history with other shows, oldest first.
func (p *Person) Texts(other *Person) []string {
	p.scene.T.Helper()
	all, err := p.Messages(other)
	if err != nil {
		p.scene.T.Fatal(err)
	}
	var texts []string
	for _, m := range all {
		texts = append(texts, m.Text)
	}
	return texts
}

package e2e

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"parley/chat"
	"parley/chat/api"
)

const (
	// retryPause is how long an end waits for its node to come back before it asks again.
	retryPause = 50 * time.Millisecond
	// findPause is how often an end is asked for what its author believes to have arrived.
	findPause = 300 * time.Millisecond
)

// end is one side of a conversation, at the local API of a person's node. It survives the death of the node.
type end struct {
	person *person
	client *api.Client
	with   chat.ConversationID
}

// end connects to the node of a person, and finds the conversation with somebody as soon as it exists.
func (p *person) end(with string) *end {
	p.Helper()
	client, err := api.Dial(filepath.Join(p.home, "api.sock"))
	if err != nil {
		p.Fatal(err)
	}
	p.Cleanup(client.Close)
	e := &end{person: p, client: client}
	await(p, patience, fmt.Sprintf("%s knows %s", p.name, with), func() bool {
		list, err := client.Conversations(context.Background())
		if err != nil {
			p.Fatal(err)
		}
		for _, c := range list {
			if c.Name == with {
				e.with = c.ID
				return true
			}
		}
		return false
	})
	return e
}

// say sends n texts one after the other.
func (e *end) say(ctx context.Context, l *ledger, n int) error {
	for i := range n {
		if err := e.sayOne(ctx, l, i); err != nil {
			return err
		}
	}
	return nil
}

// chatter sends texts with pauses of any length up to a longest one, until somebody says enough.
func (e *end) chatter(ctx context.Context, l *ledger, longest time.Duration, enough <-chan struct{}) error {
	for i := 0; ; i++ {
		select {
		case <-enough:
			return nil
		case <-time.After(rand.N(longest)):
		}
		if err := e.sayOne(ctx, l, i); err != nil {
			return err
		}
	}
}

// sayOne sends a text until the node has accepted it.
func (e *end) sayOne(ctx context.Context, l *ledger, i int) error {
	return e.sayText(ctx, l, fmt.Sprintf("%s-%04d %s", strings.ToLower(e.person.name), i, strings.Repeat("words and 漢字 ", i%7)))
}

// sayText sends a text, whose first word is its id, until the node has accepted it.
func (e *end) sayText(ctx context.Context, l *ledger, text string) error {
	l.attempt(text)
	for {
		_, err := e.client.Send(ctx, chat.Draft{Conversation: e.with, Text: text, ClientID: idOf(text)})
		if err == nil {
			l.accept(text)
			return nil
		}
		if err := again(ctx, err); err != nil {
			return fmt.Errorf("send %s: %w", idOf(text), err)
		}
	}
}

// follow notes in the ledgers what comes in and which of our own has arrived, until ctx ends.
func (e *end) follow(ctx context.Context, heard, said *ledger) error {
	after := uint64(0)
	for {
		err := e.client.Follow(ctx, after, func(entry chat.Entry) error {
			after = entry.Seq
			switch m := entry.Message; {
			case m == nil || m.Conversation != e.with:
			case entry.Type == chat.EventMessageReceived:
				heard.show(m.Text)
			case entry.Type == chat.EventMessageState && m.Mine && m.State.Reached(chat.StateDelivered):
				said.tick(m.Text)
			case entry.Type == chat.EventMessageState && m.Mine && m.State == chat.StateSent:
				said.post(m.Text)
			}
			return nil
		})
		if ctx.Err() != nil {
			return nil
		}
		if err := again(ctx, err); err != nil {
			return fmt.Errorf("follow: %w", err)
		}
	}
}

// findTicked asks the node again and again, while others talk and are killed, for the texts whose author was told that they have arrived.
// Whoever asks after the tick finds the text: there is nothing to wait for but a node that is away.
func (e *end) findTicked(ctx context.Context, heard *ledger) error {
	for {
		select {
		case <-time.After(findPause):
		case <-ctx.Done():
			return nil
		}
		ids := heard.toFind()
		lacks, err := e.lacks(ctx, ids)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			if err := again(ctx, err); err != nil {
				return fmt.Errorf("find what was ticked: %w", err)
			}
		case len(lacks) > 0:
			return fmt.Errorf("%d texts were ticked, and %s does not have them: %.200q", len(lacks), e.person.name, lacks)
		default:
			heard.find(ids)
		}
	}
}

// lacks returns which of some texts of the other one the node does not have. It looks at the newest first.
func (e *end) lacks(ctx context.Context, ids []string) ([]string, error) {
	missing := map[string]bool{}
	for _, id := range ids {
		missing[id] = true
	}
	var before chat.MessageID
	for len(missing) > 0 {
		page, err := e.client.History(ctx, e.with, before, chat.MaxPage)
		if err != nil {
			return nil, err
		}
		if len(page) == 0 {
			break
		}
		for _, m := range page {
			if !m.Mine {
				delete(missing, idOf(m.Text))
			}
		}
		before = page[0].ID
	}
	return slices.Sorted(maps.Keys(missing)), nil
}

// again waits a moment where an error means that the node is away, or has no room for now, and returns every other one.
func again(ctx context.Context, err error) error {
	if code := chat.CodeOf(err); code != chat.CodeUnavailable && code != chat.CodeLimit {
		return err
	}
	select {
	case <-time.After(retryPause):
		return nil
	case <-ctx.Done():
		return errors.Join(err, ctx.Err())
	}
}

// history returns every text of the conversation that the node keeps, oldest first.
func (e *end) history() (list []chat.Message) {
	e.person.Helper()
	var before chat.MessageID
	for {
		page, err := e.client.History(context.Background(), e.with, before, chat.MaxPage)
		if err != nil {
			e.person.Fatal(err)
		}
		if len(page) == 0 {
			return list
		}
		list, before = append(page, list...), page[0].ID
	}
}

// conversation is two people talking at once, with a ledger for each direction.
type conversation struct {
	t                   testing.TB
	alice, bob          *end // whatever their names are
	fromAlice, fromBob  *ledger
	ctx                 context.Context
	cancel              context.CancelFunc
	speaking, listening sync.WaitGroup
}

// converse lets both say n texts each, and returns at once.
func converse(t testing.TB, alice, bob *person, fromAlice, fromBob int) *conversation {
	t.Helper()
	c := listen(t, alice, bob)
	c.speaking.Go(func() { c.note(c.alice.say(c.ctx, c.fromAlice, fromAlice)) })
	c.speaking.Go(func() { c.note(c.bob.say(c.ctx, c.fromBob, fromBob)) })
	return c
}

// listen returns a conversation in which both listen, and nobody says a word yet.
func listen(t testing.TB, alice, bob *person) *conversation {
	t.Helper()
	c := &conversation{t: t, alice: alice.end(bob.name), bob: bob.end(alice.name), fromAlice: newLedger(), fromBob: newLedger()}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	c.listening.Go(func() { c.note(c.alice.follow(c.ctx, c.fromBob, c.fromAlice)) })
	c.listening.Go(func() { c.note(c.bob.follow(c.ctx, c.fromAlice, c.fromBob)) })
	c.listening.Go(func() { c.note(c.alice.findTicked(c.ctx, c.fromBob)) })
	c.listening.Go(func() { c.note(c.bob.findTicked(c.ctx, c.fromAlice)) })
	t.Cleanup(c.end)
	return c
}

// chatters lets both talk until somebody says enough. What they say may come by mailboxes.
func (c *conversation) chatters(longest time.Duration, enough <-chan struct{}) {
	c.scatter()
	c.speaking.Go(func() { c.note(c.alice.chatter(c.ctx, c.fromAlice, longest, enough)) })
	c.speaking.Go(func() { c.note(c.bob.chatter(c.ctx, c.fromBob, longest, enough)) })
}

// scatter says that texts may come in another order than they were said in. In the histories they may not.
func (c *conversation) scatter() { c.fromAlice.scattered, c.fromBob.scattered = true, true }

func (c *conversation) note(err error) {
	if err != nil {
		c.t.Error(err)
	}
}

// end stops both listening and speaking.
func (c *conversation) end() {
	c.cancel()
	c.speaking.Wait()
	c.listening.Wait()
}

// finish waits until everything that was said was shown and ticked, and checks the ledgers and what both nodes keep.
func (c *conversation) finish(within time.Duration) {
	c.t.Helper()
	c.speaking.Wait()
	defer c.fromAlice.check(c.t) // also where the wait is in vain
	defer c.fromBob.check(c.t)
	for _, l := range []*ledger{c.fromAlice, c.fromBob} {
		n := l.acceptedCount()
		await(c.t, within, fmt.Sprintf("%d texts are shown and ticked", n), func() bool {
			return l.shownCount() >= n && l.tickedCount() >= n
		})
	}
	c.end()
	c.checkHistories()
}

// checkHistories compares what both nodes keep with the ledgers: each text once, in the order of its author.
func (c *conversation) checkHistories() {
	c.t.Helper()
	for _, e := range []*end{c.alice, c.bob} {
		kept := map[bool][]string{} // by whether it is Alice's
		for _, m := range e.history() {
			byAlice := m.Mine == (e == c.alice)
			kept[byAlice] = append(kept[byAlice], idOf(m.Text))
		}
		for byAlice, l := range map[bool]*ledger{true: c.fromAlice, false: c.fromBob} {
			if got, want := strings.Join(kept[byAlice], " "), strings.Join(l.attempted, " "); got != want {
				c.t.Errorf("%s keeps %d texts in another order or number than the %d that were said (by Alice: %v)",
					e.person.name, len(kept[byAlice]), len(l.attempted), byAlice)
			}
		}
	}
}

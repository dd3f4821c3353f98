package chat_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"parley/chat"
	"parley/chat/chattest"
)

// town is a simulated network of three people, each of whom knows the others, and of three hosts that keep mailboxes. It keeps a ledger of
// its own about what was said and what was promised.
type town struct {
	t      *testing.T
	rng    *rand.Rand
	bug    bug
	scene  *chattest.Scene
	people []*citizen
	hosts  []*chattest.MailHost
	strict bool // nothing happens that excuses a heal: no packet is damaged, no clock or store goes back

	log      bytes.Buffer // what the nodes have to say: shown where something is wrong
	said     []saying
	resent   int
	problems []string
}

// citizen is a person whose process may die.
type citizen struct {
	*chattest.Person
	disk *disk
	up   bool
	old  chat.Store // a copy of the store as it was once
	lost time.Time  // what was said until then may be forgotten: the store went back
}

// saying is one line of the ledger.
type saying struct {
	from, to *citizen
	text     string
	id       chat.MessageID
	accepted bool
	at       time.Time
}

// bug is a mistake that is put in on purpose, to see that the checks find it.
type bug string

const (
	noBug           bug = ""
	ackBeforeCommit bug = "acknowledge before commit"
	reEncrypt       bug = "re-encrypt on retry"
	forgetSeen      bug = "forget seen ids on restart"
	popNotLease     bug = "pop instead of lease"
	ackBeyond       bug = "cumulative acknowledgement off by one"
	syncOff         bug = "synchronous off under power loss"
)

func newTown(t *testing.T, seed uint64, b bug) *town {
	w := &town{t: t, rng: rand.New(rand.NewPCG(seed, 7)), bug: b, scene: chattest.NewScene(t, seed), strict: seed%3 == 0 || b != noBug}
	encoder := zapcore.NewConsoleEncoder(zap.NewDevelopmentEncoderConfig())
	w.scene.Log = zap.New(zapcore.NewCore(encoder, zapcore.Lock(zapcore.AddSync(&w.log)), zap.DebugLevel))
	w.hosts = hostsOf(w.scene, 3)
	for _, name := range []string{"Alice", "Bob", "Carol"} {
		c := &citizen{disk: &disk{inner: chattest.NewMemStore(), bug: b, written: map[string]bool{}}}
		c.Person = w.scene.Person(name, c.disk)
		w.people = append(w.people, c)
		w.start(c)
	}
	for i, c := range w.people {
		for _, other := range w.people[:i] {
			c.Befriend(other.Person)
		}
	}
	w.pass(time.Minute)
	for _, h := range w.hosts {
		h.Pop(b == popNotLease)
	}
	w.scene.Net.AckBeyond(b == ackBeyond)
	return w
}

func (w *town) start(c *citizen) {
	c.disk.revive()
	c.Start(nil)
	c.up = true
	if w.bug == ackBeforeCommit {
		w.scene.Net.Plug(c.Identity.Device(), hasty{c.Messenger, c.disk})
	}
}

func (w *town) stop(c *citizen) {
	c.Stop()
	c.up = false
}

// pass lets time go by, in a bubble: nobody waits for it.
func (w *town) pass(d time.Duration) { <-time.After(d) }

// other picks somebody else.
func (w *town) other(c *citizen) *citizen {
	for {
		if o := w.people[w.rng.IntN(len(w.people))]; o != c {
			return o
		}
	}
}

func (w *town) anybody() *citizen { return w.people[w.rng.IntN(len(w.people))] }

// say lets somebody who is up say something, through a node that may die over it.
func (w *town) say(c *citizen) {
	if !c.up {
		return
	}
	to := w.other(c)
	s := saying{from: c, to: to, text: fmt.Sprintf("%d of %s to %s", len(w.said), c.Name, to.Name), at: time.Now()}
	m, err := c.Send(context.Background(), chat.Draft{Conversation: c.With(to.Person), Text: s.text, ClientID: s.text})
	s.accepted, s.id = err == nil, m.ID
	w.said = append(w.said, s)
	if err != nil && !errors.Is(err, errPowerCut) {
		w.fail("%s cannot say %q: %v", c.Name, s.text, err)
	}
}

// read lets somebody see what is unread.
func (w *town) read(c *citizen) {
	if !c.up {
		return
	}
	unread, err := c.Unread(context.Background(), chat.ConversationID{}, 20)
	if err != nil {
		return // it is dying
	}
	var ids []chat.MessageID
	for _, m := range unread {
		ids = append(ids, m.ID)
	}
	_ = c.MarkRead(context.Background(), ids) // as above
}

// kill cuts the power of somebody's machine in the middle of one of the next writes, before or after it is durable.
func (w *town) kill(c *citizen) {
	if !c.up {
		return
	}
	w.arm(c, 8)
	for range w.rng.IntN(5) {
		w.say(w.anybody())
		w.pass(time.Duration(w.rng.IntN(2)) * time.Second)
	}
	w.stop(c)
}

// arm cuts the power of somebody's machine at one of the next writes.
func (w *town) arm(c *citizen, writes int) {
	c.disk.cut(w.rng.IntN(writes), w.rng.IntN(2) == 0, func() { w.scene.Net.Unplug(c.Identity.Device()) })
}

// flicker lets somebody come back and fetch what waits for them, and cuts their power in the middle of it.
func (w *town) flicker(c *citizen) {
	for _, h := range w.hosts {
		h.Die()
	}
	c.disk.revive()
	c.Start(nil)
	w.arm(c, 6)
	for _, h := range w.hosts {
		h.Rise()
	}
	w.scene.Net.Fetch(c.Identity.Device())
	w.pass(time.Second)
	w.stop(c)
}

// restore brings back an older copy of somebody's store.
func (w *town) restore(c *citizen) {
	if w.strict || c.old == nil {
		return
	}
	if c.up {
		w.stop(c)
	}
	c.disk.inner, c.old, c.lost = c.old, nil, time.Now()
	w.start(c)
}

// deed is something that may happen, and how often among all.
type deed struct {
	name   string
	weight int
	do     func(*town)
}

func deeds() []deed {
	return []deed{
		{"say", 40, func(w *town) { w.say(w.anybody()) }},
		{"say several", 8, func(w *town) {
			c := w.anybody()
			for range 2 + w.rng.IntN(20) {
				w.say(c)
			}
		}},
		{"read", 10, func(w *town) { w.read(w.anybody()) }},
		{"stop", 6, func(w *town) {
			if c := w.anybody(); c.up {
				w.stop(c)
			}
		}},
		{"kill", 6, func(w *town) { w.kill(w.anybody()) }},
		{"start", 14, func(w *town) {
			if c := w.anybody(); !c.up {
				w.start(c)
			}
		}},
		{"copy the store", 4, func(w *town) { c := w.anybody(); c.old = chattest.Copy(c.disk.inner) }},
		{"restore", 4, func(w *town) { w.restore(w.anybody()) }},
		{"change the clock", 2, func(w *town) {
			if c := w.anybody(); !w.strict {
				c.Skew = time.Duration(w.rng.IntN(800)-400) * time.Hour
			}
		}},
		{"cut a line", 4, func(w *town) {
			c := w.anybody()
			w.scene.Net.Cut(c.Identity.Device(), w.other(c).Identity.Device(), w.rng.IntN(2) == 0)
		}},
		{"bad network", 4, func(w *town) { w.scene.Net.SetFaults(w.faults()) }},
		{"good network", 3, func(w *town) { w.scene.Net.SetFaults(chattest.Faults{}) }},
		{"a host lies", 3, func(w *town) { w.hosts[w.rng.IntN(len(w.hosts))].SetFaults(w.lies()) }},
		{"a host dies", 2, func(w *town) { w.hosts[w.rng.IntN(len(w.hosts))].Die() }},
		{"a host comes back", 3, func(w *town) { w.hosts[w.rng.IntN(len(w.hosts))].Rise() }},
		{"nothing", 5, func(w *town) { w.pass(time.Duration(w.rng.IntN(600)) * time.Second) }},
	}
}

func (w *town) faults() chattest.Faults {
	f := chattest.Faults{
		Lose: w.rng.Float64() / 2, NoAck: w.rng.Float64() / 2, Partly: w.rng.Float64() / 2, Twice: w.rng.Float64() / 2, BadTag: w.rng.Float64() / 5,
	}
	if !w.strict {
		f.Mangle = w.rng.Float64() / 5
	}
	return f
}

func (w *town) lies() chattest.HostFaults {
	return chattest.HostFaults{Drop: w.rng.Float64() / 2, Withhold: w.rng.Float64() / 2, Twice: w.rng.Float64(), Forget: w.rng.Float64()}
}

// chaos lets things happen, and looks now and then whether every tick is true.
func (w *town) chaos(steps int) {
	total := 0
	for _, d := range deeds() {
		total += d.weight
	}
	for range steps {
		n := w.rng.IntN(total)
		for _, d := range deeds() {
			if n -= d.weight; n < 0 {
				d.do(w)
				break
			}
		}
		w.pass(time.Duration(w.rng.IntN(4000)) * time.Millisecond)
		for _, c := range w.people {
			if c.up && w.bug == reEncrypt {
				_ = c.ReEncrypt(context.Background()) // it may be dying
			}
		}
		if w.rng.IntN(10) == 0 {
			w.honest()
		}
	}
}

// heal ends everything that goes wrong.
func (w *town) heal() {
	w.scene.Net.SetFaults(chattest.Faults{})
	w.scene.Net.Mend()
	for _, h := range w.hosts {
		h.SetFaults(chattest.HostFaults{})
		h.Rise()
		h.Relent()
	}
}

// fail notes a problem.
func (w *town) fail(format string, args ...any) {
	w.problems = append(w.problems, fmt.Sprintf(format, args...))
}

// errPowerCut is what a store says whose machine has no power.
var errPowerCut = errors.New("the power is cut")

// disk is a store that may lose its power, and counts what is written.
type disk struct {
	inner chat.Store
	bug   bug

	mu      sync.Mutex
	dead    bool
	armed   bool
	left    int  // updates until the power is cut
	after   bool // the last one becomes durable
	onCut   func()
	written map[string]bool // outbox rows that were ever written
	resent  []string        // those that were written again
	synced  chat.Store      // the bug: what has really reached the disk
	lag     int
}

func (d *disk) cut(updates int, after bool, onCut func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.armed, d.left, d.after, d.onCut = true, updates, after, onCut
}

// revive gives the power back.
func (d *disk) revive() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.dead && d.bug == syncOff && d.synced != nil {
		d.inner = d.synced
	}
	d.dead, d.armed, d.synced = false, false, nil
	if d.bug == forgetSeen {
		d.inner = chattest.WithoutSeen(d.inner)
	}
}

// Update implements chat.Store.
func (d *disk) Update(ctx context.Context, fn func(chat.Tx) error) error {
	dies, err := d.enter()
	if err != nil {
		return err
	}
	var rows []string
	err = d.inner.Update(ctx, func(tx chat.Tx) error {
		rows = nil
		return fn(countingTx{tx, &rows})
	})
	if err == nil {
		d.note(rows)
	}
	if dies {
		d.die()
		return errPowerCut
	}
	return err
}

// enter says whether the power is cut, before this update or behind it.
func (d *disk) enter() (dies bool, err error) {
	d.mu.Lock()
	if d.dead {
		d.mu.Unlock()
		return false, errPowerCut
	}
	if d.bug == syncOff {
		if d.lag--; d.lag <= 0 {
			d.synced, d.lag = chattest.Copy(d.inner), 10
		}
	}
	cut := d.armed && d.left <= 0
	d.left--
	after := d.after
	d.mu.Unlock()
	if cut && !after {
		d.die()
		return false, errPowerCut
	}
	return cut, nil
}

func (d *disk) isDead() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.dead
}

func (d *disk) die() {
	d.mu.Lock()
	d.dead = true
	onCut := d.onCut
	d.mu.Unlock()
	onCut()
}

func (d *disk) note(rows []string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, row := range rows {
		if d.written[row] {
			d.resent = append(d.resent, row)
		}
		d.written[row] = true
	}
}

// View implements chat.Store.
func (d *disk) View(ctx context.Context, fn func(chat.Tx) error) error {
	d.mu.Lock()
	dead := d.dead
	d.mu.Unlock()
	if dead {
		return errPowerCut
	}
	return d.inner.View(ctx, fn)
}

// countingTx notes which outbox rows a transaction writes.
type countingTx struct {
	chat.Tx
	rows *[]string
}

func (t countingTx) InsertOutbox(o chat.OutboxRow) error {
	*t.rows = append(*t.rows, string(o.Device)+string(o.Row[:]))
	return t.Tx.InsertOutbox(o)
}

// hasty is the bug: it acknowledges before it commits, and the power is cut in between.
type hasty struct {
	*chat.Messenger
	disk *disk
}

func (h hasty) Receive(ctx context.Context, from peer.ID, envelopes [][]byte) ([][]byte, error) {
	h.disk.mu.Lock()
	dying := h.disk.armed && h.disk.left <= 1
	h.disk.mu.Unlock()
	if !dying {
		return h.Messenger.Receive(ctx, from, envelopes)
	}
	before := chattest.Copy(h.disk.inner)
	h.disk.mu.Lock()
	h.disk.armed = false
	h.disk.mu.Unlock()
	tags, err := h.Messenger.Receive(ctx, from, envelopes)
	h.disk.inner = before
	h.disk.die()
	return tags, err
}

// inBubble plays a town in time of its own, and returns what was wrong.
func inBubble(t *testing.T, seed uint64, b bug, play func(*town)) (problems []string) {
	synctest.Test(t, func(t *testing.T) {
		w := newTown(t, seed, b)
		play(w)
		for _, c := range w.people {
			c.Stop()
		}
		problems = w.problems
		if len(problems) > 0 && *simLog {
			t.Log(w.log.String())
		}
	})
	return problems
}

// texts returns what one has with another, in the order in which people see it.
func (w *town) texts(of, from *citizen) []chat.Message {
	all, err := of.Messages(from.Person)
	if err != nil {
		w.fail("%s cannot read: %v", of.Name, err)
	}
	return all
}

func short(problems []string) string {
	return strings.Join(problems[:min(len(problems), 5)], "\n")
}

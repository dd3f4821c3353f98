package chat_test

import (
	"flag"
	"fmt"
	"slices"
	"testing"
	"time"

	"parley/chat"
	"parley/chat/chattest"
)

var (
	simSeeds = flag.Int("sim.seeds", 0, "how many towns TestNothingIsLostOrShownTwice plays; 0: a few, and fewer with the race detector")
	simFirst = flag.Int("sim.first", 0, "the seed of the first town")
	simSeed  = flag.Int("sim.seed", -1, "play only the town of this seed")
	simLog   = flag.Bool("sim.log", false, "show what the nodes of a town said in which something is wrong")
	simSteps = flag.Int("sim.steps", 80, "how much happens in a town")
)

// Three people talk while nodes are stopped and killed, lines are cut, packets lost, doubled, cut short and damaged, mailbox hosts lie and
// die, clocks are set and old databases restored. Then everything works again, and what a node has promised must be there: once, in order,
// and every tick true.
func TestNothingIsLostOrShownTwice(t *testing.T) {
	first, n := *simFirst, *simSeeds
	if n == 0 {
		n = usualTowns
	}
	if *simSeed >= 0 {
		first, n = *simSeed, 1
	}
	said, restored, resent := 0, 0, 0
	for seed := first; seed < first+n; seed++ {
		problems := inBubble(t, uint64(seed), noBug, func(w *town) {
			w.live(*simSteps)
			said += len(w.said)
			if w.strict {
				resent = max(resent, w.resent)
			}
			for _, c := range w.people {
				if !c.lost.IsZero() {
					restored++
				}
			}
		})
		if len(problems) > 0 {
			t.Fatalf("seed %d: %d problems\n%s\nagain: go test -run '^TestNothingIsLostOrShownTwice$' ./chat -args -sim.seed %d", seed, len(problems), short(problems), seed)
		}
	}
	t.Logf("%d towns, %d messages, %d restored stores, at most %d envelopes sealed anew where nothing is damaged", n, said, restored, resent)
}

// Each mistake that is put in on purpose is found: a check that finds nothing proves nothing.
func TestTheSimulationFindsSixBugs(t *testing.T) {
	for _, b := range []bug{ackBeforeCommit, reEncrypt, forgetSeen, popNotLease, ackBeyond, syncOff} {
		t.Run(string(b), func(t *testing.T) {
			for seed := range uint64(200) { // one town in 25 shows the rarest
				if problems := inBubble(t, seed, b, func(w *town) { w.live(80) }); len(problems) > 0 {
					t.Logf("seed %d: %s", seed, problems[0])
					return
				}
			}
			t.Error("nobody noticed")
		})
	}
}

// live is one life of a town: chaos; then what only mailboxes hold must reach one who comes back while the others are gone; then all.
func (w *town) live(steps int) {
	w.chaos(steps)
	w.honest()
	w.heal()
	w.alone(w.anybody())
	for _, c := range w.people {
		if !c.up {
			w.start(c)
		}
	}
	for range 4 {
		for _, c := range w.people {
			w.scene.Net.Fetch(c.Identity.Device())
		}
		w.pass(5 * time.Minute)
	}
	w.honest()
	w.settled()
}

// alone lets one person come back while everybody else is off: whatever a host has said that it holds is there.
func (w *town) alone(reader *citizen) {
	if reader.up {
		w.stop(reader)
	}
	for range 6 {
		w.say(w.anybody())
	}
	w.pass(10 * time.Second)
	for range 3 {
		w.flicker(reader)
	}
	for _, c := range w.people {
		if c.up {
			w.stop(c)
		}
	}
	held := map[string]bool{}
	for _, h := range w.hosts {
		for _, text := range w.heldBy(h, reader) {
			held[text] = true
		}
	}
	w.start(reader)
	w.scene.Net.Fetch(reader.Identity.Device()) // as a node does again and again
	w.pass(5 * time.Minute)
	shown := map[string]bool{}
	for _, c := range w.people {
		for _, m := range w.texts(reader, c) {
			shown[m.Text] = true
		}
	}
	for text := range held {
		if !shown[text] {
			w.fail("%q is held for %s, and is not shown when everybody else is away", text, reader.Name)
		}
	}
}

// heldBy lists what authors who are up were told that a host holds for a reader, if that host never lied about it.
func (w *town) heldBy(host *chattest.MailHost, reader *citizen) (texts []string) {
	for _, from := range w.people {
		if from == reader || !from.lost.IsZero() || !reader.lost.IsZero() || from.disk.isDead() || host.Dropped() > 0 {
			continue
		}
		for _, m := range w.texts(from, reader) {
			if m.Mine && m.State == chat.StateSent && slices.Contains(m.Ways[0].Holders, host.ID) {
				texts = append(texts, m.Text)
			}
		}
	}
	return texts
}

// promised reports whether a saying must arrive: neither its author's nor its reader's store went back behind it.
func (s saying) promised() bool {
	return s.accepted && s.at.After(s.from.lost) && s.at.After(s.to.lost)
}

// mayReseal is how many envelopes of one person are sealed anew at most where nothing is damaged: those of a first flight that was never answered,
// when the keys that it used may be gone.
const mayReseal = 50

// settled compares what everybody has in the end with what was said.
func (w *town) settled() {
	for _, from := range w.people {
		for _, to := range w.people {
			if from != to {
				w.compare(from, to)
			}
		}
	}
	for _, c := range w.people {
		heals, err := c.Heals(w.t.Context())
		if w.strict && (heals > 0 || err != nil) {
			w.fail("%s has begun %d sessions to heal, and nothing was damaged: %v", c.Name, heals, err)
		}
		if w.strict && len(c.disk.resent) > mayReseal {
			w.fail("%s has sealed %d envelopes anew, and nothing called for it", c.Name, len(c.disk.resent))
		}
		w.resent += len(c.disk.resent)
		if status, err := c.Status(w.t.Context()); err != nil || status.Trouble != "" && c.lost.IsZero() {
			w.fail("%s is in trouble: %q, %v", c.Name, status.Trouble, err)
		}
	}
}

func (w *town) compare(from, to *citizen) {
	var shown []string
	for _, m := range w.texts(to, from) {
		if !m.Mine {
			shown = append(shown, m.Text)
		}
	}
	states := map[string]chat.State{}
	for _, m := range w.texts(from, to) {
		if m.Mine {
			states[m.Text] = m.State
		}
	}
	var order []string
	for _, s := range w.said {
		if s.from != from || s.to != to {
			continue
		}
		times := 0
		for _, text := range shown {
			if text == s.text {
				times++
			}
		}
		switch {
		case times > 1:
			w.fail("%q was shown %d times", s.text, times)
		case times == 0 && s.promised():
			w.fail("%q was accepted and lost: it is %s", s.text, states[s.text])
		case s.promised() && !states[s.text].Reached(chat.StateDelivered):
			w.fail("%q arrived, and is still %s at its author's", s.text, states[s.text])
		}
		if times == 1 {
			order = append(order, s.text)
		}
	}
	for _, text := range shown {
		if !slices.ContainsFunc(w.said, func(s saying) bool { return s.text == text && s.from == from && s.to == to }) {
			w.fail("%s was shown %q, which nobody said", to.Name, text)
		}
	}
	if from.lost.IsZero() && to.lost.IsZero() && w.strict && !slices.Equal(order, shown) {
		w.fail("%s sees what %s said in another order: %.200q", to.Name, from.Name, fmt.Sprint(shown))
	}
}

// honest looks at every tick: what is delivered is there, what is read was seen.
func (w *town) honest() {
	for _, from := range w.people {
		for _, to := range w.people {
			if from == to || !to.lost.IsZero() || from.disk.isDead() || to.disk.isDead() {
				continue
			}
			there := map[string]chat.State{}
			for _, m := range w.texts(to, from) {
				there[m.Text] = m.State
			}
			for _, m := range w.texts(from, to) {
				if !m.Mine {
					continue
				}
				got, ok := there[m.Text]
				if m.State.Reached(chat.StateDelivered) && !ok {
					w.fail("%q is %s and was never shown", m.Text, m.State)
				}
				if m.State == chat.StateRead && got != chat.StateRead {
					w.fail("%q is read and was not seen", m.Text)
				}
				if m.State == chat.StateSent && (len(m.Ways) == 0 || len(m.Ways[0].Holders) == 0) {
					w.fail("%q is sent and nobody holds it", m.Text)
				}
			}
		}
	}
}

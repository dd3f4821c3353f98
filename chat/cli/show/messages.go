package show

import (
	"fmt"
	"hash/fnv"
	"strings"

	"parley/chat"
)

// Messages writes messages as people read them, one after the other.
type Messages struct {
	style Style
	names map[chat.AccountID]string
	day   string // of the last message, so that a new day is announced
}

// NewMessages returns a writer that calls people what they are called among the contacts.
func NewMessages(contacts []chat.Contact, style Style) *Messages {
	r := &Messages{style: style}
	r.Know(contacts)
	return r
}

// Know takes over the names of the contacts.
func (r *Messages) Know(contacts []chat.Contact) {
	r.names = make(map[chat.AccountID]string, len(contacts))
	for _, c := range contacts {
		r.names[c.Account] = c.Name
	}
}

// Knows reports whether an account is among the contacts.
func (r *Messages) Knows(a chat.AccountID) bool {
	_, ok := r.names[a]
	return ok
}

// NewDay makes the next message say its day.
func (r *Messages) NewDay() { r.day = "" }

// Name returns who wrote a message: a contact's name, else the beginning of the account's short form.
func (r *Messages) Name(m chat.Message) string {
	if m.Mine {
		return "you"
	}
	if name, ok := r.names[m.Author]; ok {
		return name
	}
	return m.Author.Short()[:9]
}

// Lines returns a message as lines that end: time, name, text. A new day, and messages that are missing before it, have lines of their own.
func (r *Messages) Lines(m chat.Message) string {
	var b strings.Builder
	at := m.At.Local()
	if day := at.Format("Mon 2 Jan 2006"); day != r.day {
		r.day = day
		fmt.Fprintf(&b, "%s %s %s\n", r.style.Rule(), day, r.style.Rule())
	}
	name := Name(r.Name(m))
	if m.Missing > 0 {
		fmt.Fprintf(&b, "%s %s of %s %s missing here %s\n", r.style.Rule(), count(m.Missing, "message"), name, are(m.Missing), r.style.Rule())
	}
	head := at.Format("15:04") + " "
	margin := strings.Repeat(" ", len(head)+max(nameMin, Columns(name)))
	name += strings.Repeat(" ", max(0, nameMin-Columns(name)))
	for i, text := range strings.Split(r.text(m.Text), "\n") {
		if i == 0 {
			fmt.Fprintf(&b, "%s%s %s %s\n", head, r.paint(name, m), r.style.bar(), text)
		} else {
			fmt.Fprintf(&b, "%s %s %s\n", margin, r.style.bar(), text)
		}
	}
	return b.String()
}

func (r *Messages) text(s string) string {
	s = chat.CleanText(s)
	if short := Fit(s, MaxColumns); short != s {
		return chat.CleanText(short) + " (cut: history --json has all of it)"
	}
	return s
}

// paint colours a name by its owner's key: another account with the same name has another colour.
func (r *Messages) paint(name string, m chat.Message) string {
	if !r.style.Color || m.Mine {
		return name
	}
	h := fnv.New32a()
	_, _ = h.Write(m.Author[:])
	return fmt.Sprintf("\x1b[3%dm%s\x1b[0m", 1+h.Sum32()%6, name)
}

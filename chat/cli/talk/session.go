package talk

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"parley/chat"
	"parley/chat/api"
	"parley/chat/cli/argv"
	"parley/chat/cli/line"
	"parley/chat/cli/show"
)

// errQuit ends a chat because the person left it.
var errQuit = errors.New("quit")

// Options is what a chat begins with.
type Options struct {
	Node    api.Backend
	Own     bool   // the node ends with the chat
	Up      string // the command that keeps a node running
	Version string
	Target  string // whose chat to open first; empty: nobody's
	Style   show.Style
	In, Out *os.File // the terminal
}

// Session is one line-based chat. Lines, events and the terminal's reports all reach the one loop in chat, so that nothing here
// needs a lock; the exceptions say so.
type Session struct {
	o        Options
	node     api.Backend
	editor   line.Editor
	style    show.Style
	lines    *show.Messages
	status   chat.Status // when the chat began
	contacts []chat.Contact
	words    atomic.Pointer[[]string] // what Tab completes; read by the editor's goroutine

	current *chat.Contact // whose chat is open; only the person changes it
	last    *chat.Message // our last message there
	sender  *chat.Contact // who wrote last
	unread  map[chat.ConversationID]int
	mine    map[chat.MessageID]bool // sent from here: on the screen already
	long    string                  // a text that waits for a yes
	quit    bool
	twice   bool // the last thing typed was ^C

	typed   chan struct{}    // a key was pressed
	focus   chan bool        // the window got or lost the focus
	focused bool             // it has it, and said so
	shown   []chat.MessageID // of the open chat, while nobody was known to look
}

// New asks the node for what a chat begins with.
func New(ctx context.Context, o Options) (*Session, error) {
	s := &Session{
		o: o, node: o.Node, style: o.Style, unread: make(map[chat.ConversationID]int), mine: make(map[chat.MessageID]bool),
		typed: make(chan struct{}, 1), focus: make(chan bool, 1),
	}
	var err error
	if s.status, err = o.Node.Status(ctx); err != nil {
		return nil, err
	}
	contacts, err := o.Node.Contacts(ctx)
	if err != nil {
		return nil, err
	}
	s.lines = show.NewMessages(contacts, o.Style)
	s.learn(contacts)
	if o.Target != "" {
		contact, err := argv.Resolve(contacts, o.Target)
		if err != nil {
			return nil, err
		}
		s.current = &contact
	}
	return s, nil
}

// Run shows the chat until the person leaves it, ctx ends, or the node goes away. It calls shown with what prints above the prompt
// as soon as there is one; nothing else may write to the terminal from then on.
func (s *Session) Run(ctx context.Context, shown func(line.Editor)) (err error) {
	s.editor, err = line.Open(line.Options{
		In: s.o.In, Out: s.o.Out, ASCII: s.style.ASCII, Complete: s.complete,
		OnKey:   func() { signal(s.typed) },
		OnFocus: func(in bool) { replace(s.focus, in) },
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.editor.Close()) }()
	shown(s.editor)
	return s.chat(ctx)
}

// signal leaves one signal in a channel, however often it is called.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// replace leaves a value as the only one in a channel that has one sender.
func replace(c chan bool, v bool) {
	select {
	case <-c:
	default:
	}
	c <- v
}

// input is what the editor returned.
type input struct {
	text string
	err  error
}

// chat is the chat on an editor that is open.
func (s *Session) chat(ctx context.Context) error {
	s.banner()
	if s.current != nil {
		s.try(ctx, func(ctx context.Context) error { return s.openChat(ctx, *s.current) })
	}
	g, ctx := errgroup.WithContext(ctx)
	inputs, next := make(chan input), make(chan struct{})
	entries := make(chan chat.Entry, entryBuffer)
	g.Go(func() error { return s.read(ctx, inputs, next) })
	g.Go(func() error { return s.follow(ctx, entries) })
	g.Go(func() error {
		err := s.loop(ctx, inputs, next, entries)
		return errors.Join(err, s.editor.Close()) // which ends read
	})
	err := g.Wait()
	if errors.Is(err, errQuit) || errors.Is(err, context.Canceled) {
		err = nil
	}
	s.goodbye()
	return err
}

// read passes on one line after the other; the prompt comes back when the one before is done with.
func (s *Session) read(ctx context.Context, inputs chan<- input, next <-chan struct{}) error {
	for {
		text, err := s.editor.Readline()
		select {
		case inputs <- input{text, err}:
		case <-ctx.Done():
			return nil
		}
		select {
		case <-next:
		case <-ctx.Done():
			return nil
		}
	}
}

func (s *Session) loop(ctx context.Context, inputs <-chan input, next chan<- struct{}, entries <-chan chat.Entry) error {
	for {
		s.editor.SetPrompt(s.prompt())
		select {
		case <-ctx.Done():
			return nil
		case e := <-entries:
			s.try(ctx, func(ctx context.Context) error { return s.happened(ctx, batch(e, entries)) })
		case <-s.typed:
			s.try(ctx, s.seen)
		case s.focused = <-s.focus:
			s.try(ctx, s.seen)
		case in := <-inputs:
			s.try(ctx, func(ctx context.Context) error { return s.entered(ctx, in) })
			if s.quit {
				return errQuit
			}
			s.editor.SetPrompt(s.prompt())
			select {
			case next <- struct{}{}:
			case <-ctx.Done():
			}
		}
	}
}

// try does one thing that may fail, and shows why it did. The chat goes on.
func (s *Session) try(ctx context.Context, do func(context.Context) error) {
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	err := do(ctx)
	if err == nil {
		return
	}
	s.say("!! %s", show.Line(err.Error()))
	var e *chat.Error
	if errors.As(err, &e) && e.Try != "" {
		s.say("   try: %s", show.Line(inChat(e.Try)))
	}
}

func (s *Session) say(format string, args ...any) { s.editor.Print(fmt.Sprintf(format, args...)) }

// note prints a line of ours, marked as such.
func (s *Session) note(format string, args ...any) {
	s.say("%s %s", s.style.Rule(), fmt.Sprintf(format, args...))
}

func (s *Session) banner() {
	n := s.status.Network
	s.say("parley %s · %s %s · %s", s.o.Version, show.Line(n.Name), n.Fingerprint, show.Count(s.status.Peers, "peer"))
	if !n.Joined {
		s.note("not joined yet, still trying: messages wait until then")
	}
	if s.o.Own {
		s.note("this chat runs the node, and the node ends with it. Keep one running with: %s", s.o.Up)
	}
	if s.status.Requests > 0 {
		s.note("%s: /requests shows who asks", waits(s.status.Requests))
	}
	if len(s.contacts) == 0 {
		s.note("no contacts yet: /invite makes a link for somebody to join, /add LINK adds somebody")
	} else if s.current == nil {
		s.note("/open NAME opens a chat, /chats lists them, /help says more")
	}
}

func (s *Session) goodbye() {
	ctx, cancel := context.WithTimeout(context.Background(), goodbyeTime)
	defer cancel()
	st, err := s.node.Status(ctx)
	if err != nil {
		return
	}
	text := show.Count(st.Queued, "message") + " waiting."
	if s.o.Own {
		text += " (This chat ran the node: it stops now. Keep one running with: " + s.o.Up + ")"
	}
	s.note("%s", text)
}

// prompt says where text goes, how far the last message has come, and what waits elsewhere.
func (s *Session) prompt() string {
	if s.long != "" {
		return fmt.Sprintf("Send %s as one message? [y/N] ", show.Count(strings.Count(s.long, "\n")+1, "line"))
	}
	p := show.Line(s.status.Network.Name)
	if s.current != nil {
		p = show.Name(s.current.Name) + s.style.Mark(*s.current)
		if s.last != nil {
			p += " " + s.style.State(s.last.State)
		}
	}
	elsewhere := 0
	for _, n := range s.unread {
		elsewhere += n
	}
	if elsewhere > 0 {
		p += fmt.Sprintf(" (%d unread)", elsewhere)
	}
	return p + " " + s.style.Pick("›", ">") + " "
}

// entered handles what the editor returned.
func (s *Session) entered(ctx context.Context, in input) error {
	switch {
	case errors.Is(in.err, line.ErrInterrupt):
		s.long = ""
		if s.twice {
			s.quit = true
		} else {
			s.note("once more, or ^D, to leave")
		}
		s.twice = true
		return nil
	case errors.Is(in.err, io.EOF):
		s.quit = true
		return nil
	case in.err != nil:
		return in.err
	}
	s.twice = false
	if s.long != "" {
		return s.answered(ctx, in.text)
	}
	return s.typedLine(ctx, in.text)
}

func (s *Session) answered(ctx context.Context, answer string) error {
	text := s.long
	s.long = ""
	if answer = strings.ToLower(strings.TrimSpace(answer)); answer != "y" && answer != "yes" {
		s.note("nothing was sent")
		return nil
	}
	return s.sendTo(ctx, *s.current, text)
}

// typedLine sends a line or runs the command in it. Nothing that looks like a command is ever sent.
func (s *Session) typedLine(ctx context.Context, text string) error {
	switch trimmed := strings.TrimSpace(text); {
	case trimmed == "":
		return nil
	case strings.HasPrefix(text, "//"):
		text = text[1:]
	case strings.HasPrefix(text, "/"):
		return s.command(ctx, text)
	case strings.HasPrefix(trimmed, "/"):
		s.say("!! Looks like a command with a leading space; use // to send it as text (nothing was sent)")
		return nil
	case strings.HasPrefix(text, "@"):
		return s.sendOnce(ctx, text)
	}
	if s.current == nil {
		s.say("!! No chat is open, nothing was sent. /open NAME, or @NAME text. Chats: %s", s.nameList())
		return nil
	}
	if strings.Count(text, "\n") >= pasteLines || len(text) > pasteBytes {
		s.long = text
		return nil
	}
	return s.sendTo(ctx, *s.current, text)
}

func (s *Session) nameList() string {
	var names []string
	for _, c := range s.contacts {
		names = append(names, show.Line(c.Name))
	}
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(names, ", ")
}

// sendOnce sends "@name text" and leaves the open chat as it is.
func (s *Session) sendOnce(ctx context.Context, text string) error {
	to, text, err := s.addressed(text)
	if err != nil {
		s.say("!! %s (nothing was sent)", show.Line(err.Error()))
		return nil
	}
	if strings.TrimSpace(text) == "" {
		s.say("!! What should %s read? @%s text (nothing was sent)", show.Line(to.Name), show.Line(to.Name))
		return nil
	}
	return s.sendTo(ctx, to, text)
}

// addressed splits "@name text". Names may hold blanks: the longest that fits counts.
func (s *Session) addressed(text string) (to chat.Contact, rest string, err error) {
	text = strings.TrimPrefix(text, "@")
	for _, c := range s.contacts {
		n := len(c.Name)
		if len(text) < n || !strings.EqualFold(text[:n], c.Name) || n <= len(to.Name) {
			continue
		}
		if tail := text[n:]; tail == "" || tail[0] == ' ' || tail[0] == '\n' {
			to, rest = c, strings.TrimLeft(tail, " ")
		}
	}
	if to.Name != "" {
		return to, rest, nil
	}
	name, rest, _ := strings.Cut(text, " ")
	to, err = argv.Resolve(s.contacts, name)
	return to, rest, err
}

// sendTo queues a message. It is on the screen already, as the line that was typed.
func (s *Session) sendTo(ctx context.Context, to chat.Contact, text string) error {
	if err := argv.CheckText(text); err != nil {
		return err
	}
	m, err := s.node.Send(ctx, chat.Draft{Conversation: to.Conversation, Text: text})
	if err != nil {
		return err
	}
	s.mine[m.ID] = true
	if s.isOpen(m.Conversation) {
		s.last = &m
	}
	return nil
}

func (s *Session) isOpen(c chat.ConversationID) bool {
	return s.current != nil && s.current.Conversation == c
}

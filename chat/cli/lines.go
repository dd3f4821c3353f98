package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"parley/chat"
	"parley/chat/cli/argv"
	"parley/chat/cli/show"
)

// send --lines: lines of standard input → batches of what has come so far → queued, all of a batch or none → one line of JSON for each. While
// a batch is queued a few lines are read ahead, and no more: whoever writes faster than we queue is held up by the pipe.

func (a *App) sendLines(c *cli.Context, wait chat.State) (err error) {
	switch {
	case c.NArg() != 1:
		return argv.Usage("--lines wants a contact alone: the texts come from standard input", "parley send --help")
	case c.IsSet("id"):
		return argv.Usage("--lines and --id exclude each other: an id belongs to one message", "parley send --help")
	}
	node, err := a.attach(c)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, node.Close()) }()
	to, err := resolve(c, node, c.Args().First())
	if err != nil {
		return err
	}
	sent, err := a.queueLines(c.Context, node, to)
	if err != nil {
		return fmt.Errorf("%s queued, then: %w", show.Count(len(sent), "message"), err)
	}
	return followAll(c, node, to, sent, wait)
}

// queueLines sends every line, in order, and prints each once it is queued. It returns the ids of what was queued, also with an error.
func (a *App) queueLines(ctx context.Context, node *attached, to chat.Contact) (sent []chat.MessageID, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	lines, out := readLines(ctx, a.Stdin), bufio.NewWriter(a.Stdout)
	for {
		drafts, more := lines.batch(ctx, to.Conversation)
		messages, err := node.SendAll(ctx, drafts)
		if err != nil {
			return sent, err
		}
		for _, m := range messages {
			sent = append(sent, m.ID)
			if err := show.JSON(out, show.SentMessage(m)); err != nil {
				return sent, err
			}
		}
		if err := out.Flush(); err != nil {
			return sent, fmt.Errorf("write to standard output: %w", err)
		}
		if ctx.Err() != nil {
			return sent, ctx.Err()
		}
		if !more {
			return sent, lines.err
		}
	}
}

// lines is standard input, read beside the sending of what was read.
type lines struct {
	texts chan string // closed at the end
	err   error       // why it ended early; read only after that
	held  string      // a line that did not fit into the batch before; empty for none
}

// readLines begins to read. A read of a pipe that says nothing cannot be ended: it ends with the process.
func readLines(ctx context.Context, in io.Reader) *lines {
	l := &lines{texts: make(chan string, chat.SendBatch)}
	go func() {
		defer close(l.texts)
		l.err = l.read(ctx, in)
	}()
	return l
}

// read passes lines on until the end, ctx ends, or a line comes that is no message. Blank ones say nothing and are passed over.
func (l *lines) read(ctx context.Context, in io.Reader) error {
	scan := bufio.NewScanner(in)
	scan.Buffer(nil, chat.MaxText+len("\r\n")+1)
	for n := 1; scan.Scan(); n++ {
		text := scan.Text()
		if strings.TrimSpace(text) == "" {
			continue
		}
		if err := chat.CheckDrafts([]chat.Draft{{Text: text}}); err != nil {
			return fmt.Errorf("line %d: %w", n, err)
		}
		select {
		case l.texts <- text:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if errors.Is(scan.Err(), bufio.ErrTooLong) {
		return &chat.Error{Code: chat.CodeLimit, Detail: fmt.Sprintf("the next line is longer than %d bytes: nothing of it was sent", chat.MaxText)}
	}
	return scan.Err()
}

// batch waits for a line, and returns it with those behind it that have come already and fit. There are more unless the input has ended.
func (l *lines) batch(ctx context.Context, to chat.ConversationID) (drafts []chat.Draft, more bool) {
	size := 0
	add := func(text string) {
		drafts, size = append(drafts, chat.Draft{Conversation: to, Text: text}), size+len(text)
	}
	if l.held != "" {
		add(l.held)
		l.held = ""
	} else {
		select {
		case text, ok := <-l.texts:
			if !ok {
				return nil, false
			}
			add(text)
		case <-ctx.Done():
			return nil, false
		}
	}
	for len(drafts) < chat.SendBatch {
		select {
		case text, ok := <-l.texts:
			if !ok {
				return drafts, false
			}
			if size+len(text) > chat.MaxText {
				l.held = text
				return drafts, true
			}
			add(text)
		default:
			return drafts, true
		}
	}
	return drafts, true
}

// followAll waits until all messages have reached a state, for as long as is asked in all. Where no state is, a node of our own still gets a
// moment to hand them over.
func followAll(c *cli.Context, node *attached, to chat.Contact, sent []chat.MessageID, wait chat.State) error {
	if len(sent) == 0 || wait == "" && !node.own() {
		return nil
	}
	if wait == "" {
		ctx, cancel := context.WithTimeout(c.Context, sendGrace)
		defer cancel()
		_, _ = node.Wait(ctx, sent[len(sent)-1], chat.StateSent) // they are queued durably, which is all that was asked for
		return nil
	}
	ctx, cancel := context.WithTimeout(c.Context, c.Duration("timeout"))
	defer cancel()
	next := sent[len(sent)-1] // the others are there before it, nearly always
	for {
		_, _ = node.Wait(ctx, next, wait) // how far it has come is seen below, and so is that the node went away
		states, err := statesOf(c.Context, node, to, sent)
		if err != nil {
			return err
		}
		short := slices.IndexFunc(sent, func(id chat.MessageID) bool { return !states[id].Reached(wait) && states[id] != chat.StateFailed })
		if short < 0 || ctx.Err() != nil {
			return shortfall(c, wait, states)
		}
		next = sent[short]
	}
}

// statesOf looks at many messages of a conversation, page by page from the newest on. It is done also when time is up.
func statesOf(ctx context.Context, node *attached, to chat.Contact, ids []chat.MessageID) (map[chat.MessageID]chat.State, error) {
	ctx = context.WithoutCancel(ctx)
	states := make(map[chat.MessageID]chat.State, len(ids))
	for _, id := range ids {
		states[id] = chat.StateQueued
	}
	var before chat.MessageID
	for left := len(states); left > 0; {
		page, err := node.History(ctx, to.Conversation, before, chat.MaxPage)
		if err != nil || len(page) == 0 {
			return states, err
		}
		for _, m := range page {
			if _, ours := states[m.ID]; ours {
				states[m.ID] = m.State
				left--
			}
		}
		before = page[0].ID
	}
	return states, nil
}

// shortfall says how many messages have not come as far as was asked for, and where those are; nil where all have.
func shortfall(c *cli.Context, wait chat.State, states map[chat.MessageID]chat.State) error {
	others := map[chat.State]int{}
	reached := 0
	for _, state := range states {
		if state.Reached(wait) {
			reached++
		} else {
			others[state]++
		}
	}
	if len(others) == 0 {
		return nil
	}
	var where []string
	for _, state := range []chat.State{chat.StateQueued, chat.StateSent, chat.StateDelivered, chat.StateFailed} {
		if n := others[state]; n > 0 {
			where = append(where, fmt.Sprintf("%d %s", n, state))
		}
	}
	return &chat.Error{
		Code:   chat.CodeNotReached,
		Detail: fmt.Sprintf("%d of %d %s %s: %s", reached, len(states), wait, within(c), strings.Join(where, ", ")),
		Try:    try(c, "up"),
	}
}

// within says how long was waited.
func within(c *cli.Context) string {
	if c.Err() != nil {
		return "when interrupted"
	}
	return fmt.Sprintf("within %v", c.Duration("timeout").Round(time.Millisecond))
}

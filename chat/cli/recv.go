package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"

	"github.com/urfave/cli/v2"
	"golang.org/x/sync/errgroup"

	"parley/chat"
	"parley/chat/cli/argv"
	"parley/chat/cli/show"
)

func (a *App) recvCommand() *cli.Command {
	return &cli.Command{
		Name: "recv", Category: "CHAT", Usage: "print messages that came in, and mark them as read", ArgsUsage: "[TARGET…]",
		Description: "Prints what was not shown yet, of all contacts or of those named, and ends.\n" +
			"Exits with 7 when --max was not reached within --timeout.",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "follow", Aliases: []string{"f"}, Usage: "go on with what comes in, until interrupted"},
			&cli.Uint64Flag{Name: "since", Usage: "print every message after event `SEQ`, shown or not"},
			&cli.IntFlag{Name: "max", Usage: "end after `N` messages"},
			&cli.DurationFlag{Name: "timeout", Usage: "end after that long"},
			jsonFlag(), passphraseFlag(),
		},
		Action: a.recv,
	}
}

// errEnough ends a look at messages: there is nothing more to print.
var errEnough = errors.New("enough")

// receiver prints messages and marks them as read, in this order: a message whose line was not written stays unread.
type receiver struct {
	node  *attached
	lines *show.Messages
	out   *bufio.Writer
	json  bool
	only  map[chat.ConversationID]bool // empty: all
	left  int                          // to print until the end; negative: no end
	again map[chat.MessageID]bool      // printed already, and will come again as an event
}

func (a *App) recv(c *cli.Context) (err error) {
	if c.IsSet("max") && c.Int("max") < 1 || c.IsSet("timeout") && c.Duration("timeout") <= 0 {
		return argv.Usage("--max and --timeout must be positive", "parley recv --help")
	}
	node, err := a.attach(c)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, node.Close()) }()
	r, err := a.receiver(c, node)
	if err != nil {
		return err
	}
	ctx, cancel := recvContext(c, node)
	defer cancel()
	return r.verdict(ctx, c, r.run(ctx, c))
}

// verdict says whether recv did what it was asked to, from how its run ended.
func (r *receiver) verdict(ctx context.Context, c *cli.Context, err error) error {
	switch {
	case errors.Is(err, errEnough):
		return nil
	case err != nil && ctx.Err() == nil:
		return err
	case r.left > 0 && c.Err() == nil:
		return &chat.Error{
			Code:   chat.CodeNotReached,
			Detail: fmt.Sprintf("%d of %d messages came within %v", c.Int("max")-r.left, c.Int("max"), c.Duration("timeout")),
		}
	case c.Err() != nil && !c.Bool("follow"):
		return context.Cause(c.Context)
	}
	return nil
}

func (a *App) receiver(c *cli.Context, node *attached) (*receiver, error) {
	contacts, err := node.Contacts(c.Context)
	if err != nil {
		return nil, err
	}
	r := &receiver{
		node: node, lines: show.NewMessages(contacts, a.style(false)), out: bufio.NewWriter(a.Stdout), json: c.Bool("json"),
		only: make(map[chat.ConversationID]bool), left: -1, again: make(map[chat.MessageID]bool),
	}
	if c.IsSet("max") {
		r.left = c.Int("max")
	}
	for _, target := range c.Args().Slice() {
		contact, err := argv.Resolve(contacts, target)
		if err != nil {
			return nil, err
		}
		r.only[contact.Conversation] = true
	}
	return r, nil
}

// recvContext ends when the asked time is over. A node of our own stays for a moment, so that others can hand over.
func recvContext(c *cli.Context, node *attached) (context.Context, context.CancelFunc) {
	switch {
	case c.IsSet("timeout"):
		return context.WithTimeout(c.Context, c.Duration("timeout"))
	case node.own() && !stays(c):
		return context.WithTimeout(c.Context, recvGrace)
	}
	return context.WithCancel(c.Context)
}

// stays reports whether recv waits for what has not come yet.
func stays(c *cli.Context) bool { return c.Bool("follow") || c.IsSet("max") || c.IsSet("timeout") }

func (r *receiver) run(ctx context.Context, c *cli.Context) error {
	st, err := r.node.Status(ctx)
	if err != nil {
		return err
	}
	after, until := st.LastEvent, uint64(0)
	if c.IsSet("since") {
		after = c.Uint64("since")
	} else if err := r.printUnread(ctx, after); err != nil {
		return err
	}
	if !stays(c) && !r.node.own() {
		if until = st.LastEvent; after >= until {
			return nil
		}
	}
	return r.follow(ctx, after, until)
}

// printUnread prints what was not shown yet, and remembers what of it the events after a sequence number will tell of.
func (r *receiver) printUnread(ctx context.Context, after uint64) error {
	conversations := []chat.ConversationID{{}} // all
	if len(r.only) > 0 {
		conversations = conversations[:0]
		for c := range r.only {
			conversations = append(conversations, c)
		}
	}
	for _, c := range conversations {
		for {
			page, err := r.node.Unread(ctx, c, chat.MaxPage)
			if err != nil {
				return err
			}
			if len(page) == 0 {
				break
			}
			for _, m := range page {
				if m.Seq > after {
					r.again[m.ID] = true
				}
			}
			if err := r.show(ctx, page); err != nil {
				return err
			}
		}
	}
	return nil
}

// follow prints what the events after a sequence number tell of, up to another one unless that is 0. Events are taken as fast as
// they come and shown in batches, so that one mark covers many messages.
func (r *receiver) follow(ctx context.Context, after, until uint64) error {
	g, ctx := errgroup.WithContext(ctx)
	entries := make(chan chat.Entry, entryBuffer)
	g.Go(func() error {
		defer close(entries)
		return r.node.Follow(ctx, after, func(e chat.Entry) error {
			select {
			case entries <- e:
			case <-ctx.Done():
				return ctx.Err()
			}
			if e.Seq >= until && until > 0 {
				return errEnough
			}
			return nil
		})
	})
	g.Go(func() error {
		for e := range entries {
			if err := r.show(ctx, r.messages(batch(e, entries))); err != nil {
				return err
			}
		}
		return nil
	})
	return g.Wait()
}

// batch returns an entry and those that wait behind it.
func batch(first chat.Entry, more <-chan chat.Entry) []chat.Entry {
	all := []chat.Entry{first}
	for len(all) < chat.MaxPage {
		select {
		case e, ok := <-more:
			if !ok {
				return all
			}
			all = append(all, e)
		default:
			return all
		}
	}
	return all
}

// messages returns those messages of the entries that are to be printed.
func (r *receiver) messages(entries []chat.Entry) []chat.Message {
	var list []chat.Message
	for _, e := range entries {
		if e.Type != chat.EventMessageReceived || e.Message == nil {
			continue
		}
		m := *e.Message
		if r.again[m.ID] {
			delete(r.again, m.ID)
			continue
		}
		if len(r.only) > 0 && !r.only[m.Conversation] {
			continue
		}
		list = append(list, m)
	}
	return list
}

// show prints messages and marks them as read once their lines are out.
func (r *receiver) show(ctx context.Context, messages []chat.Message) error {
	if r.left >= 0 && len(messages) > r.left {
		messages = messages[:r.left]
	}
	if err := r.learn(ctx, messages); err != nil {
		return err
	}
	var unread []chat.MessageID
	for _, m := range messages {
		if err := r.print(m); err != nil {
			return err
		}
		if m.State == chat.StateReceived {
			unread = append(unread, m.ID)
		}
	}
	if err := r.out.Flush(); err != nil {
		return fmt.Errorf("write to standard output: %w", err)
	}
	if err := r.mark(ctx, unread); err != nil {
		return err
	}
	if r.left >= 0 {
		r.left -= len(messages)
	}
	if r.left == 0 {
		return errEnough
	}
	return nil
}

// mark marks messages as read. They are printed, so it is finished also when time is up.
func (r *receiver) mark(ctx context.Context, ids []chat.MessageID) error {
	if len(ids) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), markTime)
	defer cancel()
	return r.node.MarkRead(ctx, ids)
}

// learn looks the names up again when somebody unknown writes.
func (r *receiver) learn(ctx context.Context, messages []chat.Message) error {
	for _, m := range messages {
		if r.lines.Knows(m.Author) {
			continue
		}
		contacts, err := r.node.Contacts(context.WithoutCancel(ctx))
		if err != nil {
			return err
		}
		r.lines.Know(contacts)
		return nil
	}
	return nil
}

func (r *receiver) print(m chat.Message) error {
	if r.json {
		return show.JSON(r.out, r.lines.Received(m))
	}
	_, err := r.out.WriteString(r.lines.Lines(m))
	return err
}

package talk

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"parley/chat"
	"parley/chat/cli/argv"
	"parley/chat/cli/line"
	"parley/chat/cli/show"
)

// slash is one command of the chat.
type slash struct {
	names []string // the first is shown; case does not matter
	args  string
	help  string
	run   func(s *Session, ctx context.Context, args string) error
}

func slashes() []slash {
	return []slash{
		{[]string{"open", "o", "query"}, "NAME", "open the chat with somebody", (*Session).doOpen},
		{[]string{"chats"}, "", "list the chats", (*Session).doChats},
		{[]string{"next", "n"}, "", "open the next chat with unread messages", (*Session).doNext},
		{[]string{"unread"}, "", "show what is unread, and where", (*Session).doUnread},
		{[]string{"read"}, "", "mark everything as read", (*Session).doRead},
		{[]string{"history"}, "[N]", "show the last N messages of this chat", (*Session).doHistory},
		{[]string{"info"}, "[%n]", "say where a message is: % is the last one, %2 the one before", (*Session).doInfo},
		{[]string{"r"}, "TEXT", "answer whoever wrote last", (*Session).doReply},
		{[]string{"msg"}, "NAME TEXT", "send one message, as @NAME TEXT does", (*Session).doMsg},
		{[]string{"contacts"}, "", "list your contacts", (*Session).doContacts},
		{[]string{"add"}, "LINK [as NAME]", "add a contact by their link", (*Session).doAdd},
		{[]string{"link"}, "", "print the link with which others ask to be your contacts", (*Session).doLink},
		{[]string{"requests"}, "", "show who wants to be your contact", (*Session).doRequests},
		{[]string{"accept"}, "NAME|ID [as NAME]", "make a contact of who asks", (*Session).doAccept},
		{[]string{"reject"}, "NAME|ID", "turn who asks away, without a word", (*Session).doReject},
		{[]string{"block"}, "NAME", "silence a contact; they are not told", (*Session).doBlock},
		{[]string{"unblock"}, "NAME|ID", "let somebody write again", (*Session).doUnblock},
		{[]string{"verify"}, "NAME [ok|mismatch]", "compare a contact's safety number", (*Session).doVerify},
		{[]string{"introduce"}, "NAME to NAME", "tell a contact of another, whom you verified", (*Session).doIntroduce},
		{[]string{"invite"}, "", "make a link that lets somebody join the network", (*Session).doInvite},
		{[]string{"whoami"}, "", "say who you are", (*Session).doWhoami},
		{[]string{"status"}, "", "say how the node is doing", (*Session).doStatus},
		{[]string{"peers"}, "", "list connected nodes", (*Session).doPeers},
		{[]string{"net"}, "", "say which network this is", (*Session).doNet},
		{[]string{"clear"}, "", "clear the screen", (*Session).doClear},
		{[]string{"help"}, "[COMMAND]", "say what there is", (*Session).doHelp},
		{[]string{"quit", "q", "exit"}, "", "leave the chat", (*Session).doQuit},
	}
}

// command runs a line that begins with a slash. What is no command is never sent.
func (s *Session) command(ctx context.Context, text string) error {
	name, args, _ := strings.Cut(strings.TrimPrefix(text, "/"), " ")
	args = strings.TrimSpace(args)
	c, ok := findSlash(name)
	switch {
	case !ok:
		s.say("!! Unknown command /%s%s (nothing was sent; /help lists commands, // sends a slash)", show.Line(name), argv.Suggest("/"+name, slashNames()))
		return nil
	case c.args == "" && args != "", strings.HasPrefix(strings.Trim(c.args, "["), "NAME") && args == "":
		s.say("!! %s", c.usage())
		return nil
	}
	return c.run(s, ctx, args)
}

func findSlash(name string) (slash, bool) {
	for _, c := range slashes() {
		if slices.Contains(c.names, strings.ToLower(name)) {
			return c, true
		}
	}
	return slash{}, false
}

func slashNames() []string {
	var names []string
	for _, c := range slashes() {
		names = append(names, "/"+c.names[0])
	}
	return names
}

func (c slash) usage() string { return strings.TrimSpace("/" + c.names[0] + " " + c.args) }

func (s *Session) doHelp(_ context.Context, args string) error {
	if args != "" {
		c, ok := findSlash(strings.TrimPrefix(args, "/"))
		if !ok {
			s.say("!! No command /%s%s", show.Line(args), argv.Suggest("/"+args, slashNames()))
			return nil
		}
		s.say("%s  %s", c.usage(), c.help)
		for _, alias := range c.names[1:] {
			s.say("  /%s does the same", alias)
		}
		return nil
	}
	s.say("TEXT goes to the open chat, @NAME TEXT to somebody else, //TEXT sends a slash. Tab completes.")
	for _, c := range slashes() {
		s.say("  %-22s %s", c.usage(), c.help)
	}
	return nil
}

func (s *Session) doOpen(ctx context.Context, args string) error {
	c, err := argv.Resolve(s.contacts, args)
	if err != nil {
		s.say("!! %s", show.Line(err.Error()))
		return nil
	}
	return s.openChat(ctx, c)
}

// openChat makes a chat the one that text goes to, and shows its end. Whoever opens it looks at it.
func (s *Session) openChat(ctx context.Context, c chat.Contact) error {
	s.current, s.last, s.shown = &c, nil, nil
	unread, err := s.node.Unread(ctx, c.Conversation, chat.MaxPage)
	if err != nil {
		return err
	}
	if err := s.showHistory(ctx, max(openLines, len(unread)), unread); err != nil {
		return err
	}
	delete(s.unread, c.Conversation)
	return s.node.MarkRead(ctx, ids(unread))
}

func ids(messages []chat.Message) []chat.MessageID {
	list := make([]chat.MessageID, 0, len(messages))
	for _, m := range messages {
		list = append(list, m.ID)
	}
	return list
}

// showHistory shows the last messages of the open chat, with a line where the unread ones begin.
func (s *Session) showHistory(ctx context.Context, n int, unread []chat.Message) error {
	messages, err := Last(ctx, s.node, s.current.Conversation, n)
	if err != nil {
		return err
	}
	s.lines.NewDay()
	var b strings.Builder
	for _, m := range messages {
		if len(unread) > 0 && m.ID == unread[0].ID {
			fmt.Fprintf(&b, "%s %d unread %s\n", s.style.Rule(), len(unread), s.style.Rule())
		}
		if m.Mine {
			s.last = &m
		}
		b.WriteString(s.lines.Lines(m))
	}
	if b.Len() > 0 {
		s.editor.Print(b.String())
	}
	return nil
}

func (s *Session) doHistory(ctx context.Context, args string) error {
	n := historyLines
	if args != "" {
		if _, err := fmt.Sscanf(args, "%d", &n); err != nil || n < 1 {
			s.say("!! /history [N]: %q is no number of messages", show.Line(args))
			return nil
		}
	}
	if s.current == nil {
		s.say("!! No chat is open. /open NAME")
		return nil
	}
	return s.showHistory(ctx, n, nil)
}

func (s *Session) doChats(ctx context.Context, _ string) error {
	chats, err := s.node.Conversations(ctx)
	if err != nil {
		return err
	}
	if len(chats) == 0 {
		s.note("no chats yet")
	}
	for _, c := range chats {
		line := "  " + show.Line(c.Name)
		if c.Unread > 0 {
			line += fmt.Sprintf(" (%d unread)", c.Unread)
		}
		s.say("%s", line)
	}
	return nil
}

func (s *Session) doUnread(ctx context.Context, _ string) error {
	chats, err := s.node.Conversations(ctx)
	if err != nil {
		return err
	}
	none := true
	for _, c := range chats {
		if c.Unread > 0 {
			none = false
			s.say("  %s %d", show.Line(c.Name), c.Unread)
		}
	}
	if none {
		s.note("nothing is unread")
	}
	return nil
}

func (s *Session) doNext(ctx context.Context, _ string) error {
	chats, err := s.node.Conversations(ctx)
	if err != nil {
		return err
	}
	for _, c := range chats {
		i := slices.IndexFunc(s.contacts, func(k chat.Contact) bool { return k.Account == c.Peer })
		if c.Unread > 0 && i >= 0 {
			return s.openChat(ctx, s.contacts[i])
		}
	}
	s.note("nothing is unread")
	return nil
}

func (s *Session) doRead(ctx context.Context, _ string) error {
	total := 0
	for {
		page, err := s.node.Unread(ctx, chat.ConversationID{}, chat.MaxPage)
		if err != nil {
			return err
		}
		if len(page) == 0 {
			break
		}
		if err := s.node.MarkRead(ctx, ids(page)); err != nil {
			return err
		}
		total += len(page)
	}
	clear(s.unread)
	s.shown = nil
	s.note("%s marked as read", show.Count(total, "message"))
	return nil
}

func (s *Session) doReply(ctx context.Context, args string) error {
	switch {
	case s.sender == nil:
		s.say("!! Nobody has written since this chat began (nothing was sent)")
		return nil
	case args == "":
		s.say("!! /r TEXT answers %s", show.Line(s.sender.Name))
		return nil
	}
	s.say("%s %s:", s.style.Pick("→", "->"), show.Line(s.sender.Name))
	return s.sendTo(ctx, *s.sender, args)
}

func (s *Session) doMsg(ctx context.Context, args string) error { return s.sendOnce(ctx, args) }

func (s *Session) doAdd(ctx context.Context, args string) error {
	link, as, _ := strings.Cut(args, " as ")
	if strings.TrimSpace(link) == "" {
		s.say("!! /add LINK [as NAME]")
		return nil
	}
	c, err := s.node.AddContact(ctx, link, strings.TrimSpace(as))
	if err != nil {
		return err
	}
	if s.lines.Knows(c.Account) {
		s.note("%s is a contact already", show.Line(c.Name))
		return nil
	}
	return s.refresh(ctx)
}

func (s *Session) doLink(ctx context.Context, _ string) error {
	l, err := s.node.ContactLink(ctx)
	if err != nil {
		return err
	}
	s.say("%s", l.Link)
	return nil
}

func (s *Session) doInvite(ctx context.Context, _ string) error {
	l, err := s.node.Invite(ctx, chat.InviteOptions{})
	if err != nil {
		return err
	}
	s.note("an invite to %s %s, makes you contacts, %s. Give it to one person.", show.Line(l.Network), s.status.Network.Fingerprint, show.Expiry(l.Expires))
	s.say("%s", l.Link)
	if !l.Reachable {
		s.note("none of this node's addresses is public: it works on this machine or local network only")
	}
	return nil
}

func (s *Session) doStatus(ctx context.Context, _ string) error {
	st, err := s.node.Status(ctx)
	if err != nil {
		return err
	}
	var b strings.Builder
	err = show.WriteStatus(&b, st)
	s.say("%s", b.String())
	return err
}

func (s *Session) doPeers(ctx context.Context, _ string) error {
	peers, err := s.node.Peers(ctx)
	if err != nil {
		return err
	}
	members, err := s.node.Members(ctx)
	if err != nil {
		return err
	}
	var b strings.Builder
	err = show.WritePeers(&b, peers, members)
	s.say("%s", b.String())
	return err
}

func (s *Session) doNet(ctx context.Context, _ string) error {
	st, err := s.node.Status(ctx)
	if err != nil {
		return err
	}
	n := st.Network
	s.say("%s %s, private: %s, joined: %s, %s", show.Line(n.Name), n.Fingerprint, show.Yes(n.Private), show.Yes(n.Joined), show.Count(n.Seeds, "seed"))
	return nil
}

func (s *Session) doClear(context.Context, string) error {
	s.editor.Print(line.Wipe)
	return nil
}

func (s *Session) doQuit(context.Context, string) error {
	s.quit = true
	return nil
}

// tellWords tells the editor what Tab completes.
func (s *Session) tellWords() {
	words := slashNames()
	for _, c := range s.contacts {
		words = append(words, show.Line(c.Name), "@"+show.Line(c.Name))
	}
	s.words.Store(&words)
}

// complete is called by the editor's goroutine. Commands and @names begin a line, names follow a command.
func (s *Session) complete(line string) []string {
	if !strings.HasPrefix(line, "/") && !strings.HasPrefix(line, "@") {
		return nil
	}
	var fit []string
	for _, word := range *s.words.Load() {
		if first := !strings.Contains(line, " "); first == strings.ContainsAny(word[:1], "/@") {
			fit = append(fit, word)
		}
	}
	return fit
}

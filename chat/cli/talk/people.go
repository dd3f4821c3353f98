package talk

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"parley/chat"
	"parley/chat/cli/argv"
	"parley/chat/cli/show"
)

func (s *Session) doWhoami(context.Context, string) error {
	n := s.status.Network
	var b strings.Builder
	err := show.WriteIdentity(&b, show.Identity{
		Name: s.status.Name, Account: s.status.Account.String(), Short: s.status.Account.Short(), Device: s.status.Device.String(),
		Network: show.NetworkInName{Name: n.Name, Fingerprint: n.Fingerprint},
	})
	s.say("%s", b.String())
	return err
}

func (s *Session) doContacts(_ context.Context, _ string) error {
	if len(s.contacts) == 0 {
		s.note("no contacts yet: /add LINK adds somebody")
	}
	for _, c := range s.contacts {
		line := fmt.Sprintf("  %-16s %s", show.Line(c.Name), c.Account.Short())
		if !c.Known {
			line += "  (devices not found yet)"
		}
		if mark := strings.TrimSpace(s.style.Mark(c)); mark != "" {
			line += "  " + mark
		}
		if by := show.IntroducedBy(c.Introducer); by != "" {
			line += "  " + by
		}
		s.say("%s", line)
	}
	return nil
}

// asks returns the lines about a request, and what answers it.
func (s *Session) asks(r chat.Request) string {
	id := r.Account.Short()
	return fmt.Sprintf("%s asks to be your contact: /accept %s or /reject %s\n%s", s.style.Rule(), id, id, s.style.Request(r))
}

func (s *Session) doRequests(ctx context.Context, _ string) error {
	requests, err := s.pending(ctx)
	if err != nil {
		return err
	}
	if len(requests) == 0 {
		s.note("nobody waits for an answer")
	}
	for _, r := range requests {
		s.editor.Print(s.asks(r))
	}
	return nil
}

// pending lists who waits for an answer.
func (s *Session) pending(ctx context.Context) ([]chat.Request, error) {
	requests, err := s.node.Requests(ctx)
	return slices.DeleteFunc(requests, func(r chat.Request) bool { return r.State != chat.RequestPending }), err
}

// asking finds who waits for an answer; nil where it is nobody, which was said.
func (s *Session) asking(ctx context.Context, state chat.RequestState, target string) (*chat.Request, error) {
	requests, err := s.node.Requests(ctx)
	if err != nil {
		return nil, err
	}
	r, err := argv.ResolveRequest(requests, state, target)
	if err != nil {
		return nil, err
	}
	return &r, nil
}

func (s *Session) doAccept(ctx context.Context, args string) error {
	target, as, _ := strings.Cut(args, " as ")
	r, err := s.asking(ctx, chat.RequestPending, strings.TrimSpace(target))
	if err != nil {
		return err
	}
	if _, err := s.node.AcceptRequest(ctx, r.Account, strings.TrimSpace(as)); err != nil {
		return err
	}
	return s.refresh(ctx)
}

func (s *Session) doReject(ctx context.Context, args string) error {
	r, err := s.asking(ctx, chat.RequestPending, args)
	if err != nil {
		return err
	}
	if err := s.node.RejectRequest(ctx, r.Account); err != nil {
		return err
	}
	s.note("%s is turned away", r.Account.Short())
	return nil
}

func (s *Session) doBlock(ctx context.Context, args string) error {
	c, err := argv.Resolve(s.contacts, args)
	if err != nil {
		return err
	}
	if _, err := s.node.Block(ctx, c.Account); err != nil {
		return err
	}
	s.note("%s is blocked: nothing of theirs comes in, and nothing goes to them. /unblock %s", show.Line(c.Name), show.Line(c.Name))
	return s.refresh(ctx)
}

func (s *Session) doUnblock(ctx context.Context, args string) error {
	c, err := argv.Resolve(s.contacts, args)
	account := c.Account
	if err != nil {
		r, e := s.asking(ctx, chat.RequestRejected, args)
		if e != nil {
			return err
		}
		account = r.Account
	}
	if err := s.node.Unblock(ctx, account); err != nil {
		return err
	}
	s.note("%s may write to you", account.Short())
	return s.refresh(ctx)
}

func (s *Session) doVerify(ctx context.Context, args string) error {
	name, trust := args, chat.TrustNone
	for word, t := range map[string]chat.Trust{" ok": chat.TrustVerified, " mismatch": chat.TrustMismatch} {
		if before, found := strings.CutSuffix(args, word); found {
			name, trust = strings.TrimSpace(before), t
		}
	}
	c, err := argv.Resolve(s.contacts, name)
	if err != nil {
		return err
	}
	if trust == chat.TrustNone {
		return s.showSafety(c)
	}
	if _, err := s.node.SetTrust(ctx, c.Account, trust); err != nil {
		return err
	}
	if trust == chat.TrustVerified {
		s.note("%s is verified on this device. If their key ever changes you are warned, and sending stops.", show.Line(c.Name))
	} else {
		s.say("!! %s is not who they seem: nothing is sent to them until the numbers match", show.Line(c.Name))
	}
	return s.refresh(ctx)
}

func (s *Session) showSafety(c chat.Contact) error {
	name, number := show.Line(c.Name), chat.SafetyNumber(s.status.Account, c.Account)
	groups := number.Groups()
	s.note("safety number for you and %s (compare it by voice or in person):", name)
	for i := 0; i < len(groups); i += 4 {
		s.say("   %s", strings.Join(groups[i:i+4], " "))
	}
	if !s.style.ASCII {
		code, err := show.QR(number.Code(), s.style)
		if err != nil {
			return err
		}
		s.editor.Print(code)
	}
	s.say("   The same on both sides?  /verify %s ok      Another there?  /verify %s mismatch", name, name)
	return nil
}

func (s *Session) doIntroduce(ctx context.Context, args string) error {
	name, reader, ok := strings.Cut(args, " to ")
	if !ok {
		s.say("!! /introduce NAME to NAME")
		return nil
	}
	who, err := argv.Resolve(s.contacts, strings.TrimSpace(name))
	if err != nil {
		return err
	}
	to, err := argv.Resolve(s.contacts, strings.TrimSpace(reader))
	if err != nil {
		return err
	}
	if err := s.node.Introduce(ctx, who.Account, to.Account); err != nil {
		return err
	}
	s.note("%s is told of %s", show.Line(to.Name), show.Line(who.Name))
	return nil
}

// people returns what to show of an event about a contact or a request.
func (s *Session) people(ctx context.Context, e chat.Entry) (string, error) {
	name := e.Account.Short()
	if i := slices.IndexFunc(s.contacts, func(c chat.Contact) bool { return c.Account == e.Account }); i >= 0 {
		name = show.Line(s.contacts[i].Name)
	}
	switch e.Type {
	case chat.EventContactRequest:
		return s.announce(ctx, e.Account)
	case chat.EventKeyChanged:
		return fmt.Sprintf("!! another account has taken the name or a device of %s: compare numbers before you write: /verify %s\n", name, name), nil
	case chat.EventDeviceAdded:
		return fmt.Sprintf("%s %s has a new device\n", s.style.Rule(), name), nil
	case chat.EventDeviceRevoked:
		return fmt.Sprintf("%s %s has revoked a device\n", s.style.Rule(), name), nil
	case chat.EventInviteUsed:
		return s.letIn(ctx, e.Account)
	}
	return "", nil
}

// letIn says whom an invite that was made here has let in, by the name that is known so far.
func (s *Session) letIn(ctx context.Context, account chat.AccountID) (string, error) {
	members, err := s.node.Members(ctx)
	who := account.Short()
	if i := slices.IndexFunc(members, func(m chat.Member) bool { return m.Account == account && m.Name != "" }); i >= 0 {
		who = show.Line(members[i].Name) + " " + who
	}
	return fmt.Sprintf("%s %s has joined %s with an invite of yours\n", s.style.Rule(), who, show.Line(s.status.Network.Name)), err
}

// announce shows a request that has just come in; nothing where it was answered meanwhile.
func (s *Session) announce(ctx context.Context, account chat.AccountID) (string, error) {
	requests, err := s.pending(ctx)
	for _, r := range requests {
		if r.Account == account {
			return s.asks(r), err
		}
	}
	return "", err
}

// inChat turns a command that helps into one that can be typed here.
func inChat(try string) string {
	rest, ours := strings.CutPrefix(try, "parley contact ")
	verb, args, _ := strings.Cut(rest, " ")
	if verb == "list" {
		verb = "contacts"
	}
	if _, known := findSlash(verb); !ours || !known {
		return try
	}
	args = strings.ReplaceAll(args, " --as ", " as ")
	if strings.HasPrefix(args, "'") { // quoted for a shell
		args = strings.ReplaceAll(strings.Trim(args, "'"), `'\''`, "'")
	}
	return strings.TrimSpace("/" + verb + " " + args)
}

// waits says how many wait for an answer.
func waits(n int) string {
	if n == 1 {
		return "1 request waits"
	}
	return show.Count(n, "request") + " wait"
}

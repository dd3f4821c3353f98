package talk_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"parley/chat"
	"parley/chat/api/apitest"
	"parley/chat/cli/line"
	"parley/chat/cli/line/linetest"
	"parley/chat/cli/show"
	"parley/chat/cli/talk"
)

// patience is how long a test waits for what must happen.
const patience = 20 * time.Second

// scene is Alice's chat in a town with Bob and Carol, who are her contacts.
type scene struct {
	*linetest.Terminal
	t                 *testing.T
	town              *apitest.Town
	alice, bob, carol *apitest.Node
	stop              context.CancelFunc
	ended             chan error
}

// town makes Alice, Bob and Carol; the chat is not open yet.
func town(t *testing.T) *scene {
	t.Helper()
	t.Setenv("TERM", "xterm")
	s := &scene{t: t, town: apitest.NewTown(), ended: make(chan error, 1)}
	s.alice, s.bob, s.carol = s.town.Node("Alice"), s.town.Node("Bob"), s.town.Node("Carol")
	for _, other := range []*apitest.Node{s.bob, s.carol} {
		s.town.Befriend(s.alice, other)
	}
	return s
}

// open opens Alice's chat with somebody, or with nobody.
func (s *scene) open(target string) *scene {
	s.t.Helper()
	s.Terminal = linetest.Open(s.t)
	ctx, cancel := context.WithCancel(context.Background())
	s.stop = cancel
	session, err := talk.New(ctx, talk.Options{
		Node: s.alice, Up: "parley up", Version: "0.1.0", Target: target, In: s.File, Out: s.File,
	})
	if err != nil {
		s.t.Fatal(err)
	}
	go func() { s.ended <- session.Run(ctx, func(line.Editor) {}) }()
	s.t.Cleanup(func() { cancel(); s.end() })
	if target == "" {
		target = "town"
	}
	s.Expect(target + " › ")
	return s
}

// chatWithBob is a chat with Bob, open.
func chatWithBob(t *testing.T) *scene { return town(t).open("Bob") }

// end waits until the chat has ended and returns why.
func (s *scene) end() error {
	s.t.Helper()
	select {
	case err := <-s.ended:
		s.ended <- err
		return err
	case <-time.After(patience):
		s.t.Fatalf("the chat does not end; it shows %q", s.Shown())
		return nil
	}
}

// enter types a line.
func (s *scene) enter(text string) { s.Type(text + "\r") }

// with returns the conversation of two people.
func with(a, b *apitest.Node) chat.ConversationID {
	return chat.DirectConversation(a.Account(), b.Account())
}

// send makes somebody send Alice a text.
func (s *scene) send(from *apitest.Node, text string) chat.Message {
	s.t.Helper()
	m, err := from.Send(s.t.Context(), chat.Draft{Conversation: with(from, s.alice), Text: text})
	if err != nil {
		s.t.Fatal(err)
	}
	return m
}

// said returns what two people said to each other, as the first has it.
func (s *scene) said(a, b *apitest.Node) (texts []string) {
	s.t.Helper()
	messages, err := talk.Last(s.t.Context(), a, with(a, b), 0)
	if err != nil {
		s.t.Fatal(err)
	}
	for _, m := range messages {
		texts = append(texts, m.Text)
	}
	return texts
}

// wantSaid checks what Alice and somebody said.
func (s *scene) wantSaid(other *apitest.Node, texts ...string) {
	s.t.Helper()
	if got := s.said(s.alice, other); fmt.Sprintf("%q", got) != fmt.Sprintf("%q", texts) {
		s.t.Fatalf("they said %q, want %q", got, texts)
	}
}

// wantState waits until a message of somebody's has come so far, and no further.
func (s *scene) wantState(of *apitest.Node, m chat.Message, want chat.State) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), patience)
	defer cancel()
	now, err := of.Wait(ctx, m.ID, want)
	if err != nil || now.State != want {
		s.t.Fatalf("%q is %s, want %s (%v)", m.Text, now.State, want, err)
	}
}

func TestWhatIsTypedGoesToTheOpenChat(t *testing.T) {
	s := chatWithBob(t)
	s.enter("hi bob!")
	s.Expect("Bob ✓✓ › ")
	s.send(s.bob, "hey alice\nthis line is part of it")
	s.Expect("Bob      │ hey alice\r\n               │ this line is part of it")
	s.wantSaid(s.bob, "hi bob!", "hey alice\nthis line is part of it")
	s.enter("//etc is a folder")
	s.Expect("✓✓ › ")
	s.enter("")
	s.enter("/quit")
	s.Expect("0 messages waiting.")
	if err := s.end(); err != nil {
		t.Fatal(err)
	}
	s.wantSaid(s.bob, "hi bob!", "hey alice\nthis line is part of it", "/etc is a folder")
	s.wantSaid(s.carol)
}

// Typed text stays as it is while a thousand messages arrive, and reaches Bob whole.
func TestTypedTextSurvivesAStorm(t *testing.T) {
	s := chatWithBob(t)
	const text = "naïve 日本語 🙂 שלום "
	want := strings.TrimSpace(strings.Repeat(text, 5))
	done := make(chan struct{})
	go func() {
		defer close(done)
		for i := range 1000 {
			s.send(s.carol, fmt.Sprintf("storm %d.", i))
		}
	}()
	for _, r := range want {
		s.Type(string(r))
	}
	<-done
	s.Expect("storm 999.")
	s.enter("")
	s.Expect("✓✓ ")
	s.wantSaid(s.bob, want)
	for i := range 1000 {
		if !strings.Contains(s.Shown(), fmt.Sprintf("storm %d.", i)) {
			t.Fatalf("message %d was not shown", i)
		}
	}
}

func TestPasteIsOneMessage(t *testing.T) {
	short, long := "one\ntwo\nthree", strings.TrimSpace(strings.Repeat("a pasted line\n", 50))
	s := chatWithBob(t)
	s.Paste(strings.ReplaceAll(short, "\n", "\r"))
	s.Expect("one⏎two⏎three")
	s.enter("")
	s.Expect("✓✓ › ")
	s.Paste(long)
	s.enter("")
	s.Expect("Send 50 lines as one message? [y/N] ")
	s.enter("n")
	s.Expect("nothing was sent")
	s.Paste(long)
	s.enter("")
	s.Expect("Send 50 lines as one message? [y/N] ")
	s.Type("\x03")
	s.Expect("Bob ✓✓ › ")
	s.wantSaid(s.bob, short)
	s.Paste(long)
	s.enter("")
	s.Expect("Send 50 lines as one message? [y/N] ")
	s.enter("y")
	s.Expect("Bob ✓✓ › ")
	s.wantSaid(s.bob, short, long)
}

func TestMistypedCommandsAreNeverSent(t *testing.T) {
	s := chatWithBob(t)
	for typed, says := range map[string]string{
		"/qiut":           "!! Unknown command /qiut; did you mean /quit? (nothing was sent",
		"/mss bob foo":    "!! Unknown command /mss; did you mean /msg?",
		"/xyzzy":          "!! Unknown command /xyzzy (nothing was sent",
		" /quit":          "!! Looks like a command with a leading space; use // to send it as text (nothing was sent)",
		"/":               "!! Unknown command / (nothing was sent",
		"/quit now":       "!! /quit",
		"/open":           "!! /open NAME",
		"/msg":            "!! /msg NAME TEXT",
		"@zoe hi":         `!! no contact "zoe" (nothing was sent)`,
		"@carl hi":        `!! no contact "carl"; did you mean Carol? (nothing was sent)`,
		"@carol":          "!! What should Carol read? @Carol text (nothing was sent)",
		"/msg carol":      "!! What should Carol read?",
		"/open zoe":       `!! no contact "zoe"`,
		"/history many":   `!! /history [N]: "many" is no number`,
		"/help mee":       "!! No command /mee",
		"/r":              "!! Nobody has written since this chat began (nothing was sent)",
		"/add":            "!! /add LINK [as NAME]",
		"/add hello":      "!! there is no contact link",
		"/HELP quit":      "/quit  leave the chat",
		"/help /open":     "/open NAME  open the chat with somebody",
		"/\x1b\rquit":     "!! Unknown command /",
		"\x1b\r/open bob": "!! Looks like a command",
	} {
		s.enter(typed)
		s.Expect(says)
		s.Expect("Bob › ")
	}
	s.wantSaid(s.bob)
	s.wantSaid(s.carol)
}

func TestIncomingMessagesNeverChangeTheTarget(t *testing.T) {
	s := chatWithBob(t)
	s.send(s.carol, "psst")
	s.Expect("Carol    │ psst")
	s.Expect("Bob (1 unread) › ")
	s.enter("this is for bob")
	s.Expect("Bob ✓✓ (1 unread) › ")
	s.enter("/r and this for carol")
	s.Expect("→ Carol:")
	s.enter("@carol and this")
	s.enter("@CAROL: no such name")
	s.Expect(`no contact "CAROL:"`)
	s.enter("/msg Carol the last one")
	s.enter("/next")
	s.Expect("Carol    │ psst")
	s.Expect("Carol ✓✓ › ")
	s.wantSaid(s.bob, "this is for bob")
	s.wantSaid(s.carol, "psst", "and this for carol", "and this", "the last one")
}

func TestNobodyIsTheTargetAtFirst(t *testing.T) {
	s := town(t).open("")
	s.Expect("")
	s.enter("hello?")
	s.Expect("!! No chat is open, nothing was sent. /open NAME, or @NAME text. Chats: Bob, Carol")
	s.enter("/history")
	s.Expect("!! No chat is open")
	s.enter("/o bob")
	s.Expect("Bob › ")
	s.enter("now")
	s.Expect("✓✓ › ")
	s.wantSaid(s.bob, "now")
}

func TestNamesMayHoldBlanks(t *testing.T) {
	s := town(t)
	smith := s.town.Node("Bob Smith")
	link, err := smith.ContactLink(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	s.open("")
	s.enter("/add " + link.Link + " as bob smith")
	s.Expect("bob smith " + smith.Account().Short() + " is a contact now: /open bob smith")
	if _, err := smith.AcceptRequest(t.Context(), s.alice.Account(), ""); err != nil {
		t.Fatal(err)
	}
	s.enter("/add " + link.Link)
	s.Expect("bob smith is a contact already")
	s.enter("@Bob Smith hi, Mr Smith")
	s.enter("@Bob Smithers is ill")
	s.enter("/open Bob Smith")
	s.Expect("bob smith ✓✓ › ")
	s.wantSaid(smith, "hi, Mr Smith")
	s.wantSaid(s.bob, "Smithers is ill")
}

// A message is read when somebody was there: its chat is open, and the window has the focus or a key was pressed since.
func TestReadMeansThatSomebodyLooked(t *testing.T) {
	s := chatWithBob(t)
	first := s.send(s.bob, "are you there?")
	s.Expect("│ are you there?")
	s.wantState(s.bob, first, chat.StateDelivered)
	s.Type("y")
	s.wantState(s.bob, first, chat.StateRead)

	s.Type("\x1b[I") // the window gets the focus
	second := s.send(s.bob, "now?")
	s.wantState(s.bob, second, chat.StateRead)

	s.Type("\x1b[O") // and loses it
	s.enter("es")
	s.Expect("✓✓ › ")
	third := s.send(s.bob, "gone?")
	s.Expect("│ gone?")
	s.wantState(s.bob, third, chat.StateDelivered)
	elsewhere := s.send(s.carol, "and me?")
	s.Expect("│ and me?")
	s.Type("\x1b[I")
	s.wantState(s.bob, third, chat.StateRead)
	s.wantState(s.carol, elsewhere, chat.StateDelivered)
	s.enter("/read")
	s.Expect("1 message marked as read")
	s.wantState(s.carol, elsewhere, chat.StateRead)
}

func TestOpeningShowsWhatIsUnread(t *testing.T) {
	s := town(t)
	var last chat.Message
	for i := range 15 {
		last = s.send(s.bob, fmt.Sprintf("line %d.", i))
	}
	s.open("")
	s.enter("/unread")
	s.Expect("Bob 15")
	s.enter("/chats")
	s.Expect("Bob (15 unread)")
	s.enter("/open bob")
	s.Expect("── 15 unread ──")
	s.Expect("│ line 0.")
	s.Expect("│ line 14.")
	s.wantState(s.bob, last, chat.StateRead)
	s.enter("/unread")
	s.Expect("nothing is unread")
	s.enter("/history 2")
	s.Expect("│ line 13.")
	s.enter("/next")
	s.Expect("nothing is unread")
}

func TestPromptFollowsTheLastMessage(t *testing.T) {
	s := town(t)
	s.town.Part(s.alice, s.bob)
	s.open("Bob")
	s.enter("are you back?")
	s.Expect("Bob ◷ › ")
	s.town.Meet(s.alice, s.bob)
	s.Expect("Bob ✓✓ › ")
	unread, err := s.bob.Unread(t.Context(), chat.ConversationID{}, 10)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.bob.MarkRead(t.Context(), []chat.MessageID{unread[0].ID}); err != nil {
		t.Fatal(err)
	}
	s.Expect("Bob ✓✓ read › ")
	s.town.Part(s.alice, s.bob)
	s.enter("one more")
	s.Expect("Bob ◷ › ")
	messages, err := talk.Last(t.Context(), s.alice, with(s.alice, s.bob), 1)
	if err != nil {
		t.Fatal(err)
	}
	s.alice.Fail(messages[0].ID, "the device refused it")
	s.Expect(`!! not delivered: "one more": the device refused it`)
	s.Expect("Bob ✗ › ")
}

func TestMessagesOfOtherProgramsAreShown(t *testing.T) {
	s := chatWithBob(t)
	if _, err := s.alice.Send(t.Context(), chat.Draft{Conversation: with(s.alice, s.bob), Text: "from a script"}); err != nil {
		t.Fatal(err)
	}
	s.Expect("you      │ from a script")
	s.Expect("Bob ✓✓ › ")
	s.enter("from here")
	s.Expect("✓✓ › ")
	s.enter("/whoami")
	s.Expect("account  " + s.alice.Account().Short())
	if strings.Contains(s.Shown(), "│ from here") {
		t.Error("what was typed is shown a second time")
	}
}

func TestEverythingElseThatCanBeAsked(t *testing.T) {
	s := chatWithBob(t)
	for typed, says := range map[string]string{
		"/help": "/open NAME", "/contacts": s.carol.Account().Short(), "/status": "identity   Alice", "/peers": "/memory/Carol",
		"/net": "town T0WN1, private: yes, joined: yes", "/link": "town:" + s.alice.Account().String(), "/invite": "an invite to town T0WN1, makes", "/clear": "\x1b[H\x1b[J",
	} {
		s.enter(typed)
		s.Expect(says)
	}
	s.Type("/sta\t\r")
	s.Expect("identity   Alice")
	s.Type("@Ca\thello\r")
	s.enter("/open carol")
	s.Expect("Carol ✓✓ › ")
	s.wantSaid(s.carol, "hello")
}

func TestLeaving(t *testing.T) {
	for name, leave := range map[string]string{"^D": "\x04", "^C twice": "\x03\x03", "^C after text": "half\x03\x03", "/exit": "/exit\r", "/Q": "/Q\r"} {
		t.Run(name, func(t *testing.T) {
			s := chatWithBob(t)
			s.Type(leave)
			s.Expect("0 messages waiting.")
			if err := s.end(); err != nil {
				t.Fatal(err)
			}
			s.wantSaid(s.bob)
			if s.Raw() {
				t.Error("the terminal is left in raw mode")
			}
		})
	}
}

func TestOneInterruptClearsTheLine(t *testing.T) {
	s := chatWithBob(t)
	s.Type("not this\x03")
	s.Expect("once more, or ^D, to leave")
	s.enter("but this")
	s.Expect("✓✓ › ")
	s.Type("\x03")
	s.Expect("once more")
	s.wantSaid(s.bob, "but this")
}

func TestStoppingDropsTheUnfinishedLine(t *testing.T) {
	s := chatWithBob(t)
	s.Type("do not send this")
	s.Expect("send this")
	s.stop()
	if err := s.end(); err != nil {
		t.Fatal(err)
	}
	s.wantSaid(s.bob)
}

func TestClosedWindowDropsTheUnfinishedLine(t *testing.T) {
	s := chatWithBob(t)
	s.Type("do not send this")
	s.Expect("send this")
	s.HangUp()
	if err := s.end(); err != nil {
		t.Logf("it ended with: %v", err)
	}
	s.wantSaid(s.bob)
}

// goingAway is a node whose events end.
type goingAway struct{ *apitest.Node }

func (goingAway) Follow(context.Context, uint64, func(chat.Entry) error) error {
	return &chat.Error{Code: chat.CodeUnavailable, Detail: "the node has stopped"}
}

func TestChatEndsWithItsNode(t *testing.T) {
	s := town(t)
	terminal := linetest.Open(t)
	session, err := talk.New(t.Context(), talk.Options{Node: goingAway{s.alice}, In: terminal.File, Out: terminal.File})
	if err != nil {
		t.Fatal(err)
	}
	if err := session.Run(t.Context(), func(line.Editor) {}); chat.CodeOf(err) != chat.CodeUnavailable {
		t.Fatalf("it ended with %v", err)
	}
}

func TestUnknownTargetOpensNothing(t *testing.T) {
	s := town(t)
	if _, err := talk.New(t.Context(), talk.Options{Node: s.alice, Target: "zoe"}); chat.CodeOf(err) != chat.CodeTarget {
		t.Fatalf("got %v", err)
	}
}

func TestTooLongTextIsRefused(t *testing.T) {
	s := chatWithBob(t)
	s.Paste(strings.Repeat("x", chat.MaxText+10))
	s.enter("")
	s.Expect("Send 1 line as one message?")
	s.enter("y")
	s.Expect("!! the text is longer than 65536 bytes; nothing was sent")
	s.wantSaid(s.bob)
}

func TestHostileNamesAndTextsStayInTheirLine(t *testing.T) {
	s := town(t)
	evil := s.town.Node("Eve\x1b[2J\r✔")
	s.open("Bob")
	s.town.Befriend(s.alice, evil)
	s.Expect("is a contact now")
	s.send(evil, "\x1b[2J\x1b]0;owned\x07\u009b31mred\rAlice │ I owe you\x08\x7f")
	s.Expect("I owe you")
	s.enter("/contacts")
	s.Expect(evil.Account().Short())
	for _, bad := range []string{"\x1b[2J", "\x1b]0", "\x07", "\u009b", "\x7f"} {
		if strings.Contains(s.Shown(), bad) {
			t.Errorf("%q reached the terminal", bad)
		}
	}
}

func TestASCIIChatHasNoOtherSigns(t *testing.T) {
	s := town(t)
	s.Terminal = linetest.Open(t)
	session, err := talk.New(t.Context(), talk.Options{
		Node: s.alice, Target: "Bob", Version: "0.1.0", Up: "parley up", Own: true, Style: show.Style{ASCII: true}, In: s.File, Out: s.File,
	})
	if err != nil {
		t.Fatal(err)
	}
	go func() { s.ended <- session.Run(t.Context(), func(line.Editor) {}) }()
	s.Expect("Bob > ")
	s.Paste("a\nb")
	s.enter("")
	s.Expect("Bob ++ > ")
	s.send(s.bob, "plain")
	s.Expect("| plain")
	s.enter("/r ok")
	s.Expect("-> Bob:")
	s.enter("/quit")
	s.Expect("This chat ran the node: it stops now")
	if err := s.end(); err != nil {
		t.Fatal(err)
	}
	if i := strings.IndexFunc(s.Shown(), func(r rune) bool { return r > 0x7e && r != '·' }); i >= 0 {
		t.Errorf("a sign that is not ASCII: %.40q", s.Shown()[i:])
	}
}

func TestNobodyIsKnownAtFirst(t *testing.T) {
	t.Setenv("TERM", "xterm")
	s := &scene{t: t, town: apitest.NewTown(), ended: make(chan error, 1)}
	s.alice = s.town.Node("Alice")
	s.open("")
	if !strings.Contains(s.Shown(), "no contacts yet: /invite makes a link") {
		t.Errorf("it does not say what to do: %q", s.Shown())
	}
	s.enter("/contacts")
	s.Expect("no contacts yet")
	s.enter("/chats")
	s.Expect("no chats yet")
	s.enter("hello")
	s.Expect("Chats: none")
}

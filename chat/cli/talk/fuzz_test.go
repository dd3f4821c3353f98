package talk

import (
	"context"
	"strings"
	"testing"

	"parley/chat"
	"parley/chat/api/apitest"
	"parley/chat/cli/show"
)

// silent is an editor that nobody looks at.
type silent struct{ shown strings.Builder }

func (*silent) Readline() (string, error) { return "", nil }
func (s *silent) Print(text string)       { s.shown.WriteString(text) }
func (*silent) SetPrompt(string)          {}
func (*silent) Hide(bool)                 {}
func (*silent) Close() error              { return nil }

// sent is a node that remembers what it was asked to send.
type sent struct {
	*apitest.Node
	texts []string
}

func (s *sent) Send(ctx context.Context, d chat.Draft) (chat.Message, error) {
	s.texts = append(s.texts, d.Text)
	return s.Node.Send(ctx, d)
}

// withBob is a chat with Bob that lines are typed into.
func withBob(t testing.TB) (*Session, *sent, *silent) {
	t.Helper()
	town := apitest.NewTown()
	alice, bob := town.Node("Alice"), town.Node("Bob")
	town.Befriend(alice, bob)
	node, editor := &sent{Node: alice}, &silent{}
	s, err := New(context.Background(), Options{Node: node, Target: "Bob", Style: show.Style{}})
	if err != nil {
		t.Fatal(err)
	}
	s.editor = editor
	return s, node, editor
}

// What is sent is exactly what was typed, but for a doubled slash, the words that name a command or a person, and blanks. What
// begins with one slash is sent by no other command than those that say so.
func FuzzNothingThatLooksLikeACommandIsSent(f *testing.F) {
	for _, line := range []string{
		"hi", "/quit", "/qiut", " /quit", "\t/quit", "//quit", "///", "/msg bob hi", "/mgs bob hi", "/r hi", "/R hi", "@bob /quit", "@zoe hi", "@bob",
		"/ quit", "/\n/quit", "\n/quit", "\u00a0/quit", "／quit", "/msg zoe x", "/open bob /x",
	} {
		f.Add(line)
	}
	f.Fuzz(func(t *testing.T, typed string) {
		s, node, editor := withBob(t)
		s.try(context.Background(), func(ctx context.Context) error { return s.typedLine(ctx, typed) })
		command := strings.HasPrefix(strings.TrimSpace(typed), "/") && !strings.HasPrefix(typed, "//")
		name, _, _ := strings.Cut(strings.ToLower(strings.TrimPrefix(typed, "/")), " ")
		if len(node.texts) > 0 && command && name != "msg" && name != "r" {
			t.Fatalf("%q was typed, and %q was sent", typed, node.texts)
		}
		for _, text := range node.texts {
			if !strings.Contains(typed, text) || strings.TrimSpace(text) == "" {
				t.Fatalf("%q was typed, and %q was sent", typed, text)
			}
		}
		if len(node.texts) == 0 && s.long == "" && !s.quit && strings.TrimSpace(typed) != "" && editor.shown.Len() == 0 && !command {
			t.Fatalf("%q was typed, and nothing came of it", typed)
		}
		if strings.ContainsAny(strings.ReplaceAll(editor.shown.String(), "\x1b[H\x1b[J", ""), "\x1b\x07") {
			t.Fatalf("%q was typed, and it is shown as %q", typed, editor.shown.String())
		}
	})
}

// Every command is in the help, answers to its aliases, and says how it is used when it is used wrongly.
func TestEveryCommandIsExplained(t *testing.T) {
	s, node, editor := withBob(t)
	s.try(t.Context(), func(ctx context.Context) error { return s.typedLine(ctx, "/help") })
	all := editor.shown.String()
	seen := map[string]bool{}
	for _, c := range slashes() {
		if !strings.Contains(all, "  "+c.usage()) || !strings.Contains(all, c.help) {
			t.Errorf("/%s is not in the help", c.names[0])
		}
		for _, name := range c.names {
			if seen[name] {
				t.Errorf("/%s is two commands", name)
			}
			seen[name] = true
			if found, ok := findSlash(strings.ToUpper(name)); !ok || found.names[0] != c.names[0] {
				t.Errorf("/%s is not found in capitals", name)
			}
			editor.shown.Reset()
			s.try(t.Context(), func(ctx context.Context) error { return s.typedLine(ctx, "/help /"+name) })
			if !strings.HasPrefix(editor.shown.String(), c.usage()) {
				t.Errorf("/help /%s says %q", name, editor.shown.String())
			}
		}
	}
	if len(node.texts) > 0 {
		t.Errorf("help sent %q", node.texts)
	}
}

func TestCompletionOffersWhatFits(t *testing.T) {
	s, _, _ := withBob(t)
	for line, want := range map[string]string{"/o": "/open", "@B": "@Bob", "/open B": "Bob"} {
		if offered := strings.Join(s.complete(line), " ") + " "; !strings.Contains(offered, want+" ") {
			t.Errorf("%q: offered %q", line, offered)
		}
	}
	if offered := s.complete("hello B"); len(offered) > 0 {
		t.Errorf("a text is completed: %q", offered)
	}
}

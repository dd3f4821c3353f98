package talk_test

import (
	"strings"
	"testing"

	"parley/chat"
)

// Alice asks where her messages are: the last one, the one before, one by its id.
func TestInfoSaysWhereAMessageIs(t *testing.T) {
	s := chatWithBob(t)
	s.enter("the first")
	s.Expect("Bob ✓✓ › ")
	s.town.Part(s.alice, s.bob)
	s.enter("the \u200bsecond")
	s.Expect("Bob ◷ › ")
	s.enter("/info")
	s.Expect(`text     "the ·second"`)
	s.Expect("state    queued: kept here; no other node has it yet")
	s.Expect("2 attempts in vain, the last ")
	s.Expect(": nobody is at home")
	s.enter("/info %2")
	s.Expect(`text     "the first"`)
	s.Expect(": delivered, direct, ")
	m := s.send(s.carol, "from elsewhere")
	s.Expect("(1 unread)")
	s.enter("/info " + m.ID.String())
	s.Expect("from     Carol, device ")
	s.enter("/info %")
	s.Expect(`text     "the ·second"`)
	for typed, says := range map[string]string{
		"/info %3": "!! This chat has 2 messages", "/info %0": `!! /info [%n]: "%0" is no message: % is the last one`,
		"/info Bob": `"Bob" is no message`, "/info %999": "up to %200",
		"/info " + chat.MessageID{9}.String(): "!! no such message",
	} {
		s.enter(typed)
		s.Expect(says)
	}
	s.wantSaid(s.bob, "the first", "the \u200bsecond")
}

func TestInfoWantsAnOpenChat(t *testing.T) {
	s := town(t).open("")
	s.enter("/info")
	s.Expect("!! No chat is open. /open NAME")
}

// What is missing before a message is told above it, when it comes in and whenever it is shown again.
func TestAGapIsToldWhenItComesAndLater(t *testing.T) {
	s := chatWithBob(t)
	s.alice.Lose(2)
	s.send(s.bob, "did you get that?")
	s.Expect("── 2 messages of Bob are missing here ──")
	s.Expect("│ did you get that?")
	s.enter("/history")
	s.Expect("── 2 messages of Bob are missing here ──")
	s.Expect("│ did you get that?")
	if shown := s.Shown(); strings.Count(shown, "missing here") != 2 {
		t.Errorf("it shows %q", shown)
	}
}

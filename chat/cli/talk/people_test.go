package talk_test

import (
	"strings"
	"testing"

	"parley/chat"
	"parley/chat/api/apitest"
)

// stranger makes somebody who asks to be Alice's contact, and writes.
func (s *scene) stranger(name, text string) *apitest.Node {
	s.t.Helper()
	node := s.town.Node(name)
	link, err := s.alice.ContactLink(s.t.Context())
	if err != nil {
		s.t.Fatal(err)
	}
	if _, err := node.AddContact(s.t.Context(), link.Link, ""); err != nil {
		s.t.Fatal(err)
	}
	s.send(node, text)
	return node
}

func TestARequestIsAnnouncedOnceAndAnswered(t *testing.T) {
	s := chatWithBob(t)
	dave := s.stranger("Dave", "may I?\x1b[2J")
	id := dave.Account().Short()
	s.Expect("── asks to be your contact: /accept " + id + " or /reject " + id)
	s.enter("/requests")
	s.Expect("Dave " + id)
	s.Expect("│ may I?")
	s.enter("/accept dave as David")
	s.Expect("David " + id + " is a contact now: /open David")
	s.Expect("David    │ may I?")
	s.enter("/requests")
	s.Expect("nobody waits for an answer")
	if n := strings.Count(s.Shown(), "asks to be your contact"); n > 2 {
		t.Errorf("announced %d times", n)
	}
}

func TestWhoWaitsIsSaidWhenAChatBegins(t *testing.T) {
	s := town(t)
	s.stranger("Dave", "hello")
	s.stranger("Bob", "it is me, Bob")
	s.open("Bob")
	s.enter("/requests")
	s.Expect("!! not the Bob you know: another key")
	if !strings.Contains(s.Shown(), "2 requests wait: /requests shows who asks") {
		t.Errorf("it is not said: %q", s.Shown())
	}
	s.enter("/reject dave")
	s.Expect("is turned away")
	s.enter("/accept dave")
	s.Expect(`!! nobody called "dave" waits for an answer`)
	s.Expect("   try: /requests")
	s.enter("/unblock dave")
	s.Expect("may write to you")
}

func TestBlockingInAChat(t *testing.T) {
	s := chatWithBob(t)
	s.enter("/block bob")
	s.Expect("Bob (blocked) › ")
	s.enter("do you hear me?")
	s.Expect("!! Bob is blocked")
	s.Expect("   try: /unblock Bob")
	s.enter("/unblock Bob")
	s.Expect("Bob › ")
	s.enter("/block nobody")
	s.Expect(`!! no contact "nobody"`)
	s.Expect("   try: /contacts")
	s.wantSaid(s.bob)
}

func TestVerifyingInAChat(t *testing.T) {
	s := chatWithBob(t)
	s.enter("/verify bob")
	number := chat.SafetyNumber(s.alice.Account(), s.bob.Account())
	s.Expect("safety number for you and Bob")
	s.Expect(strings.Join(number.Groups()[:4], " "))
	s.Expect("█")
	s.Expect("/verify Bob ok      Another there?  /verify Bob mismatch")
	s.enter("/verify bob ok")
	s.Expect("Bob is verified on this device")
	s.Expect("Bob✔ › ")
	s.enter("/introduce bob to carol")
	s.Expect("Carol is told of Bob")
	s.enter("/introduce carol to bob")
	s.Expect("!! Carol is not verified")
	s.Expect("   try: /verify Carol")
	s.alice.Doubt(s.bob)
	s.Expect("!! another account has taken the name or a device of Bob: compare numbers before you write: /verify Bob")
	s.Expect("Bob !! › ")
	s.enter("still you?")
	s.Expect("   try: /verify Bob")
	s.enter("/verify Bob mismatch")
	s.Expect("!! Bob is not who they seem")
	s.enter("/verify Bob ok")
	s.Expect("Bob✔ › ")
	s.enter("/contacts")
	s.Expect("✔")
	s.wantSaid(s.bob)
}

func TestWhoUsesAnInviteIsSaid(t *testing.T) {
	s := chatWithBob(t)
	s.alice.Tell(chat.EventInviteUsed, s.carol)
	s.Expect("has joined town with an invite of yours")
}

func TestNewDevicesAreSaid(t *testing.T) {
	s := chatWithBob(t)
	s.alice.Tell(chat.EventDeviceAdded, s.bob)
	s.Expect("── Bob has a new device")
	s.alice.Tell(chat.EventDeviceRevoked, s.carol)
	s.Expect("── Carol has revoked a device")
}

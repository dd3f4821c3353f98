package apitest_test

import (
	"testing"

	"parley/chat"
	"parley/chat/api/apitest"
)

func TestTown(t *testing.T) {
	apitest.TestBackend(t, func(t *testing.T) apitest.World {
		town := apitest.NewTown()
		alice, bob, carol := town.Node("Alice"), town.Node("Bob"), town.Node("Carol")
		town.Befriend(alice, bob)
		return apitest.World{
			Alice: alice, Bob: bob, Carol: carol,
			Part: func() { town.Part(alice, bob) }, Meet: func() { town.Meet(alice, bob) },
		}
	})
}

func TestAMessageThatFailsStaysFailed(t *testing.T) {
	town := apitest.NewTown()
	alice, bob := town.Node("Alice"), town.Node("Bob")
	town.Befriend(alice, bob)
	town.Part(alice, bob)
	m, err := alice.Send(t.Context(), chat.Draft{Conversation: chat.DirectConversation(alice.Account(), bob.Account()), Text: "lost"})
	if err != nil {
		t.Fatal(err)
	}
	alice.Fail(m.ID, "key refused")
	town.Meet(alice, bob)
	m, err = alice.Wait(t.Context(), m.ID, chat.StateDelivered)
	if chat.CodeOf(err) != chat.CodeRefused || m.State != chat.StateFailed || m.Reason != "key refused" {
		t.Fatalf("got %v and %+v", err, m)
	}
	if list, _ := bob.Unread(t.Context(), chat.ConversationID{}, 0); len(list) != 0 {
		t.Fatalf("Bob got what failed: %+v", list)
	}
}

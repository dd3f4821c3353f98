package api

import (
	"encoding/json"
	"math"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/libp2p/go-libp2p/core/peer"
	"pgregory.net/rapid"

	"parley/chat"
)

// passes checks that a value is the same after its way through JSON.
func passes[T, S any](t *rapid.T, want T, shape func(T) S, parse func(S) (T, error)) {
	b, err := encode(shape(want))
	if err != nil {
		t.Fatal(err)
	}
	var s S
	if err := json.Unmarshal(b, &s); err != nil {
		t.Fatal(err)
	}
	got, err := parse(s)
	if err != nil {
		t.Fatalf("%s: %v", b, err)
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Fatalf("%s (-want +got):\n%s", b, d)
	}
}

func drawBytes(t *rapid.T, label string) [32]byte {
	return [32]byte(rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, label))
}

func drawConversation(t *rapid.T) chat.ConversationID {
	return chat.DirectConversation(drawBytes(t, "one"), drawBytes(t, "other"))
}

func drawTime(t *rapid.T, label string) time.Time {
	return time.UnixMilli(rapid.Int64Range(0, 1<<42).Draw(t, label)).UTC()
}

func drawDevice(t *rapid.T) peer.ID {
	b := drawBytes(t, "device")
	return peer.ID(append([]byte{0x12, 32}, b[:]...)) // a SHA-256 multihash
}

func drawState(t *rapid.T) chat.State {
	return rapid.SampledFrom([]chat.State{chat.StateQueued, chat.StateFailed, chat.StateReceived, "newer"}).Draw(t, "state")
}

func drawMessage(t *rapid.T) chat.Message {
	return chat.Message{
		ID: drawBytes(t, "id"), Conversation: drawConversation(t), Author: drawBytes(t, "author"), Device: drawDevice(t),
		Mine: rapid.Bool().Draw(t, "mine"), Text: rapid.String().Draw(t, "text"), State: drawState(t),
		Reason: rapid.String().Draw(t, "reason"), ClientID: rapid.String().Draw(t, "client id"), At: drawTime(t, "at"),
		Seq: rapid.Uint64().Draw(t, "seq"), Number: rapid.Uint64().Draw(t, "number"), Missing: rapid.Uint64().Draw(t, "missing"),
	}
}

func TestDeliveryPasses(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		hosts := []peer.ID{drawDevice(t), drawDevice(t)}
		info := chat.Info{Message: drawMessage(t)}
		passes(t, info, shapeInfo, infoShape.parse)
		info.Ways = []chat.Way{{Device: drawDevice(t), State: drawState(t), Route: chat.RouteMailbox, Holders: hosts, At: drawTime(t, "at")}}
		info.Waits = []chat.Waiting{
			{Reason: rapid.String().Draw(t, "reason")},
			{Device: drawDevice(t), Holders: hosts, Attempts: rapid.Int().Draw(t, "attempts"), Last: drawTime(t, "last"), Next: drawTime(t, "next")},
		}
		passes(t, info, shapeInfo, infoShape.parse)
		shape := func(m chat.Mailboxes) mailboxesShape {
			return mailboxesShape{Automatic: m.Automatic, list: listOf(m.Hosts, shapeMailbox)}
		}
		passes(t, chat.Mailboxes{Automatic: rapid.Bool().Draw(t, "automatic"), Hosts: []chat.KeptMailbox{
			{Host: hosts[0], Seen: drawTime(t, "seen"), Drained: true}, {Host: hosts[1], Trouble: rapid.String().Draw(t, "trouble")},
		}}, shape, mailboxesShape.parse)
	})
}

func TestMessagesPass(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) { passes(t, drawMessage(t), shapeMessage, messageShape.parse) })
}

func TestEventsPass(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		e := chat.Entry{Event: chat.Event{Seq: rapid.Uint64().Draw(t, "seq"), Type: "message.state", At: drawTime(t, "at")}}
		passes(t, e, shapeEvent, eventShape.parse)
		e.Conversation, e.Event.Message, e.Account, e.State = drawConversation(t), drawBytes(t, "id"), drawBytes(t, "account"), drawState(t)
		e.Message = new(drawMessage(t))
		passes(t, e, shapeEvent, eventShape.parse)
	})
}

func drawTrust(t *rapid.T) chat.Trust {
	return rapid.SampledFrom([]chat.Trust{chat.TrustNone, chat.TrustVerified, "newer"}).Draw(t, "trust")
}

func drawIntroducer(t *rapid.T) chat.Introducer {
	if rapid.Bool().Draw(t, "nobody") {
		return chat.Introducer{}
	}
	return chat.Introducer{Account: drawBytes(t, "introducer"), Name: rapid.String().Draw(t, "name"), Verified: rapid.Bool().Draw(t, "verified")}
}

func TestPeoplePass(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		name := rapid.String().Draw(t, "name")
		passes(t, chat.Contact{
			Account: drawBytes(t, "account"), Name: name, Conversation: drawConversation(t), At: drawTime(t, "at"),
			Known: rapid.Bool().Draw(t, "known"), Blocked: rapid.Bool().Draw(t, "blocked"), Trust: drawTrust(t), Introducer: drawIntroducer(t),
			Receipts: rapid.SampledFrom([]chat.Receipts{chat.ReceiptsDefault, chat.ReceiptsOff}).Draw(t, "receipts"),
		}, shapeContact, contactShape.parse)
		passes(t, chat.Request{
			Account: drawBytes(t, "account"), State: chat.RequestPending, Name: name, At: drawTime(t, "at"),
			Texts:    rapid.SliceOf(rapid.String()).Draw(t, "texts"),
			SameName: name, Claims: name, Introducer: drawIntroducer(t),
		}, shapeRequest, requestShape.parse)
		passes(t, chat.Conversation{
			ID: drawConversation(t), Name: name, Peer: drawBytes(t, "peer"), Unread: rapid.Int().Draw(t, "unread"),
		}, shapeConversation, conversationShape.parse)
		passes(t, chat.InviteLink{
			Link: name, Network: name, Addresses: rapid.SliceOf(rapid.String()).Draw(t, "addresses"),
			Reachable: rapid.Bool().Draw(t, "reachable"), Expires: drawTime(t, "expires"),
		}, shapeLink, linkShape.parse)
	})
}

func TestTheStatePasses(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		name, n := rapid.String().Draw(t, "name"), rapid.IntRange(0, math.MaxInt).Draw(t, "n")
		s := chat.Status{
			Ready: true, Name: name, Account: drawBytes(t, "account"), Device: drawDevice(t), Peers: n, Seeds: n,
			Network:   chat.NetworkStatus{Name: name, Fingerprint: "K7QD4", Private: true, Joined: true, Seeds: n},
			Addresses: []string{name}, Reachable: true, Queued: n, Contacts: n, Verified: n, Requests: n, Database: "sqlite", Trouble: name,
			Restored: n%2 == 1, LastEvent: uint64(n), Receipts: chat.ReceiptsOff, Mailboxes: n, Drained: n,
			Since: drawTime(t, "since"),
		}
		passes(t, s, shapeStatus, statusShape.parse)
		s.OldestQueue, s.Hosting = drawTime(t, "oldest"), &chat.HostLimits{Life: time.Duration(n), Quota: chat.Quota{
			Contact: chat.Room{Boxes: 1, Bytes: 2}, Link: chat.Room{Boxes: 3, Bytes: 4}, Open: chat.Room{Boxes: 5, Bytes: 6},
			Mailbox: chat.Room{Boxes: 7, Bytes: 8}, Host: chat.Room{Boxes: 9, Bytes: int64(n)}, Owners: 10, Sure: chat.Room{Boxes: 11, Bytes: 12},
		}}
		passes(t, s, shapeStatus, statusShape.parse)
		passes(t, chat.Peer{
			ID: drawDevice(t), Address: name, Route: chat.RouteRelayed, Seed: true, Since: drawTime(t, "since"), RTT: time.Duration(n),
		}, shapePeer, peerShape.parse)
	})
}

func TestTimesAreWrittenInUTCWithMilliseconds(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 6_789_000, time.FixedZone("", 3600))
	b, err := encode(struct {
		At    stamp `json:"at"`
		Never stamp `json:"never,omitzero"`
	}{At: stamp{at}})
	if want := `{"at":"2026-01-02T02:04:05.006Z"}` + "\n"; err != nil || string(b) != want {
		t.Fatalf("got %s, %v; want %s", b, err, want)
	}
}

func TestAbsentIdsAreAbsentFields(t *testing.T) {
	b, err := encode(shapeEvent(chat.Entry{Event: chat.Event{Seq: 1, Type: chat.EventContactAdded}}))
	if want := `{"seq":1,"type":"contact.added","at":"0001-01-01T00:00:00.000Z"}` + "\n"; err != nil || string(b) != want {
		t.Fatalf("got %s, %v; want %s", b, err, want)
	}
	b, err = encode(listOf(nil, shapePeer))
	if want := `{"items":[]}` + "\n"; err != nil || string(b) != want {
		t.Fatalf("got %s, %v; want %s", b, err, want)
	}
}

package api_test

import (
	"testing"
	"time"

	"parley/chat"
	"parley/chat/api"
	"parley/chat/api/apitest"
	"parley/chat/chattest"
)

// messengers is a world of real messengers on a loopback network, each reached as open says.
func messengers(t *testing.T, open func(*chattest.Person) api.Backend) apitest.World {
	scene := chattest.NewScene(t, 1)
	alice, bob := scene.Started("Alice", chattest.NewMemStore()), scene.Started("Bob", chattest.NewMemStore())
	carol := scene.Started("Carol", chattest.NewMemStore())
	alice.Befriend(bob)
	again := time.NewTicker(time.Millisecond)
	defer again.Stop()
	for ctx := soon(t); ; { // until Bob knows of it
		list, err := bob.Contacts(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if len(list) == 1 {
			break
		}
		<-again.C
	}
	return apitest.World{
		Alice: open(alice), Bob: open(bob), Carol: open(carol),
		Part: func() { scene.Net.Unplug(bob.Identity.Device()) },
		Meet: func() { scene.Net.Plug(bob.Identity.Device(), bob.Messenger) },
	}
}

func TestMessenger(t *testing.T) {
	apitest.TestBackend(t, func(t *testing.T) apitest.World {
		return messengers(t, func(p *chattest.Person) api.Backend { return p.Messenger })
	})
}

func TestClientOfAMessenger(t *testing.T) {
	apitest.TestBackend(t, func(t *testing.T) apitest.World {
		return messengers(t, func(p *chattest.Person) api.Backend { return serve(t, p.Messenger).dial() })
	})
}

var _ api.Backend = (*chat.Messenger)(nil)

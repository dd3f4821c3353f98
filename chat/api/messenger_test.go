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
	ctx := soon(t)
	until(ctx, t, func() bool { return published(scene, alice) && published(scene, bob) && published(scene, carol) })
	alice.Befriend(bob)
	alice.Town.Meet(chat.MemberDevice{Device: bob.Identity.Device(), Account: bob.Identity.Account(), Invite: [8]byte{1}, Since: time.Now()})
	return apitest.World{
		Alice: open(alice), Bob: open(bob), Carol: open(carol),
		Part: func() { scene.Net.Unplug(bob.Identity.Device()) },
		Meet: func() { scene.Net.Plug(bob.Identity.Device(), bob.Messenger) },
	}
}

// published reports whether others can find somebody's device: before, a look-up fails and is tried again after a second or two.
// The account's record goes out before it.
func published(scene *chattest.Scene, p *chattest.Person) bool {
	return scene.Net.Record("/device/"+p.Identity.Device().String()) != nil
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

package chat

import (
	"bytes"
	"crypto/ed25519"
	"encoding/hex"
	"encoding/json"
	"os"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"parley/chat/internal/seal"
	"parley/chat/internal/wire"
)

// vector is one test vector of SPEC.md: what goes in and what must come out, as text or hexadecimal.
type vector struct {
	Name string            `json:"name"`
	In   map[string]string `json:"in"`
	Out  map[string]string `json:"out"`
}

// fixed returns the identity whose three seeds are 32 times 01, 02 and 03.
func fixed(t *testing.T) *Identity {
	t.Helper()
	var secrets []byte
	for n := byte(1); n <= identitySecrets; n++ {
		secrets = append(secrets, bytes.Repeat([]byte{n}, 32)...)
	}
	i, err := identityOf(secrets)
	if err != nil {
		t.Fatal(err)
	}
	account := i.Account()
	i.certificate = wire.Certificate{Account: account[:], Device: string(i.Device()), Exchange: i.exchange.Public(), Name: "laptop", Sequence: 1}.Sign(i.account)
	i.accountRecord = wire.AccountRecord{Account: account[:], Sequence: 1, Signed: [][]byte{i.certificate}}.Sign(i.account)
	return i
}

// fixedGeneration is made of the seeds 32 × 04 (signed), 64 × 05 (KEM) and 32 × 06 (envelope).
func fixedGeneration(t *testing.T) seal.Generation {
	t.Helper()
	state := append([]byte{1}, make([]byte, 4+8)...)
	state = append(state, bytes.Repeat([]byte{4}, 32)...)
	state = append(state, bytes.Repeat([]byte{5}, 64)...)
	g, err := seal.ParseGeneration(append(state, bytes.Repeat([]byte{6}, 32)...))
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// vectors computes every vector whose output does not depend on chance.
func vectors(t *testing.T) []vector {
	i := fixed(t)
	account, other := i.Account(), AccountID(bytes.Repeat([]byte{9}, 32))
	conversation := DirectConversation(account, other)
	content := wire.Content{
		Conversation: conversation, Kind: byte(KindText), Seq: 7, Prev: [32]byte{1}, Parents: [][32]byte{{2}, {3}},
		Clock: 1_800_000_000_000 << 16, Salt: [16]byte{4}, Payload: []byte("hello Bob"),
	}.Append(nil)
	linkKey := LinkKey{Secret: [32]byte(bytes.Repeat([]byte{8}, 32)), Generation: 3}
	network := Network{Name: "home", ID: [16]byte(bytes.Repeat([]byte{6}, 16)), PSK: bytes.Repeat([]byte{7}, 32)}
	invite := Invite{
		Kind: InviteNetwork, Network: network, Account: account, Name: "Alice", Expires: time.Unix(1_800_000_000, 0), Token: linkKey.Invite(), Member: Token(bytes.Repeat([]byte{1}, 16)),
		Seeds: []Seed{{i.Device(), []string{"/ip4/203.0.113.7/tcp/4101", "/ip6/2001:db8::1/tcp/4101", "/dns/seed.example.org/tcp/443/wss"}}},
	}
	contact := Invite{Kind: InviteContact, Network: Network{ID: network.ID}, Account: account, Name: "Alice", Token: linkKey.Contact()}
	id := messageID(account, i.Device(), content)
	x := hex.EncodeToString
	deviceRecord := wire.DeviceRecord{
		Device: string(i.Device()), Account: account[:], Sequence: 1, Instance: [16]byte(bytes.Repeat([]byte{5}, 16)), Prekeys: fixedGeneration(t).Prekeys(),
	}.Sign(i.device)
	marks := &wire.Marks{Account: 1, Device: 2, Held: 3, Grant: [32]byte(bytes.Repeat([]byte{4}, 32))}
	grant := grantFor(bytes.Repeat([]byte{8}, 32), other)
	host := peer.ID(wire.DeviceID(ed25519.NewKeyFromSeed(bytes.Repeat([]byte{9}, 32)).Public().(ed25519.PublicKey)))
	byGrant, byToken := capability(grant[:], host, i.Device()), capability(contact.Token[:], host, i.Device())
	acks := wire.Acks{Session: [16]byte(bytes.Repeat([]byte{1}, 16)), List: []wire.Ack{
		{Envelope: [32]byte(bytes.Repeat([]byte{2}, 32)), Tag: [16]byte(bytes.Repeat([]byte{3}, 16))},
		{Envelope: [32]byte(bytes.Repeat([]byte{4}, 32)), Tag: [16]byte(bytes.Repeat([]byte{5}, 16))},
	}}
	proof := i.MemberProof(network.ID)
	return []vector{
		{"account", map[string]string{"seed": x(i.account.Seed())}, map[string]string{
			"key": x(account[:]), "text": account.String(), "short": account.Short(), "record key": accountRecordKey(account),
		}},
		{"device", map[string]string{"seed": x(i.device.Seed())}, map[string]string{
			"peer id": i.Device().String(), "bytes": x([]byte(i.Device())), "record key": deviceRecordKey(i.Device()),
		}},
		{"certificate", map[string]string{"name": "laptop", "sequence": "1"}, map[string]string{"bytes": x(i.certificate)}},
		{"account record", map[string]string{"sequence": "1"}, map[string]string{"bytes": x(i.accountRecord)}},
		{"device record", map[string]string{"sequence": "1", "instance": x(bytes.Repeat([]byte{5}, 16))}, map[string]string{"bytes": x(deviceRecord)}},
		{"direct conversation", map[string]string{"a": x(account[:]), "b": x(other[:])}, map[string]string{"id": x(conversation[:]), "text": conversation.String()}},
		{"content", map[string]string{"text": "hello Bob"}, map[string]string{"bytes": x(content), "message id": x(id[:]), "text": id.String()}},
		{"body that begins a chain", map[string]string{"marks": "1, 2, 3", "grant": x(bytes.Repeat([]byte{4}, 32))}, map[string]string{
			"bytes": x(wire.Body{Type: wire.BodyContent, Marks: marks, Content: []byte("content")}.Append(nil)),
		}},
		{"step", nil, map[string]string{"bytes": x(wire.Body{Type: wire.BodyStep}.Append(nil))}},
		{"network", map[string]string{"id": x(network.ID[:])}, map[string]string{"fingerprint": network.Fingerprint()}},
		{"network invite", nil, map[string]string{"link": invite.String()}},
		{"contact link", nil, map[string]string{"link": contact.String()}},
		{"link tokens", map[string]string{"secret": x(linkKey.Secret[:]), "generation": "3"}, map[string]string{
			"contact": x(contact.Token[:]), "invite": x(invite.Token[:]),
		}},
		{"acknowledgements", map[string]string{
			"session": x(acks.Session[:]), "envelope 1": x(acks.List[0].Envelope[:]), "tag 1": x(acks.List[0].Tag[:]),
			"envelope 2": x(acks.List[1].Envelope[:]), "tag 2": x(acks.List[1].Tag[:]),
		}, map[string]string{"bytes": x(acks.Append(nil))}},
		{"capabilities", map[string]string{
			"secret": x(bytes.Repeat([]byte{8}, 32)), "account": x(other[:]), "token": x(contact.Token[:]), "host": x([]byte(host)), "owner": x([]byte(i.Device())),
		}, map[string]string{"grant": x(grant[:]), "by grant": x(byGrant[:]), "by token": x(byToken[:])}},
		{"member proof", map[string]string{"network": x(network.ID[:]), "device": x([]byte(i.Device()))}, map[string]string{"bytes": x(proof[:])}},
		{"safety number", map[string]string{"a": x(account[:]), "b": x(other[:])}, map[string]string{
			"digits": SafetyNumber(account, other).String(), "code": SafetyNumber(other, account).Code(),
		}},
	}
}

const vectorFile = "testdata/vectors/vectors.json"

func TestVectors(t *testing.T) {
	got, err := json.MarshalIndent(vectors(t), "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	if os.Getenv("PARLEY_TEST_WRITE_VECTORS") != "" { // a change of these bytes is a new version of the protocol
		if err := os.WriteFile(vectorFile, append(got, '\n'), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(vectorFile)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(bytes.TrimSpace(want), got) {
		t.Errorf("the bytes on the wire are not those of %s any more:\n%s", vectorFile, got)
	}
}

package member

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
)

// village is a network in which everything is the same in each run: keys are made of one byte each.
func village() Network {
	n := Network{
		IDOf: func(authority []byte) [16]byte {
			sum := sha256.Sum256(append([]byte("parley/network/1"), authority...)) // chat/SPEC.md, "Links"
			return [16]byte(sum[:16])
		},
		Proven: func(_ [16]byte, account [32]byte, _ peer.ID, proof []byte) bool {
			return bytes.Equal(proof, append(account[:], account[:]...))
		},
	}
	n.ID = n.IDOf(public(key(0xaa)))
	return n
}

func key(b byte) ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed(bytes.Repeat([]byte{b}, ed25519.SeedSize))
}

func public(k ed25519.PrivateKey) []byte { return k.Public().(ed25519.PublicKey) }

// claim is that of a device whose account is the byte after it.
func claim(b byte) Claim {
	c := Claim{Device: Key(public(key(b))), Account: Key(public(key(b + 1)))}
	copy(c.Proof[:], append(c.Account[:], c.Account[:]...))
	return c
}

// chain is the chain of the last of some devices, each of which has let in the next one; all may invite.
func chain(n Network, devices ...byte) Chain {
	c, issuer := Chain{Authority: Key(public(key(0xaa)))}, key(0xaa)
	for i, d := range devices {
		certificate := Certificate{Claim: claim(d), MayInvite: true, Invite: InviteID{byte(i)}, Issued: 1_800_000_000}
		c.Certificates = append(c.Certificates, issue(n, issuer, certificate))
		issuer = key(d)
	}
	return c
}

// TestWhoIsAMember judges chains that are good, and all ways in which one can fail to be.
func TestWhoIsAMember(t *testing.T) {
	n := village()
	founder, alice, bob := byte(0x10), byte(0x20), byte(0x30)
	other := village()
	other.ID = [16]byte{1}
	for name, c := range map[string]struct {
		chain  Chain
		device byte
		want   Verdict
	}{
		"the founder":              {chain(n, founder), founder, Admitted},
		"invited by the founder":   {chain(n, founder, alice), alice, Admitted},
		"invited by Alice":         {chain(n, founder, alice, bob), bob, Admitted},
		"as deep as may be":        {chain(n, 0x10, 0x20, 0x30, 0x40, 0x50, 0x60, 0x70, 0x80), 0x80, Admitted},
		"somebody else's":          {chain(n, founder, alice), bob, Unproven},
		"of another network":       {chain(other, founder, alice), alice, Unproven},
		"of another authority":     {spoilt(chain(n, founder), func(c *Chain) { c.Authority = Key(public(key(1))) }), founder, Unproven},
		"signed by herself":        {spoilt(chain(n, founder, alice), func(c *Chain) { c.Certificates = c.Certificates[1:] }), alice, Unproven},
		"without a link":           {spoilt(chain(n, founder, alice, bob), func(c *Chain) { c.Certificates = append(c.Certificates[:1], c.Certificates[2]) }), bob, Unproven},
		"another account's name":   {spoilt(chain(n, founder, alice), func(c *Chain) { c.Certificates[1].Account = claim(bob).Account }), alice, Unproven},
		"another date":             {spoilt(chain(n, founder, alice), func(c *Chain) { c.Certificates[1].Issued++ }), alice, Unproven},
		"a proof of somebody else": {proofless(n, founder, alice), alice, Unproven},
		"invited by who may not":   {invitedByGuest(n, founder, alice, bob), bob, Unproven},
		"somebody twice":           {chain(n, founder, alice, founder), founder, Unproven},
		"nobody":                   {Chain{Authority: Key(public(key(0xaa)))}, founder, Unproven},
	} {
		if got := c.chain.Judge(n, Key(public(key(c.device)))); got != c.want {
			t.Errorf("%s: %d, want %d", name, got, c.want)
		}
	}
}

func spoilt(c Chain, spoil func(*Chain)) Chain {
	spoil(&c)
	return c
}

// proofless is signed in form, and the account has never said that the device is its own.
func proofless(n Network, founder, device byte) Chain {
	c := chain(n, founder)
	certificate := Certificate{Claim: claim(device)}
	certificate.Proof = claim(device + 1).Proof
	c.Certificates = append(c.Certificates, issue(n, key(founder), certificate))
	return c
}

// invitedByGuest has a device invite another although it may not.
func invitedByGuest(n Network, founder, guest, device byte) Chain {
	c := chain(n, founder)
	c.Certificates = append(c.Certificates, issue(n, key(founder), Certificate{Claim: claim(guest)}))
	c.Certificates = append(c.Certificates, issue(n, key(guest), Certificate{Claim: claim(device)}))
	return c
}

// TestWhoFalls lets a list revoke Alice, with and without those whom she has invited.
func TestWhoFalls(t *testing.T) {
	n := village()
	alice, bob, carol := chain(n, 0x10, 0x20), chain(n, 0x10, 0x20, 0x30), chain(n, 0x10, 0x20, 0x30, 0x40)
	dave := chain(n, 0x10, 0x50)
	late := spoilt(chain(n, 0x10, 0x20, 0x60), func(c *Chain) {}) // whom Alice lets in afterwards
	for name, c := range map[string]struct {
		list List
		want map[*Chain]Verdict
	}{
		"nobody": {List{}, map[*Chain]Verdict{&alice: Admitted, &bob: Admitted, &carol: Admitted, &dave: Admitted}},
		"all whom she let in": {
			List{Sequence: 1, Issued: 1}.with(Entry{Who: alice.Own().Device}),
			map[*Chain]Verdict{&alice: Revoked, &bob: Revoked, &carol: Revoked, &late: Revoked, &dave: Admitted},
		},
		"Bob is spared": {
			List{Sequence: 1, Issued: 1}.with(Entry{Who: alice.Own().Device, Spared: [][hashSize]byte{bob.Own().hash()}}),
			map[*Chain]Verdict{&alice: Revoked, &bob: Admitted, &carol: Admitted, &late: Revoked, &dave: Admitted},
		},
		"Bob is spared with her device, and not with her account": {
			List{Sequence: 2, Issued: 1}.with(Entry{Who: alice.Own().Device, Spared: [][hashSize]byte{bob.Own().hash()}}).with(Entry{Who: alice.Own().Account}),
			map[*Chain]Verdict{&alice: Revoked, &bob: Revoked, &carol: Revoked, &dave: Admitted},
		},
		"Bob falls by himself": {
			List{Sequence: 2, Issued: 1}.with(Entry{Who: alice.Own().Device, Spared: [][hashSize]byte{bob.Own().hash()}}).with(Entry{Who: bob.Own().Device}),
			map[*Chain]Verdict{&alice: Revoked, &bob: Revoked, &carol: Revoked, &dave: Admitted},
		},
	} {
		for who, want := range c.want {
			if got := c.list.Judge(*who); got != want {
				t.Errorf("%s: %x gets %d, want %d", name, who.Own().Device, got, want)
			}
		}
	}
}

// TestListIsTheAuthoritys takes no list that somebody else has made or changed.
func TestListIsTheAuthoritys(t *testing.T) {
	n := village()
	list := List{Sequence: 1, Issued: 7}.with(Entry{Who: claim(0x20).Device}).sign(n, key(0xaa))
	authority := Key(public(key(0xaa)))
	if !list.Signed(n, authority) {
		t.Error("the authority's own list is not taken")
	}
	changed := list
	changed.Sequence++
	if changed.Signed(n, authority) || list.Signed(n, Key(public(key(0x20)))) || list.sign(n, key(0x20)).Signed(n, Key(public(key(0x20)))) {
		t.Error("somebody else's list is taken")
	}
	n.ID[0]++
	if list.Signed(n, authority) {
		t.Error("another network's list is taken")
	}
}

// TestVectors holds the bytes against those in SPEC.md.
func TestVectors(t *testing.T) {
	spec, err := os.ReadFile("../SPEC.md")
	if err != nil {
		t.Fatal(err)
	}
	n := village()
	alice := chain(n, 0x10, 0x20)
	list := List{Sequence: 1, Issued: 1_800_000_001}.with(Entry{Who: claim(0x20).Device, Spared: [][hashSize]byte{alice.Own().hash()}}).sign(n, key(0xaa))
	token := Token(bytes.Repeat([]byte{1}, TokenSize))
	sum := func(b []byte) string { s := sha256.Sum256(b); return hex.EncodeToString(s[:]) }
	for name, got := range map[string]string{
		"network id":                   hex.EncodeToString(n.ID[:]),
		"signature of the certificate": fmt.Sprintf("%x", alice.Own().signature),
		"SHA-256 of the chain":         sum(alice.Marshal()),
		"list":                         hex.EncodeToString(list.Marshal()),
		"rotation":                     hex.EncodeToString(turned(n).Marshal()),
		"key of the invite":            fmt.Sprintf("%x", token.key(n).Public()),
		"request":                      hex.EncodeToString(NewRequest(n, claim(0x10).Device, token, claim(0x20), key(0x20)).Marshal()),
	} {
		if !strings.Contains(string(spec), "`"+got+"`") {
			t.Errorf("SPEC.md has another %s than %s", name, got)
		}
	}
}

// BenchmarkJudge is what a stranger can make a node work with one frame: the longest chain.
func BenchmarkJudge(b *testing.B) {
	n := village()
	n.Proven = func(_ [16]byte, account [32]byte, _ peer.ID, proof []byte) bool {
		_ = ed25519.Verify(account[:], nil, proof) // the work of the messenger's rule
		return true
	}
	long := chain(n, 0x10, 0x20, 0x30, 0x40, 0x50, 0x60, 0x70, 0x80)
	for b.Loop() {
		if long.Judge(n, claim(0x80).Device) != Admitted {
			b.Fatal("not a member")
		}
	}
}

// Carol asks Bob to let her in, whom Alice has let in. Dave hands that on, and answers by himself.
func TestWhoWasAskedAnswers(t *testing.T) {
	n := village()
	by := func(inviter byte) Chain {
		c := chain(n, 0x10, inviter)
		c.Certificates = append(c.Certificates, issue(n, key(inviter), Certificate{Claim: claim(0x40), Invite: InviteID{7}}))
		return c
	}
	asked := Request{Issuer: claim(0x30).Device, Invite: InviteID{7}}
	if !by(0x30).answers(asked) || by(0x50).answers(asked) || chain(n, 0x10, 0x30, 0x40).answers(asked) {
		t.Error("who was not asked lets her in, or who was does not")
	}
	founders := Chain{Authority: by(0x30).Authority, Certificates: []Certificate{issue(n, key(0xaa), Certificate{Claim: claim(0x40), Invite: InviteID{7}})}}
	if !founders.answers(asked) {
		t.Error("who made the network signs with the authority's key, and is not known by its device")
	}
}

// Whatever a list says of it, the device that made the network has nobody else let it in, and others do where they mean to.
func TestWhoIsLetInAnew(t *testing.T) {
	n := village()
	for _, authority := range []ed25519.PrivateKey{key(0xaa), nil} {
		l, err := Open(Config{Network: n, Claim: claim(0x10), Device: key(0x10), Authority: authority}, time.Unix(0, 0))
		if err != nil {
			t.Fatal(err)
		}
		l.chain = chain(n, 0x10)
		anew := Invitation{Token: Token{1}, Anew: true}
		if l.needs(anew) {
			t.Error("a member is let in")
		}
		l.list = List{Sequence: 1}.with(Entry{Who: claim(0x10).Device})
		if l.needs(anew) != (authority == nil) || l.needs(Invitation{Token: Token{1}}) {
			t.Errorf("founder %v: is let in: %v, without meaning to: %v", authority != nil, l.needs(anew), l.needs(Invitation{}))
		}
	}
}

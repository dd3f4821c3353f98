package member_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"parley/node/member"
	"parley/node/member/membertest"
)

// founder opens the ledger of a device that has made its network.
func founder(t *testing.T) (*membertest.Town, *member.Ledger, *membertest.Vault) {
	t.Helper()
	town, vault := membertest.NewTown(t), &membertest.Vault{}
	return town, town.Ledger(town.NewKey(), town.Authority, vault), vault
}

// TestFiftyForOnePlace lets 50 devices show the token of one place at the same time: one is in, and only that one when it asks again.
func TestFiftyForOnePlace(t *testing.T) {
	town, alice, _ := founder(t)
	now := time.Now()
	token, _, err := alice.NewInvite("whoever is quick", 1, now.Add(time.Hour), now)
	if err != nil {
		t.Fatal(err)
	}
	var racing sync.WaitGroup
	var mu sync.Mutex
	in := map[member.Key][]byte{}
	for range 50 {
		device := membertest.KeyOf(town.NewKey())
		racing.Go(func() {
			chain, err := alice.Redeem(town.Request(token, town.Claim(device)), now)
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				in[device] = chain
			} else if !errors.Is(err, member.UsedInvite) {
				t.Errorf("shut out because %v", err)
			}
		})
	}
	racing.Wait()
	if len(in) != 1 {
		t.Fatalf("%d are in", len(in))
	}
	for device, chain := range in {
		again, err := alice.Redeem(town.Request(token, town.Claim(device)), now.Add(2*time.Hour)) // the answer was lost, and the invite has expired since
		if err != nil || string(again) != string(chain) {
			t.Errorf("asked again, it is told %v", err)
		}
	}
}

// TestEveryFailureOfAnInvite tells them apart.
func TestEveryFailureOfAnInvite(t *testing.T) {
	town, alice, _ := founder(t)
	now := time.Now()
	invite := func(most int) (member.Token, member.InviteID) {
		token, i, err := alice.NewInvite("Bob", most, now.Add(time.Hour), now)
		if err != nil {
			t.Fatal(err)
		}
		return token, i.ID
	}
	bob := town.Claim(membertest.KeyOf(town.NewKey()))
	used, _ := invite(1)
	if _, err := alice.Redeem(town.Request(used, town.Claim(membertest.KeyOf(town.NewKey()))), now); err != nil {
		t.Fatal(err)
	}
	revoked, id := invite(3)
	if err := alice.RevokeInvite(id); err != nil {
		t.Fatal(err)
	}
	expired, _ := invite(1)
	borrowed := bob
	borrowed.Account = town.Claim(membertest.KeyOf(town.NewKey())).Account
	for name, c := range map[string]struct {
		token member.Token
		claim member.Claim
		at    time.Time
		want  member.Verdict
	}{
		"used":                 {used, bob, now, member.UsedInvite},
		"revoked":              {revoked, bob, now, member.RevokedInvite},
		"expired":              {expired, bob, now.Add(2 * time.Hour), member.ExpiredInvite},
		"made by nobody":       {member.Token{1}, bob, now, member.UnknownInvite},
		"somebody else's name": {expired, borrowed, now, member.Unproven},
	} {
		v := member.Admitted
		if _, err := alice.Redeem(town.Request(c.token, c.claim), c.at); err != nil && !errors.As(err, &v) {
			t.Errorf("%s: %v", name, err)
		}
		if v != c.want {
			t.Errorf("%s: %d, want %d", name, v, c.want)
		}
	}
	if _, err := alice.Redeem(town.Request(expired, bob), now); err != nil {
		t.Errorf("before it has expired: %v", err)
	}
	if err := alice.RevokeInvite(member.InviteID{}); !errors.Is(err, member.UnknownInvite) {
		t.Errorf("revoking what is not there: %v", err)
	}
	for _, bad := range []struct {
		note  string
		most  int
		until time.Time
	}{
		{"", 0, now.Add(1)}, {"", member.MaxUses + 1, now.Add(1)}, {"", 1, now}, {strings.Repeat("x", member.MaxNote+1), 1, now.Add(1)},
	} {
		if _, _, err := alice.NewInvite(bad.note, bad.most, bad.until, now); err == nil {
			t.Errorf("an invite was made of %+v", bad)
		}
	}
}

// TestNothingIsSaidBeforeItIsKept fills the disk: nobody is let in, and the place is still there when there is room again.
func TestNothingIsSaidBeforeItIsKept(t *testing.T) {
	town, alice, vault := founder(t)
	now := time.Now()
	token, _, err := alice.NewInvite("", 1, now.Add(time.Hour), now)
	if err != nil {
		t.Fatal(err)
	}
	vault.Fill(true)
	bob, carol := town.Claim(membertest.KeyOf(town.NewKey())), town.Claim(membertest.KeyOf(town.NewKey()))
	v := member.Verdict(0)
	if chain, err := alice.Redeem(town.Request(token, bob), now); err == nil || errors.As(err, &v) {
		t.Errorf("let in with %x, %v", chain, err)
	}
	if err := alice.Revoke([]member.Key{bob.Device}, false, now); err == nil {
		t.Error("revoked without a trace")
	}
	vault.Fill(false)
	if _, err := alice.Redeem(town.Request(token, carol), now); err != nil {
		t.Errorf("the place went to nobody: %v", err)
	}
	if _, err := alice.Redeem(town.Request(token, bob), now); !errors.Is(err, member.UsedInvite) {
		t.Errorf("Bob gets %v", err)
	}
}

// TestLedgerOutlivesTheProcess opens it again: uses, revocations and members are as they were.
func TestLedgerOutlivesTheProcess(t *testing.T) {
	town, vault, key := membertest.NewTown(t), &membertest.Vault{}, membertest.NewKey(t)
	alice := town.Ledger(key, town.Authority, vault)
	now := time.Now()
	token, made, err := alice.NewInvite("Bob", 1, now.Add(time.Hour), now)
	if err != nil {
		t.Fatal(err)
	}
	bob, carol := town.Claim(membertest.KeyOf(town.NewKey())), town.Claim(membertest.KeyOf(town.NewKey()))
	first, err := alice.Redeem(town.Request(token, bob), now)
	if err != nil {
		t.Fatal(err)
	}
	if chain, err := town.Ledger(key, town.Authority, vault).Redeem(town.Request(token, bob), now); err != nil || string(chain) != string(first) {
		t.Errorf("Bob gets another certificate: %v", err)
	}
	if err := alice.Revoke([]member.Key{bob.Device}, false, now); err != nil {
		t.Fatal(err)
	}
	again := town.Ledger(key, town.Authority, vault)
	if _, err := again.Redeem(town.Request(token, bob), now); !errors.Is(err, member.Revoked) {
		t.Errorf("Bob, who was removed, gets %v", err)
	}
	if _, err := again.Redeem(town.Request(token, carol), now); !errors.Is(err, member.UsedInvite) {
		t.Errorf("Carol gets %v", err)
	}
	invites := again.Invites(now)
	if len(invites) != 1 || invites[0].ID != made.ID || invites[0].Note != "Bob" || len(invites[0].Used) != 1 || invites[0].Used[0] != bob.Device {
		t.Errorf("the invites are %+v", invites)
	}
	members := again.Members()
	if len(members) != 2 || members[1].Device != bob.Device || members[1].Account != bob.Account || !members[1].Revoked || members[0].Revoked {
		t.Errorf("the members are %+v", members)
	}
}

// TestDamagedLedgerIsSaid opens none that is not as it should be.
func TestDamagedLedgerIsSaid(t *testing.T) {
	town, key := membertest.NewTown(t), membertest.NewKey(t)
	other := membertest.NewTown(t)
	foreign, err := other.Admit(key).Load()
	if err != nil {
		t.Fatal(err)
	}
	for name, ledger := range map[string]string{
		"no JSON":            "{",
		"a later version":    `{"v":2}`,
		"a bad list":         `{"v":1,"list":"AAAA"}`,
		"a bad chain":        `{"v":1,"chain":"AAAA"}`,
		"a bad invite":       `{"v":1,"invites":[{"hash":"AAAA"}]}`,
		"a bad member":       `{"v":1,"known":[{"certificate":"AAAA"}]}`,
		"of another network": string(foreign),
	} {
		vault := &membertest.Vault{}
		if err := vault.Save([]byte(ledger)); err != nil {
			t.Fatal(err)
		}
		cfg := member.Config{Network: town.Network, Claim: town.Claim(membertest.KeyOf(key)), Device: key, Vault: vault}
		if _, err := member.Open(cfg, time.Now()); err == nil {
			t.Errorf("%s: it was opened", name)
		}
	}
}

// TestOldInvitesMakeRoom keeps as many as fit, and drops those first that lead nowhere any more.
func TestOldInvitesMakeRoom(t *testing.T) {
	_, alice, _ := founder(t)
	now := time.Now()
	var first member.Invite
	for i := range member.MaxInvites {
		_, made, err := alice.NewInvite(fmt.Sprint(i), 1, now.Add(time.Hour), now)
		if err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			first = made
		}
	}
	if _, _, err := alice.NewInvite("one too many", 1, now.Add(time.Hour), now); err == nil {
		t.Error("more are open than may be")
	}
	if err := alice.RevokeInvite(first.ID); err != nil {
		t.Fatal(err)
	}
	if _, _, err := alice.NewInvite("in its place", 1, now.Add(time.Hour), now); err != nil {
		t.Errorf("a revoked one is in the way: %v", err)
	}
	if n := len(alice.Invites(now)); n != member.MaxInvites {
		t.Errorf("%d are kept", n)
	}
	later := now.Add(2 * time.Hour)
	for range member.MaxPlaces / member.MaxUses {
		if _, _, err := alice.NewInvite("a crowd", member.MaxUses, later.Add(time.Hour), later); err != nil {
			t.Fatal(err)
		}
	}
	_, _, err := alice.NewInvite("a crowd too many", member.MaxUses, later.Add(time.Hour), later)
	if err == nil || !strings.Contains(err.Error(), "net revoke ID makes room") {
		t.Errorf("more places are open than may be, or nobody hears what helps: %v", err)
	}
	invites := alice.Invites(later)
	if err := alice.RevokeInvite(invites[len(invites)-1].ID); err != nil {
		t.Fatal(err)
	}
	if _, _, err := alice.NewInvite("a crowd in its place", member.MaxUses, later.Add(time.Hour), later); err != nil {
		t.Errorf("a revoked crowd is in the way: %v", err)
	}
}

// TestInvitingAsFarAsItGoes lets each invite the next: the last one, the farthest from the founder that there may be, invites nobody.
func TestInvitingAsFarAsItGoes(t *testing.T) {
	town, last, _ := founder(t)
	for range member.MaxDepth {
		key := town.NewKey()
		next := town.Ledger(key, nil, nil)
		if err := next.Take(town.Chain(last, membertest.KeyOf(key))); err != nil {
			t.Fatal(err)
		}
		if next.Standing() != member.Admitted {
			t.Errorf("it stands as %d", next.Standing())
		}
		last = next
	}
	now := time.Now()
	if _, _, err := last.NewInvite("", 1, now.Add(time.Hour), now); !errors.Is(err, member.MayNotInvite) {
		t.Errorf("the last one: %v", err)
	}
	if _, _, err := town.Ledger(town.NewKey(), nil, nil).NewInvite("", 1, now.Add(time.Hour), now); !errors.Is(err, member.NoMember) {
		t.Errorf("no member: %v", err)
	}
}

// TestClosedNetwork lets nobody invite but the device that made it.
func TestClosedNetwork(t *testing.T) {
	town, key, now := membertest.NewTown(t), membertest.NewKey(t), time.Now()
	cfg := member.Config{Network: town.Network, Device: key, Claim: town.Claim(membertest.KeyOf(key)), Authority: town.Authority, Closed: true}
	alice, err := member.Open(cfg, now)
	if err != nil {
		t.Fatal(err)
	}
	bobs := town.NewKey()
	bob := town.Ledger(bobs, nil, nil)
	if err := bob.Take(town.Chain(alice, membertest.KeyOf(bobs))); err != nil {
		t.Fatal(err)
	}
	if _, _, err := bob.NewInvite("", 1, now.Add(time.Hour), now); !errors.Is(err, member.MayNotInvite) || !strings.Contains(err.Error(), "may not invite") {
		t.Errorf("Bob invites: %v", err)
	}
	if bob.Standing() != member.Admitted {
		t.Errorf("Bob stands as %d", bob.Standing())
	}
}

// TestRevoked takes Alice's word away, and, if asked, that of all whom she let in.
func TestRevoked(t *testing.T) {
	for _, withInvited := range []bool{false, true} {
		town, mayor, _ := founder(t)
		key, now := town.NewKey(), time.Now()
		alice := town.Ledger(key, nil, nil)
		if err := alice.Take(town.Chain(mayor, membertest.KeyOf(key))); err != nil {
			t.Fatal(err)
		}
		bob := membertest.KeyOf(town.NewKey())
		bobs, err := member.ParseChain(town.Chain(alice, bob))
		if err != nil {
			t.Fatal(err)
		}
		open, _, err := alice.NewInvite("", 1, now.Add(time.Hour), now)
		if err != nil {
			t.Fatal(err)
		}
		if v := mayor.Judge(bobs, bob); v != member.Admitted {
			t.Fatalf("Bob comes in: %d", v)
		}
		if err := mayor.Revoke([]member.Key{membertest.KeyOf(key)}, withInvited, now); err != nil {
			t.Fatal(err)
		}
		want := map[bool]member.Verdict{false: member.Admitted, true: member.Revoked}[withInvited]
		if v := mayor.Judge(bobs, bob); v != want {
			t.Errorf("with those whom she let in %v: Bob gets %d", withInvited, v)
		}
		if err := mayor.Revoke([]member.Key{membertest.KeyOf(key)}, false, now); err != nil {
			t.Fatal(err)
		}
		if v := mayor.Judge(bobs, bob); v != want {
			t.Errorf("revoked again: Bob gets %d", v)
		}
		list := mayor.List()
		if newer, err := alice.TakeList(list); !newer || err != nil {
			t.Fatalf("Alice hears of it: %v, %v", newer, err)
		}
		if newer, err := alice.TakeList(list); newer || err != nil {
			t.Errorf("Alice hears of it again: %v, %v", newer, err)
		}
		if alice.Standing() != member.Revoked {
			t.Errorf("Alice stands as %d", alice.Standing())
		}
		if _, err := alice.Redeem(town.Request(open, town.Claim(membertest.KeyOf(town.NewKey()))), now); !errors.Is(err, member.MayNotInvite) {
			t.Errorf("Alice lets somebody in: %v", err)
		}
		if _, _, err := alice.NewInvite("", 1, now.Add(time.Hour), now); !errors.Is(err, member.Revoked) {
			t.Errorf("Alice invites: %v", err)
		}
		if err := alice.Revoke([]member.Key{bob}, false, now); !errors.Is(err, member.ErrNotAuthority) {
			t.Errorf("Alice revokes: %v", err)
		}
	}
}

// TestAuthorityWithAnOldMemory was put back to a copy from before it revoked Alice: it hears of its own list from others, and goes on from there.
func TestAuthorityWithAnOldMemory(t *testing.T) {
	town, vault, key := membertest.NewTown(t), &membertest.Vault{}, membertest.NewKey(t)
	mayor := town.Ledger(key, town.Authority, vault)
	copied, err := vault.Load()
	if err != nil {
		t.Fatal(err)
	}
	alice, bob, now := membertest.KeyOf(town.NewKey()), membertest.KeyOf(town.NewKey()), time.Now()
	if err := mayor.Revoke([]member.Key{alice}, false, now); err != nil {
		t.Fatal(err)
	}
	list := mayor.List()
	if err := vault.Save(copied); err != nil {
		t.Fatal(err)
	}
	mayor = town.Ledger(key, town.Authority, vault)
	if newer, err := mayor.TakeList(list); !newer || err != nil {
		t.Fatalf("its own list: %v, %v", newer, err)
	}
	if err := mayor.Revoke([]member.Key{bob}, false, now); err != nil {
		t.Fatal(err)
	}
	next, err := member.ParseList(mayor.List())
	if err != nil || next.Sequence != uint64(now.Unix())+1 || len(next.Entries) != 2 {
		t.Errorf("the next list has the number %d and %d entries, %v", next.Sequence, len(next.Entries), err)
	}
	if err := mayor.Revoke([]member.Key{membertest.KeyOf(key)}, false, now); err == nil {
		t.Error("it threw itself out")
	}
}

// TestListCountsOnAFullDisk takes Bob's word away although that cannot be kept, and keeps it with the next change.
func TestListCountsOnAFullDisk(t *testing.T) {
	town, mayor, _ := founder(t)
	key := town.NewKey()
	vault := town.Admit(key)
	alice := town.Ledger(key, nil, vault)
	bob := membertest.KeyOf(town.NewKey())
	bobs, err := member.ParseChain(town.Chain(mayor, bob))
	if err != nil {
		t.Fatal(err)
	}
	if err := mayor.Revoke([]member.Key{bob}, false, time.Now()); err != nil {
		t.Fatal(err)
	}
	vault.Fill(true)
	if newer, err := alice.TakeList(mayor.List()); !newer || err == nil {
		t.Errorf("a full disk: %v, %v", newer, err)
	}
	if v := alice.Stands(bobs); v != member.Revoked {
		t.Errorf("Bob gets %d", v)
	}
	vault.Fill(false)
	if _, _, err := alice.NewInvite("", 1, time.Now().Add(time.Hour), time.Now()); err != nil {
		t.Fatal(err)
	}
	if v := town.Ledger(key, nil, vault).Stands(bobs); v != member.Revoked {
		t.Errorf("after a restart Bob gets %d", v)
	}
}

// TestNobodyElsesList takes none from a stranger, and none before it knows whose it would be.
func TestNobodyElsesList(t *testing.T) {
	town, alice, _ := founder(t)
	_, other, _ := founder(t)
	now := time.Now()
	if err := other.Revoke([]member.Key{membertest.KeyOf(town.NewKey())}, false, now); err != nil {
		t.Fatal(err)
	}
	if newer, err := alice.TakeList(other.List()); newer || err == nil {
		t.Error("a stranger's list is taken")
	}
	if newer, err := town.Ledger(town.NewKey(), nil, nil).TakeList(other.List()); newer || err == nil {
		t.Error("a list is taken by who knows no authority")
	}
	if _, err := alice.TakeList([]byte{1}); err == nil {
		t.Error("a damaged list is taken")
	}
}

// TestTakeOnlyOurOwn keeps no chain that leads to somebody else, or calls this device another account's.
func TestTakeOnlyOurOwn(t *testing.T) {
	town, mayor, _ := founder(t)
	key := town.NewKey()
	bob := town.Ledger(key, nil, nil)
	if err := bob.Take(town.Chain(mayor, membertest.KeyOf(town.NewKey()))); !errors.Is(err, member.Unproven) {
		t.Errorf("somebody else's: %v", err)
	}
	if err := bob.Take([]byte("no chain")); err == nil || bob.Member() {
		t.Error("no chain was taken")
	}
}

// ofBefore returns a ledger as it was kept when each use held the whole chain that the device had got.
func ofBefore(t *testing.T, ledger []byte, chains ...[]byte) *membertest.Vault {
	t.Helper()
	var kept map[string]any
	if err := json.Unmarshal(ledger, &kept); err != nil {
		t.Fatal(err)
	}
	used := kept["invites"].([]any)[0].(map[string]any)["used"].([]any)
	if len(used) != len(chains) {
		t.Fatalf("the invite was used %d times", len(used))
	}
	for i, chain := range chains {
		used[i] = map[string]any{"chain": chain, "at": used[i].(map[string]any)["at"]}
	}
	old, err := json.Marshal(kept)
	vault := &membertest.Vault{}
	if err := errors.Join(err, vault.Save(old)); err != nil {
		t.Fatal(err)
	}
	return vault
}

// Alice, whom Bob has invited, has let in Carol and Dave with a node that kept a whole chain with each. Her new one keeps less, and gives Carol the same certificate again. Then
// Alice falls with Bob, and is let in anew: what she signed before does not rise with her, and the invite is used up.
func TestUsesOfBefore(t *testing.T) {
	town, mayor, _ := founder(t)
	bobs, alices := town.NewKey(), town.NewKey()
	bob, vault := town.Ledger(bobs, nil, nil), &membertest.Vault{}
	alice := town.Ledger(alices, nil, vault)
	if err := errors.Join(bob.Take(town.Chain(mayor, membertest.KeyOf(bobs))), alice.Take(town.Chain(bob, membertest.KeyOf(alices)))); err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	token, _, err := alice.NewInvite("both", 2, now.Add(time.Hour), now)
	if err != nil {
		t.Fatal(err)
	}
	carol, dave := town.Claim(membertest.KeyOf(town.NewKey())), town.Claim(membertest.KeyOf(town.NewKey()))
	carols, err := alice.Redeem(town.Request(token, carol), now)
	if err != nil {
		t.Fatal(err)
	}
	daves, err := alice.Redeem(town.Request(token, dave), now)
	if err != nil {
		t.Fatal(err)
	}
	kept, err := vault.Load()
	if err != nil {
		t.Fatal(err)
	}
	for name, v := range map[string]*membertest.Vault{"as it is kept": vault, "of before": ofBefore(t, kept, carols, daves)} {
		alice := town.Ledger(alices, nil, v)
		if used := alice.Invites(now)[0].Used; len(used) != 2 || used[0] != carol.Device || used[1] != dave.Device {
			t.Errorf("%s: %v were let in", name, used)
		}
		if again, err := alice.Redeem(town.Request(token, carol), now); err != nil || !bytes.Equal(again, carols) {
			t.Errorf("%s: Carol gets another certificate: %v", name, err)
		}
		if _, _, err := alice.NewInvite("more", 1, now.Add(time.Hour), now); err != nil {
			t.Fatal(err)
		}
		if after, err := v.Load(); err != nil || bytes.Count(after, []byte(`"chain"`)) != 1 {
			t.Errorf("%s: whole chains are kept with uses: %v", name, err)
		}
		if err := mayor.Revoke([]member.Key{membertest.KeyOf(bobs)}, true, now); err != nil {
			t.Fatal(err)
		}
		if newer, err := alice.TakeList(mayor.List()); !newer || err != nil {
			t.Fatalf("the list: %v, %v", newer, err)
		}
		if err := alice.Take(town.Chain(mayor, membertest.KeyOf(alices))); err != nil {
			t.Fatal(err)
		}
		if _, err := alice.Redeem(town.Request(token, carol), now); !errors.Is(err, member.UsedInvite) {
			t.Errorf("%s: Carol gets %v", name, err)
		}
	}
}

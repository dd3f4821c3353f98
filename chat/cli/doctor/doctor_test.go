package doctor_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"parley/chat"
	"parley/chat/cli/doctor"
	"parley/chat/home"
)

func noon() time.Time { return time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC) }

// anotherInvite is how the command begins that helps who needs one.
const anotherInvite = "net join "

// well is a node with which all is well.
func well() doctor.Facts {
	return doctor.Facts{
		Sealing: home.ByPassphrase, Up: true, Free: 40 << 30, Files: 65536, Now: noon(),
		Status: chat.Status{
			Ready: true, Since: noon(), Database: "sqlite", Peers: 3, Seeds: 2, Addresses: []string{"/dns/alice.example.org/tcp/4101"}, Reachable: true,
			Network: chat.NetworkStatus{Name: "home", Fingerprint: "K7QD4", Private: true, Joined: true, Seeds: 2},
		},
		Peers: []chat.Peer{{Seed: true, Route: chat.RouteDirect}, {Route: chat.RoutePunched}},
		Own:   chat.Mailboxes{Automatic: true, Hosts: []chat.KeptMailbox{{Host: "seed"}}},
	}
}

func TestAllIsWell(t *testing.T) {
	findings := doctor.Examine(well())
	for _, f := range findings {
		if f.Level != doctor.OK || f.Try != "" || f.Text == "" {
			t.Errorf("%+v", f)
		}
	}
	if len(findings) != 13 || doctor.Worst(findings) != doctor.OK {
		t.Errorf("%d findings, the worst is %q", len(findings), doctor.Worst(findings))
	}
}

// Troubles is everything that can be wrong, each alone.
func TestEveryTroubleIsFoundAndHasARemedy(t *testing.T) {
	for code, trouble := range map[string]struct {
		level doctor.Level
		spoil func(*doctor.Facts)
	}{
		"identity":          {doctor.Warn, func(f *doctor.Facts) { f.Sealing = home.Unsealed }},
		"node":              {doctor.Fail, func(f *doctor.Facts) { f.Up = false }},
		"database.restored": {doctor.Warn, func(f *doctor.Facts) { f.Status.Restored = true }},
		"trouble":           {doctor.Fail, func(f *doctor.Facts) { f.Status.Trouble = "no space left for database" }},
		"network.waiting":   {doctor.Fail, func(f *doctor.Facts) { f.Status.Network.Joined = false }},
		"network.key":       {doctor.Fail, func(f *doctor.Facts) { f.Status.Network.OtherKey = true }},
		"network.removed":   {doctor.Fail, func(f *doctor.Facts) { f.Status.Network.Removed = true }},
		"key.behind": {doctor.Warn, func(f *doctor.Facts) {
			f.Key = chat.KeyRotation{Private: true, Own: true, Made: noon().Add(-2 * time.Hour), Ends: noon(), Followed: make([]chat.Member, 2), Behind: make([]chat.Member, 1)}
		}},
		"seeds.away": {doctor.Fail, func(f *doctor.Facts) { f.Status.Seeds, f.Status.Peers = 0, 0 }},
		"reach.seed": {doctor.Warn, func(f *doctor.Facts) {
			f.Status.Seeds, f.Status.Network.Seeds, f.Status.Reachable = 0, 0, false
		}},
		"reach.refuted":     {doctor.Warn, func(f *doctor.Facts) { f.Status.Reach = chat.Reach{State: chat.ReachNo, Seeds: 2} }},
		"refused.wrong-key": {doctor.Warn, func(f *doctor.Facts) { f.Status.Network.Refused = map[string]uint64{"wrong_key": doctor.ManyStrangers} }},
		"refused.protocol": {doctor.Warn, func(f *doctor.Facts) {
			f.Status.Network.Refused = map[string]uint64{"bad_frame": doctor.ManyStrangers - 1, "banned": 1}
		}},
		"refused.no-member": {doctor.Warn, func(f *doctor.Facts) { f.Status.Network.Refused = map[string]uint64{"revoked": doctor.ManyStrangers} }},
		"refused.mailbox": {doctor.Warn, func(f *doctor.Facts) {
			f.Status.Network.Refused = map[string]uint64{"mailbox_full": doctor.ManyDeposits}
		}},
		"refused.limits": {doctor.Warn, func(f *doctor.Facts) {
			f.Status.Network.Refused = map[string]uint64{"resource_limit": doctor.ManyLimits}
		}},
		"ways.relayed":     {doctor.Warn, func(f *doctor.Facts) { f.Peers[1].Route = chat.RouteRelayed }},
		"mailboxes.none":   {doctor.Warn, func(f *doctor.Facts) { f.Own.Hosts = nil }},
		"mailboxes.away":   {doctor.Warn, func(f *doctor.Facts) { f.Own.Hosts[0].Trouble = "not reachable" }},
		"delivery.waiting": {doctor.Warn, func(f *doctor.Facts) { f.Status.Queued, f.Status.OldestQueue = 3, noon().Add(-time.Hour) }},
		"disk.low":         {doctor.Warn, func(f *doctor.Facts) { f.Free = 100 << 20 }},
		"files.few":        {doctor.Warn, func(f *doctor.Facts) { f.Files = 256 }},
	} {
		facts := well()
		trouble.spoil(&facts)
		var bad []doctor.Finding
		for _, f := range doctor.Examine(facts) {
			if f.Level != doctor.OK {
				bad = append(bad, f)
			}
		}
		if len(bad) != 1 || bad[0].Code != code || bad[0].Level != trouble.level || bad[0].Try == "" || bad[0].Text == "" {
			t.Errorf("%s: found %+v", code, bad)
		}
	}
}

// A node that still has others around it is worse off without seeds, and works.
func TestSeedsAreAwayAndPeersAreThere(t *testing.T) {
	facts := well()
	facts.Status.Seeds = 0
	if worst := doctor.Worst(doctor.Examine(facts)); worst != doctor.Warn {
		t.Errorf("the worst is %q", worst)
	}
}

// What comes to so much in a day is nothing to worry about.
func TestRefusalsOfADayAreNoTrouble(t *testing.T) {
	facts := well()
	facts.Status.Network.Refused = map[string]uint64{"wrong_key": 2 * doctor.ManyStrangers, "rate_limited": 2 * doctor.ManyLimits}
	facts.Now = noon().Add(24 * time.Hour)
	if worst := doctor.Worst(doctor.Examine(facts)); worst != doctor.OK {
		t.Errorf("the worst is %q", worst)
	}
}

// A node at a home whose router lets others in is as good as any.
func TestWhomSeedsHaveDialledCanBeDialled(t *testing.T) {
	facts := well()
	facts.Status.Reachable, facts.Status.Reach = false, chat.Reach{State: chat.ReachYes, Seeds: 2}
	for _, f := range doctor.Examine(facts) {
		if f.Code == "reach" && !strings.Contains(f.Text, "confirmed by 2 seeds") {
			t.Errorf("it says %q", f.Text)
		}
	}
}

// Who is behind has time until the grace ends, and who has not made the network cannot know.
func TestAKeyThatWasChangedIsNoTrouble(t *testing.T) {
	for name, k := range map[string]chat.KeyRotation{
		"in the grace":         {Private: true, Own: true, Made: noon().Add(-time.Hour), Ends: noon().Add(time.Hour), Behind: make([]chat.Member, 1)},
		"made by others":       {Private: true, Made: noon().Add(-time.Hour), Ends: noon(), Behind: make([]chat.Member, 1)},
		"all have followed":    {Private: true, Own: true, Made: noon().Add(-time.Hour), Ends: noon(), Followed: make([]chat.Member, 3)},
		"the key of last year": {Private: true},
	} {
		facts := well()
		facts.Key = k
		if worst := doctor.Worst(doctor.Examine(facts)); worst != doctor.OK {
			t.Errorf("%s: the worst is %q", name, worst)
		}
	}
}

func TestAShortWaitIsNoTrouble(t *testing.T) {
	facts := well()
	facts.Status.Queued, facts.Status.OldestQueue = 3, noon().Add(-time.Minute)
	if worst := doctor.Worst(doctor.Examine(facts)); worst != doctor.OK {
		t.Errorf("the worst is %q", worst)
	}
}

// Who waits to be let in is told once why, with the command that helps: both findings say the same.
func TestWhoWaitsIsToldWhatHelps(t *testing.T) {
	type told struct{ network, seeds, try string }
	for trouble, want := range map[string]struct {
		waitsFor string
		told
	}{
		"connecting to the network's seeds": {chat.WaitsForAnswer, told{"no node of it has answered yet", "none of 2 answers: connecting to", "status"}},
		"no seed answers (last error: connection refused), retrying in 5s": {chat.WaitsForAnswer, told{
			"no node of it has answered yet", "none of 2 answers: no seed answers (", "status",
		}},
		"who made the invite is not connected now, and has to be, retrying in 5s": {chat.WaitsForMember, told{
			"who made the invite is not connected now, and has to be; this device goes on trying",
			"none of 2 is connected: who made the invite is not connected now, and has to be", "status",
		}},
		"the invite was used already, retrying in 5s": {chat.WaitsForInvite, told{
			"the invite was used already; ask a member for a new invite", "none of 2 is connected: the invite was used already", anotherInvite,
		}},
		"no space left for database": {chat.WaitsForAnswer, told{"no node of it has answered yet", "none of 2 answers: no space left", "status"}},
	} {
		facts := well()
		facts.Status.Trouble, facts.Status.Seeds, facts.Status.Peers, facts.Status.Network.Joined = trouble, 0, 0, false
		facts.Status.Network.WaitsFor = want.waitsFor
		bad := 0
		for _, f := range doctor.Examine(facts) {
			text := map[string]string{"network.waiting": want.network, "seeds.away": want.seeds}[f.Code]
			if f.Level == doctor.OK {
				continue
			}
			bad++
			if text == "" || !strings.Contains(f.Text, text) || !strings.HasPrefix(f.Try, want.try) || f.Level != doctor.Fail {
				t.Errorf("%s: found %+v", trouble, f)
			}
		}
		if bad != 2 {
			t.Errorf("%s: %d findings", trouble, bad)
		}
	}
}

// Seeds that do not answer for long may be somewhere else, and a member knows where.
func TestWhoWaitsForLongIsToldOfALink(t *testing.T) {
	for joined, codes := range map[bool][]string{true: {"seeds.away"}, false: {"network.waiting", "seeds.away"}} {
		facts := well()
		facts.Status.Seeds, facts.Status.Peers, facts.Status.Network.Joined, facts.Status.Network.WaitsFor = 0, 0, joined, chat.WaitsForAnswer
		facts.Status.Trouble = "no seed answers (last error: connection refused), retrying in 5s"
		facts.Now = noon().Add(doctor.SeedPatience)
		var found []string
		for _, f := range doctor.Examine(facts) {
			if f.Level == doctor.OK {
				continue
			}
			found = append(found, f.Code)
			if !strings.HasPrefix(f.Try, anotherInvite) || !strings.Contains(f.Text, "where the seeds have moved") || strings.Contains(f.Text, "retrying") {
				t.Errorf("joined %v: %+v", joined, f)
			}
		}
		if !slices.Equal(found, codes) {
			t.Errorf("joined %v: found %v", joined, found)
		}
	}
}

// What is not known is not called well.
func TestAnOlderKeyIsNotTheNewest(t *testing.T) {
	facts := well()
	facts.Status.Network.OtherKey, facts.Key = true, chat.KeyRotation{Private: true}
	for _, f := range doctor.Examine(facts) {
		if f.Code == "key" && !strings.Contains(f.Text, "not known here") {
			t.Errorf("%+v", f)
		}
	}
}

// Of a node that says nothing only that is said, and what is known of the machine.
func TestASilentNode(t *testing.T) {
	facts := well()
	facts.Up, facts.Silent = false, true
	findings := doctor.Examine(facts)
	if len(findings) != 4 || findings[1].Code != "node.silent" || findings[1].Level != doctor.Fail || findings[1].Try != "up" {
		t.Errorf("%+v", findings)
	}
}

// Where there is nobody to choose among, somebody has to come; who has chosen nobody can let the node choose.
func TestWhoHasNoMailboxIsToldWhatHelps(t *testing.T) {
	for try, spoil := range map[string]func(*doctor.Facts){
		"net invite":   func(f *doctor.Facts) { f.Status.Network.Seeds = 0 },
		"mailbox auto": func(f *doctor.Facts) { f.Status.Network.Seeds, f.Own.Automatic = 0, false },
	} {
		facts := well()
		facts.Own.Hosts = nil
		spoil(&facts)
		for _, f := range doctor.Examine(facts) {
			if f.Code == "mailboxes.none" && f.Try != try {
				t.Errorf("want %s: %+v", try, f)
			}
		}
	}
}

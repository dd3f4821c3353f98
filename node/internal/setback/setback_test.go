package setback

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/net/swarm"

	"parley/node/member"
)

// Two seeds are tried again and again, in whatever order. What tells most is shown, and stays until the seed that has said it says something else.
func TestWhatTellsMostIsShown(t *testing.T) {
	refused, silent := errors.New("connection refused"), "no seed answers (last error: connection refused)"
	type attempt struct {
		seed peer.ID
		err  error
	}
	for name, story := range map[string]struct {
		attempts []attempt
		late     bool
		shown    string
	}{
		"nothing yet":                           {nil, false, "connecting to the network's seeds"},
		"nobody is there":                       {[]attempt{{"A", refused}, {"B", errors.New("no answer in time")}, {"A", refused}}, false, silent},
		"no address, and nobody":                {[]attempt{{"A", ErrUnknown}, {"B", refused}}, false, silent},
		"the issuer is away":                    {[]attempt{{"A", refused}, {"B", member.IssuerAway}, {"A", refused}}, false, member.IssuerAway.Error()},
		"away, as was said first":               {[]attempt{{"B", member.IssuerAway}, {"A", refused}, {"A", refused}}, false, member.IssuerAway.Error()},
		"away, and one is no member":            {[]attempt{{"A", member.NoMember}, {"B", member.IssuerAway}, {"A", member.NoMember}}, false, member.IssuerAway.Error()},
		"away, and then too busy to say it":     {[]attempt{{"B", member.IssuerAway}, {"B", member.Busy}}, false, member.IssuerAway.Error()},
		"away, and then gone in the middle":     {[]attempt{{"B", member.IssuerAway}, {"B", member.ErrGone}}, false, member.IssuerAway.Error()},
		"away, and dialled by another meantime": {[]attempt{{"B", member.IssuerAway}, {"B", fmt.Errorf("dial: %w", swarm.ErrDialBackoff)}}, false, member.IssuerAway.Error()},
		"too busy alone":                        {[]attempt{{"A", refused}, {"B", member.Busy}}, false, member.Busy.Error()},
		"the invite is used":                    {[]attempt{{"A", member.UsedInvite}, {"B", member.IssuerAway}, {"B", refused}}, false, member.UsedInvite.Error()},
		"somebody says that we were removed":    {[]attempt{{"A", member.UsedInvite}, {"B", member.Revoked}}, false, member.Revoked.Error()},
		"who said it has gone":                  {[]attempt{{"A", refused}, {"B", member.IssuerAway}, {"B", refused}}, false, silent},
		"an outsider":                           {[]attempt{{"A", refused}, {"B", &member.Outsider{Verdict: member.Unproven}}}, false, "the node there is not a member of the network"},
		"too old, and nobody is there":          {[]attempt{{"A", refused}}, true, expired},
		"too old, and the issuer is away":       {[]attempt{{"A", refused}, {"B", member.IssuerAway}}, true, expired},
		"too old, and used":                     {[]attempt{{"A", member.UsedInvite}}, true, member.UsedInvite.Error()},
		"too old, before an attempt has ended":  {nil, true, expired},
	} {
		var log Log
		for _, a := range story.attempts {
			log.Note(a.seed, a.err, true, time.Now().Add(time.Minute))
		}
		if text, _, _ := strings.Cut(log.Most(story.late).Text(), ", retrying in "); text != story.shown {
			t.Errorf("%s: %q", name, text)
		}
		log.Over()
		if text := log.Most(false).Text(); text != "connecting to the network's seeds" {
			t.Errorf("%s, and then all is well: %q", name, text)
		}
	}
}

// The time of the next attempt is that of the seed whose words are shown.
func TestTroubleSaysWhenItIsTriedAgain(t *testing.T) {
	var log Log
	log.Note("A", errors.New("connection refused"), false, time.Now().Add(time.Hour))
	log.Note("B", member.IssuerAway, false, time.Now().Add(30*time.Second))
	log.Note("B", member.Busy, false, time.Now().Add(time.Minute))
	if text := log.Most(false).Text(); !strings.HasSuffix(text, ", retrying in 1m0s") {
		t.Errorf("it says %q", text)
	}
}

// Beside the words stands for programs what would help.
func TestTroubleSaysWhatWouldHelp(t *testing.T) {
	for want, errs := range map[string][]error{
		WaitsForAnswer: {nil, ErrUnknown, errors.New("connection refused"), fmt.Errorf("dial: %w", swarm.ErrDialBackoff)},
		WaitsForMember: {member.IssuerAway, member.Busy, member.NoMember, member.Unproven, member.Verdict(99), &member.Outsider{Verdict: member.Revoked}},
		WaitsForInvite: {member.UnknownInvite, member.ExpiredInvite, member.UsedInvite, member.RevokedInvite, member.MayNotInvite, member.Revoked},
	} {
		for _, err := range errs {
			var log Log
			if err != nil {
				log.Note("A", err, true, time.Now().Add(time.Minute))
			}
			if helps := log.Most(false).WaitsFor(); helps != want {
				t.Errorf("%v: %q helps, want %q", err, helps, want)
			}
		}
	}
}

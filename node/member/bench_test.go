package member_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"parley/node/member"
	"parley/node/member/membertest"
)

// disk is a vault in a folder, as cheap as one that keeps what it is given can be.
type disk string

// Load implements member.Vault.
func (d disk) Load() ([]byte, error) { return nil, nil }

// Save implements member.Vault.
func (d disk) Save(ledger []byte) error { return os.WriteFile(string(d), ledger, 0o600) }

// BenchmarkThousandMeet is what it costs to meet a member for the first time, where there are a thousand.
func BenchmarkThousandMeet(b *testing.B) {
	const crowd = 1000
	town, key := membertest.NewTown(b), membertest.NewKey(b)
	mayor := town.Ledger(membertest.NewKey(b), town.Authority, nil)
	chains, devices := make([]member.Chain, crowd), make([]member.Key, crowd)
	for i := range crowd {
		devices[i] = membertest.KeyOf(town.NewKey())
		var err error
		if chains[i], err = member.ParseChain(town.Chain(mayor, devices[i])); err != nil {
			b.Fatal(err)
		}
	}
	for b.Loop() {
		alice := town.Ledger(key, nil, disk(filepath.Join(b.TempDir(), "ledger")))
		if err := alice.Take(town.Chain(mayor, membertest.KeyOf(key))); err != nil {
			b.Fatal(err)
		}
		for i, c := range chains {
			alice.Judge(c, devices[i])
		}
		if n := len(alice.Members()); n != crowd+1 {
			b.Fatalf("%d are known", n)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N)/crowd, "µs/meeting")
}

// BenchmarkCrowdOfOneDevice is what it costs to look at a member where Mallory was thrown out, who had certified a second device of hers 500 times, and with that 500 that
// she made up.
func BenchmarkCrowdOfOneDevice(b *testing.B) {
	const crowd = 500
	town := membertest.NewTown(b)
	mayor := town.Ledger(town.NewKey(), town.Authority, nil)
	second := town.NewKey()
	mallory, her := town.Member(second), membertest.KeyOf(second) // as it is in the end
	first := town.NewKey()
	phone := town.Ledger(first, nil, nil)
	if err := phone.Take(town.Chain(mayor, membertest.KeyOf(first))); err != nil {
		b.Fatal(err)
	}
	judge := func(chain []byte, device member.Key) {
		c, err := member.ParseChain(chain)
		if err != nil || mayor.Judge(c, device) != member.Admitted {
			b.Fatal("not let in", err)
		}
	}
	for range crowd {
		chain := town.Chain(phone, her)
		judge(chain, her)
		if err := mallory.Take(chain); err != nil {
			b.Fatal(err)
		}
	}
	for range crowd {
		device := membertest.KeyOf(town.NewKey())
		judge(town.Chain(mallory, device), device)
	}
	if err := mayor.Revoke([]member.Key{membertest.KeyOf(first), her}, false, time.Now()); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		mayor.Outcast(member.Key{})
	}
}

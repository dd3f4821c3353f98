package node_test

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"parley/node/nodetest"
)

// figuresOf returns the figures of a device by name, and by name{label} where there is a label.
func figuresOf(t *testing.T, d *nodetest.Device) map[string]float64 {
	t.Helper()
	registry := prometheus.NewPedanticRegistry()
	if err := registry.Register(d.Figures()); err != nil {
		t.Fatal(err)
	}
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	all := make(map[string]float64)
	for _, family := range families {
		for _, m := range family.GetMetric() {
			name := family.GetName()
			for _, l := range m.GetLabel() {
				name += "{" + l.GetValue() + "}"
			}
			all[name] = m.GetGauge().GetValue() + m.GetCounter().GetValue()
		}
	}
	return all
}

// TestFigures tells who is connected and what was refused, in a closed set of words.
func TestFigures(t *testing.T) {
	alice, bob := couple(t, nodetest.Private)
	deliverAll(t, alice, bob, letters(1))
	before := figuresOf(t, bob)
	if before["parley_node_peers"] < 1 || before["parley_node_connections{lan}"] < 1 || before["parley_node_connections{relayed}"] != 0 {
		t.Errorf("Bob, who talks to Alice: %v", before)
	}
	h := mallory(t, bob)
	flood(t, h, bob, "/parley/directory/1", 3, []byte{0x80, 0x00}) // a length that is not minimal
	nodetest.WaitFor(t, "Bob to count", func() bool { return figuresOf(t, bob)["parley_node_refused_total{bad_frame}"] == 3 })
	names := slices.Sorted(maps.Keys(figuresOf(t, bob)))
	reasons := 0
	for _, name := range names {
		if strings.HasPrefix(name, "parley_node_refused_total{") {
			reasons++
		}
		if strings.Contains(name, "12D3") || len(name) > 60 {
			t.Errorf("%s names somebody", name)
		}
	}
	if reasons != len(bob.Refused()) || reasons < 15 {
		t.Errorf("%d reasons: %v", reasons, names)
	}
}

// TestWhoBreaksTheProtocolIsHungUpOn has Mallory, a member, write nonsense until Bob has had enough; Alice is served as before.
func TestWhoBreaksTheProtocolIsHungUpOn(t *testing.T) {
	alice, bob := couple(t, nodetest.Private)
	deliverAll(t, alice, bob, letters(1))
	h := mallory(t, bob)
	for range 3 {
		flood(t, h, bob, "/parley/directory/1", 10, []byte{0x80, 0x00})
	}
	nodetest.WaitFor(t, "Bob to hang up", func() bool { return len(h.Network().ConnsToPeer(bob.ID())) == 0 })
	if err := h.Connect(nodetest.Context(t), bob.Info()); err == nil {
		nodetest.WaitFor(t, "Bob to hang up again", func() bool { return len(h.Network().ConnsToPeer(bob.ID())) == 0 })
	}
	if counted := bob.Refused(); counted["banned"] < 2 {
		t.Errorf("nobody is shut out: %v", counted)
	}
	deliverAll(t, alice, bob, letters(3)[1:])
}

package node

import (
	"context"

	"github.com/prometheus/client_golang/prometheus"

	"parley/node/mailbox"
	"parley/node/reach"
)

// figure describes one figure of the node; labels are the names of what tells its values apart, and never name a peer.
func figure(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc(name, help, labels, nil)
}

// Figures returns what collects the figures of a node, for a Prometheus.
func (n *Node) Figures() prometheus.Collector { return figures{n} }

type figures struct{ *Node }

// Describe implements prometheus.Collector. What is collected is described when it is: there are few figures, and no state between two looks.
func (figures) Describe(chan<- *prometheus.Desc) {}

// Collect implements prometheus.Collector.
func (n figures) Collect(out chan<- prometheus.Metric) {
	refused := figure("parley_node_refused_total", "What was refused in this run, by reason.", "reason")
	for reason, times := range n.Refused() {
		out <- prometheus.MustNewConstMetric(refused, prometheus.CounterValue, float64(times), reason)
	}
	ways := map[string]int{reach.LAN: 0, reach.Direct: 0, reach.Punched: 0, reach.Relayed: 0}
	peers := n.peers()
	for _, p := range peers {
		for _, c := range n.host.Network().ConnsToPeer(p) {
			ways[n.ways.Route(c)]++
		}
	}
	conns := figure("parley_node_connections", "Connections to members, by the way that they take.", "route")
	for way, count := range ways {
		out <- prometheus.MustNewConstMetric(conns, prometheus.GaugeValue, float64(count), way)
	}
	gauge := func(name, help string, value int64) {
		out <- prometheus.MustNewConstMetric(figure(name, help), prometheus.GaugeValue, float64(value))
	}
	gauge("parley_node_peers", "Members that are connected.", int64(len(peers)))
	gauge("parley_node_seeds", "Seeds that are connected.", int64(n.SeedsConnected()))
	gauge("parley_node_open_connections", "All connections, also of those who are not admitted yet.", int64(len(n.host.Network().Conns())))
	n.collectMailboxes(gauge)
}

// collectMailboxes says how much the node keeps for others, where it keeps anything and its store can tell.
func (n figures) collectMailboxes(gauge func(name, help string, value int64)) {
	store, ok := n.cfg.Mailboxes.(mailbox.Counter)
	if !ok {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), CollectTimeout)
	defer cancel()
	owners, boxes, bytes, err := store.Held(ctx)
	if err != nil {
		return
	}
	gauge("parley_node_mailboxes", "Mailboxes that are kept here for others.", int64(owners))
	gauge("parley_node_mailbox_boxes", "Boxes in them.", int64(boxes))
	gauge("parley_node_mailbox_bytes", "Bytes of these boxes.", bytes)
}

package chat

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// figure describes one figure of the messenger; labels are the names of what tells its values apart.
func figure(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc(name, help, labels, nil)
}

// Figures returns what collects the figures of a messenger, for a Prometheus.
func (m *Messenger) Figures() prometheus.Collector { return figures{m} }

type figures struct{ *Messenger }

// Describe implements prometheus.Collector. What is collected is described when it is: there are few figures, and no state between two looks.
func (figures) Describe(chan<- *prometheus.Desc) {}

// Collect implements prometheus.Collector. Where the database does not answer it says nothing of what is in it.
func (m figures) Collect(out chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), collectTimeout)
	defer cancel()
	gauge := func(name, help string, value float64) {
		out <- prometheus.MustNewConstMetric(figure(name, help), prometheus.GaugeValue, value)
	}
	s, err := m.Status(ctx)
	gauge("parley_chat_trouble", "1 where something is wrong right now, as status says.", truth(err != nil || s.Trouble != ""))
	if err != nil {
		return
	}
	gauge("parley_chat_outbox_messages", "Messages that wait to be sent.", float64(s.Queued))
	oldest := 0.0
	if s.Queued > 0 {
		oldest = time.Since(s.OldestQueue).Seconds()
	}
	gauge("parley_chat_outbox_oldest_seconds", "For how long the oldest of them has waited.", oldest)
	gauge("parley_chat_contacts", "Contacts.", float64(s.Contacts))
	gauge("parley_chat_requests", "Accounts that wait for an answer.", float64(s.Requests))
	gauge("parley_chat_mailboxes", "Hosts that keep a mailbox for this device.", float64(s.Mailboxes))
	gauge("parley_chat_started_timestamp_seconds", "When this run began.", float64(s.Since.Unix()))
	out <- prometheus.MustNewConstMetric(figure("parley_chat_events_total", "Events since the device was made."), prometheus.CounterValue, float64(s.LastEvent))
}

func truth(yes bool) float64 {
	if yes {
		return 1
	}
	return 0
}

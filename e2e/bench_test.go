package e2e

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"parley/chat"
)

const (
	// benchBurst is how many messages one round of BenchmarkThroughput sends.
	benchBurst = 2000
	// benchSenders is how many of them are given to the node at once.
	benchSenders = 64
	// rawRounds is how often the machine itself is measured beside each figure.
	rawRounds = 200
	// rawRecord is the size of what the machine itself writes and sends: about what a short message takes in a database.
	rawRecord = 512
	// idleTime is how long a node that has nothing to do is looked at.
	idleTime = 5 * time.Second
	// clockTicks is how many ticks a second of processor time has in /proc, on every Linux that Go runs on.
	clockTicks = 100
)

// BenchmarkDelivered measures the time from a send to the state delivered, one message at a time between two nodes, beside what
// it cannot be faster than: a round trip over TCP and a durable write on each side.
func BenchmarkDelivered(b *testing.B) {
	alice, bob := pair(b)
	from := bob.end("Alice")
	raw := measure(rawRounds, rawHop(b))
	var took []time.Duration
	for b.Loop() {
		begin := time.Now()
		m, err := from.client.Send(b.Context(), chat.Draft{Conversation: from.with, Text: "hello"})
		if err == nil {
			_, err = from.client.Wait(b.Context(), m.ID, chat.StateDelivered)
		}
		if err != nil {
			b.Fatal(err)
		}
		took = append(took, time.Since(begin))
	}
	if !alice.node.running() {
		b.Fatal("Alice's node has ended")
	}
	report(b, took, raw)
}

// BenchmarkThroughput measures durable messages a second, one way, from the first send until all are stored by the receiver, beside
// the durable writes a second that one writer alone gets from the same disk.
func BenchmarkThroughput(b *testing.B) {
	alice, bob := pair(b)
	from, to := bob.end("Alice"), alice.end("Bob")
	raw := quantile(measure(rawRounds, rawWrite(b)), 50)
	heard := newLedger()
	ctx, cancel := context.WithCancel(b.Context())
	var listening sync.WaitGroup
	listening.Go(func() {
		if err := to.follow(ctx, heard, newLedger()); err != nil {
			b.Error(err)
		}
	})
	sent := 0
	for b.Loop() {
		pour(b, from, sent, benchBurst)
		sent += benchBurst
		await(b, burstTime, "everything is stored", func() bool { return heard.shownCount() >= sent })
	}
	rate := float64(sent) / b.Elapsed().Seconds()
	cancel()
	listening.Wait()
	b.ReportMetric(rate, "messages/s")
	b.ReportMetric(rate*raw.Seconds(), "messages/raw-write")
}

// pour sends n messages from many senders at once.
func pour(b *testing.B, from *end, first, n int) {
	b.Helper()
	next := make(chan int, n)
	for i := range n {
		next <- first + i
	}
	close(next)
	var senders sync.WaitGroup
	for range benchSenders {
		senders.Go(func() {
			for i := range next {
				text := fmt.Sprintf("bench-%d %s", i, strings.Repeat("x", 200))
				if _, err := from.client.Send(b.Context(), chat.Draft{Conversation: from.with, Text: text}); err != nil {
					b.Error(err)
				}
			}
		})
	}
	senders.Wait()
}

// BenchmarkStartToReady measures how long a node takes from its start until it says that it is ready, beside the start of the same
// program for nothing but its version.
func BenchmarkStartToReady(b *testing.B) {
	alice, _ := pair(b)
	raw := measure(10, startOf(alice))
	var took []time.Duration
	for b.Loop() {
		b.StopTimer()
		alice.node.stop()
		b.StartTimer()
		begin := time.Now()
		alice.start()
		took = append(took, time.Since(begin))
	}
	report(b, took, raw)
}

// BenchmarkFirstDelivery measures the time from the start of three processes that never met until the first message between two of
// them is delivered, beside the start of the same program for nothing but its version.
func BenchmarkFirstDelivery(b *testing.B) {
	raw := measure(10, startOf(newWorld(b).person("Nobody")))
	var took []time.Duration
	for b.Loop() {
		took = append(took, firstDelivery(b, engines()["sqlite"]))
	}
	report(b, took, raw)
}

// BenchmarkIdle measures the memory and the processor time of a node with two contacts and nothing to do, beside those of the same
// program that only waits for its node.
func BenchmarkIdle(b *testing.B) {
	_, alice, _ := newWorld(b).aliceAndBob(engines()["sqlite"])
	reader := alice.background("recv", "--follow")
	for b.Loop() {
		node, beside := cpuTime(b, alice.node), cpuTime(b, reader)
		<-time.After(idleTime)
		b.ReportMetric(perSecond(cpuTime(b, alice.node)-node), "cpu-ms/s")
		b.ReportMetric(perSecond(cpuTime(b, reader)-beside), "raw-cpu-ms/s")
	}
	mine, raw := memory(b, alice.node), memory(b, reader)
	b.ReportMetric(mine, "MiB")
	b.ReportMetric(raw, "raw-MiB")
	b.ReportMetric(mine/raw, "MiB/raw")
}

func perSecond(cpu time.Duration) float64 { return cpu.Seconds() * 1000 / idleTime.Seconds() }

// pair returns two people who know each other, on two nodes: Alice's is the seed.
func pair(b *testing.B) (alice, bob *person) {
	b.Helper()
	w := newWorld(b)
	alice, bob = w.person("Alice"), w.person("Bob")
	alice.options = []string{"--seed"}
	alice.ok("init", "--name", "Alice", "--no-passphrase")
	alice.start()
	bob.joins(alice.invite()).start()
	alice.knows("Bob")
	return alice, bob
}

// report writes what something took, and how often what the machine itself takes goes into it.
func report(b *testing.B, took, raw []time.Duration) {
	b.Helper()
	ms := func(d time.Duration) float64 { return d.Seconds() * 1000 }
	b.ReportMetric(ms(quantile(took, 50)), "p50-ms")
	b.ReportMetric(ms(quantile(took, 99)), "p99-ms")
	b.ReportMetric(ms(quantile(raw, 50)), "raw-p50-ms")
	b.ReportMetric(ms(quantile(took, 50))/ms(quantile(raw, 50)), "p50/raw")
}

// quantile returns the time that so many percent stayed below.
func quantile(took []time.Duration, percent int) time.Duration {
	sorted := slices.Sorted(slices.Values(took))
	return sorted[(len(sorted)-1)*percent/100]
}

// measure returns how long each of some rounds of work takes.
func measure(rounds int, work func()) []time.Duration {
	took := make([]time.Duration, rounds)
	for i := range took {
		begin := time.Now()
		work()
		took[i] = time.Since(begin)
	}
	return took
}

// startOf returns the start and end of the program, with nothing in between.
func startOf(p *person) func() {
	return func() { p.ok("version") }
}

// rawWrite returns one durable write of a small record.
func rawWrite(b *testing.B) func() {
	b.Helper()
	f, err := os.Create(filepath.Join(b.TempDir(), "raw"))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { f.Close() })
	record := make([]byte, rawRecord)
	return func() {
		_, err := f.Write(record)
		if err := errors.Join(err, f.Sync()); err != nil {
			b.Fatal(err)
		}
	}
}

// rawHop returns a durable write, a round trip over TCP, and another durable write.
func rawHop(b *testing.B) func() {
	b.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	var echo sync.WaitGroup
	echo.Go(func() {
		if c, err := l.Accept(); err == nil {
			_, _ = io.Copy(c, c) // until the other end closes
			c.Close()
		}
	})
	c, err := net.Dial("tcp4", l.Addr().String())
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		c.Close()
		echo.Wait()
		l.Close()
	})
	here, there, record := rawWrite(b), rawWrite(b), make([]byte, rawRecord)
	return func() {
		here()
		_, err := c.Write(record)
		there()
		if _, err2 := io.ReadFull(c, record); errors.Join(err, err2) != nil {
			b.Fatal(err, err2)
		}
	}
}

// memory returns the resident memory of a process in MiB.
func memory(b testing.TB, p *process) float64 {
	b.Helper()
	_, rest, _ := strings.Cut(procFile(b, p, "status"), "VmRSS:")
	kib, err := strconv.Atoi(strings.Fields(rest)[0])
	if err != nil {
		b.Fatal(err)
	}
	return float64(kib) / 1024
}

// cpuTime returns the processor time that a process has used so far.
func cpuTime(b testing.TB, p *process) time.Duration {
	b.Helper()
	_, rest, _ := strings.Cut(procFile(b, p, "stat"), ") ")
	fields := strings.Fields(rest) // utime and stime are fields 14 and 15 of proc(5), the twelfth and thirteenth from here
	user, err1 := strconv.Atoi(fields[11])
	system, err2 := strconv.Atoi(fields[12])
	if err := errors.Join(err1, err2); err != nil {
		b.Fatal(err)
	}
	return time.Duration(user+system) * time.Second / clockTicks
}

func procFile(b testing.TB, p *process, name string) string {
	b.Helper()
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", p.pid(), name))
	if err != nil {
		b.Skip("this system does not show its processes: ", err)
	}
	return string(data)
}

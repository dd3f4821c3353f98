package seal_test

import (
	"testing"

	"parley/chat/internal/seal"
)

func BenchmarkInitiate(b *testing.B) {
	x, y := newEnd("a"), newEnd("b")
	y.offerOneTime()
	for b.Loop() {
		x.initiate(b, y)
	}
}

// BenchmarkRespond answers a first flight and opens the packet in it, as nothing is proven before.
func BenchmarkRespond(b *testing.B) {
	x, y := newEnd("a"), newEnd("b")
	y.offerOneTime()
	p, err := seal.Parse(put(b, x.initiate(b, y), "hello"))
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		s, err := seal.Respond(y.party, x.party, p.First, y.answer())
		if err != nil {
			b.Fatal(err)
		}
		if _, _, err := s.Open(p); err != nil {
			b.Fatal(err)
		}
	}
}

// confirmed makes a session whose next packet is short.
func confirmed(b *testing.B) (as, bs *seal.Session) {
	_, _, as, bs = meet(b)
	_, _, chain, err := as.Seal([]byte("x"))
	if err != nil {
		b.Fatal(err)
	}
	as.Confirm(chain)
	return as, bs
}

func BenchmarkSealShort256(b *testing.B) {
	as, _ := confirmed(b)
	body := make([]byte, 256)
	for b.Loop() {
		if _, _, _, err := as.Seal(body); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkOpenShort256 opens packets that were sealed before, in order.
func BenchmarkOpenShort256(b *testing.B) {
	_, _, as, bs := meet(b)
	get(b, bs, put(b, as, "begins the chain"))
	as.Confirm(as.Loot().Ours)
	const many = 4096
	packets, state := make([]*seal.Packet, many), bs.Marshal()
	for i := range packets {
		p, err := seal.Parse(put(b, as, string(make([]byte, 256))))
		if err != nil {
			b.Fatal(err)
		}
		packets[i] = p
	}
	i := many
	for b.Loop() {
		if i == many {
			b.StopTimer()
			bs, i = restore(b, state), 0
			b.StartTimer()
		}
		if _, _, err := bs.Open(packets[i]); err != nil {
			b.Fatal(err)
		}
		i++
	}
}

// BenchmarkTurn is a message each way, each on a new chain.
func BenchmarkTurn(b *testing.B) {
	_, _, as, bs := meet(b)
	for b.Loop() {
		get(b, bs, put(b, as, "ping"))
		get(b, as, put(b, bs, "pong"))
	}
}

func BenchmarkMarshal(b *testing.B) {
	_, _, as, bs := meet(b)
	get(b, bs, put(b, as, "x"))
	for b.Loop() {
		bs.Marshal()
	}
	b.ReportMetric(float64(len(bs.Marshal())), "state-bytes")
}

func BenchmarkParseSession(b *testing.B) {
	_, _, as, bs := meet(b)
	get(b, bs, put(b, as, "x"))
	state := bs.Marshal()
	for b.Loop() {
		restore(b, state)
	}
}

// BenchmarkMarshalFull has as many kept keys as there may be.
func BenchmarkMarshalFull(b *testing.B) {
	_, _, as, bs := meet(b)
	for range 2 {
		var last []byte
		for range seal.MaxSkip + 1 {
			last = put(b, as, "x")
		}
		get(b, bs, last)
	}
	for b.Loop() {
		bs.Marshal()
	}
	b.ReportMetric(float64(len(bs.Marshal())), "state-bytes")
}

// BenchmarkBatch256 opens a delivery of 256 packets: one state read, 256 opened, one state written.
func BenchmarkBatch256(b *testing.B) {
	_, _, as, bs := meet(b)
	get(b, bs, put(b, as, "begins the chain"))
	as.Confirm(as.Loot().Ours)
	state := bs.Marshal()
	var packets [][]byte
	for range 256 {
		packets = append(packets, put(b, as, string(make([]byte, 256))))
	}
	for b.Loop() {
		s := restore(b, state)
		for _, p := range packets {
			if _, _, err := open(s, p); err != nil {
				b.Fatal(err)
			}
		}
		s.Marshal()
	}
}

package seal

import (
	"encoding/binary"
	"fmt"

	"parley/chat/internal/wire"
)

const generationVersion = 1

// Generation is one set of the keys that a device publishes: others seal boxes to its envelope key, and begin sessions with the
// other two. A device keeps several, so that what is on its way to an older one still opens.
type Generation struct {
	Number uint32
	Made   int64 // in seconds of the device's own time: chat's elapsed.go

	Signed   ExchangeKey
	LastKEM  KEMKey
	Envelope EnvelopeKey
	seed     secret // of Envelope
}

// NewGeneration makes a set of keys.
func NewGeneration(number uint32, made int64) (Generation, error) {
	g := Generation{Number: number, Made: made, Signed: NewExchangeKey(), LastKEM: NewKEMKey()}
	mustRandom(g.seed[:])
	var err error
	g.Envelope, err = NewEnvelopeKey(g.seed[:])
	return g, err
}

// Prekeys returns the public halves, as the device's record lists them.
func (g Generation) Prekeys() []wire.Prekey {
	return []wire.Prekey{
		{Purpose: wire.PurposeSigned, Key: g.Signed.Public()},
		{Purpose: wire.PurposeLastKEM, Key: g.LastKEM.Public()},
		{Purpose: wire.PurposeEnvelope, Key: g.Envelope.Public()},
	}
}

// Marshal returns the generation with its secrets: keep it sealed.
func (g Generation) Marshal() []byte {
	b := binary.BigEndian.AppendUint32([]byte{generationVersion}, g.Number)
	b = binary.BigEndian.AppendUint64(b, uint64(g.Made))
	b = append(b, g.Signed.bytes[:]...)
	b = append(b, g.LastKEM.seed[:]...)
	return append(b, g.seed[:]...)
}

// ParseGeneration reads what Marshal wrote.
func ParseGeneration(b []byte) (Generation, error) {
	r := wire.NewReader(b)
	r.Version(generationVersion)
	g := Generation{Number: r.U32(), Made: int64(r.U64())}
	r.Fill(g.Signed.bytes[:])
	r.Fill(g.LastKEM.seed[:])
	r.Fill(g.seed[:])
	if err := r.Close(); err != nil {
		return Generation{}, fmt.Errorf("key generation: %w", err)
	}
	var err error
	g.Envelope, err = NewEnvelopeKey(g.seed[:])
	return g, err
}

// Format says which generation it is, whatever the verb.
func (g Generation) Format(f fmt.State, _ rune) {
	_, _ = fmt.Fprintf(f, "[key generation %d]", g.Number)
}

// OneTimePair is what a device keeps of a pair that it gives away once.
type OneTimePair struct {
	Exchange ExchangeKey
	KEM      KEMKey
}

// NewOneTimePair makes a pair.
func NewOneTimePair() OneTimePair { return OneTimePair{NewExchangeKey(), NewKEMKey()} }

// Marshal returns the pair with its secrets: keep it sealed.
func (o OneTimePair) Marshal() []byte {
	return append(append([]byte{}, o.Exchange.bytes[:]...), o.KEM.seed[:]...)
}

// ParseOneTimePair reads what Marshal wrote.
func ParseOneTimePair(b []byte) (o OneTimePair, err error) {
	r := wire.NewReader(b)
	r.Fill(o.Exchange.bytes[:])
	r.Fill(o.KEM.seed[:])
	return o, r.Close()
}

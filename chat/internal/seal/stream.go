package seal

import (
	"bytes"
	"crypto/hpke"
	"fmt"
)

// RecordOverhead is how many bytes a record adds to its packet.
const RecordOverhead = tagSize

// StreamSealer seals the packets of one stream, each as a record. The key work is done once, by NewSealer.
type StreamSealer struct {
	sender *hpke.Sender
	header []byte // the associated data of the first record; nil behind it
}

// NewSealer begins a stream to an address. The header goes first; whoever reads it needs it to open the records.
func NewSealer(to Address) (header []byte, s *StreamSealer, err error) {
	header, sender, err := newBox(to, purposeStream)
	if err != nil {
		return nil, nil, fmt.Errorf("seal stream: %w", err)
	}
	return header, &StreamSealer{sender: sender, header: bytes.Clone(header)}, nil
}

// Seal returns the next record of the stream.
func (s *StreamSealer) Seal(packet []byte) ([]byte, error) {
	record, err := s.sender.Seal(s.header, packet)
	if err != nil {
		return nil, fmt.Errorf("seal record: %w", err)
	}
	s.header = nil
	return record, nil
}

// StreamOpener opens the records of one stream.
type StreamOpener struct {
	recipient *hpke.Recipient // nil after a record that did not open
	header    []byte          // the associated data of the first record; nil behind it
}

// OpenStream takes the header of a stream to us as a device in a network. Only the first record shows whether it is what the sender made.
func (k EnvelopeKey) OpenStream(network [16]byte, device string, header []byte) (*StreamOpener, error) {
	r, err := k.newRecipient(purposeStream, network, device, header)
	if err != nil {
		return nil, err
	}
	return &StreamOpener{recipient: r, header: bytes.Clone(header)}, nil
}

// Open returns the packet of the next record. A record that was changed, left out, repeated or moved does not open, and none after it
// does.
func (o *StreamOpener) Open(record []byte) ([]byte, error) {
	if o.recipient == nil {
		return nil, errBox
	}
	packet, err := o.recipient.Open(o.header, record)
	if err != nil {
		o.recipient = nil
		return nil, errBox
	}
	o.header = nil
	return packet, nil
}

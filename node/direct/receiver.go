package direct

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"

	"parley/node/internal/frame"
	"parley/node/internal/inbound"
	"parley/node/internal/pace"
)

// Receive takes envelopes from a device, in their order, and returns a tag of TagSize bytes for each once all are kept for good; a tag of
// zeros says that the envelope was taken and not accepted. An error means that all must be offered again.
type Receive func(ctx context.Context, from peer.ID, envelopes [][]byte) (tags [][]byte, err error)

// Receiver serves the streams of senders.
type Receiver struct {
	receive   Receive
	boxes     Boxes
	buffers   *frame.Pool
	keys      *pace.Pace // of each peer
	allKeys   *pace.Pace // of all together
	ownKeys   *pace.Pace // of all contacts together, when those of all are used up
	contact   func(peer.ID) bool
	envelopes *pace.Pace
	patience  patience
	streams   *inbound.Streams
}

// patience is how long a receiver waits for what.
type patience struct{ first, whole, write time.Duration }

// NewReceiver returns a receiver that opens streams with boxes and hands the envelopes to receive. contact says whose streams are opened
// also while strangers use up what is for all. Serve makes it listen.
func NewReceiver(receive Receive, boxes Boxes, contact func(peer.ID) bool) *Receiver {
	return &Receiver{
		receive:   receive,
		boxes:     boxes,
		buffers:   frame.NewPool(ReadBuffer),
		keys:      pace.New(KeysPerSecond, KeysPerSecond),
		allKeys:   pace.New(AllKeysPerSecond, AllKeysPerSecond),
		ownKeys:   pace.New(ContactKeysPerSecond, ContactKeysPerSecond),
		contact:   contact,
		envelopes: pace.New(EnvelopesPerSecond, EnvelopeBurst),
		patience:  patience{first: FirstFrame, whole: WholeFrame, write: WriteTimeout},
		streams:   inbound.New(Service),
	}
}

// Serve answers streams that come in at h, until Stop.
func (r *Receiver) Serve(h host.Host) {
	h.SetStreamHandler(Protocol, r.streams.Handler(r.mayOpen, r.serve))
}

// Stop ends the receiver at h: streams that wait end at once, a batch that the messenger has is still acknowledged if that takes
// no longer than grace. It returns when no handler runs.
func (r *Receiver) Stop(h host.Host, grace time.Duration) { r.streams.Stop(h, grace, Protocol) }

// mayOpen takes a stream from what a peer may open: who floods us does not use up what is for all, and a crowd of strangers not what is for
// contacts.
func (r *Receiver) mayOpen(from peer.ID) bool {
	return r.keys.Allow(from) && (r.allKeys.Allow("") || r.contact(from) && r.ownKeys.Allow(""))
}

// incoming is one stream of a sender.
type incoming struct {
	stream network.Stream
	from   peer.ID
	frames *frame.Reader
	open   func(record []byte) ([]byte, error)
	opened int // records
	taken  tally
}

// serve takes the header, and then batch after batch. A sender that has sent a first record may be silent as long as its connection
// lives.
func (r *Receiver) serve(s network.Stream) error {
	in := &incoming{stream: s, from: s.Conn().RemotePeer(), frames: frame.NewReader(s, s.Scope(), r.buffers, HeaderSize)}
	defer in.frames.Close()
	if err := r.begin(in); err != nil {
		return err
	}
	for idle := r.patience.first; ; idle = 0 {
		batch, held, err := r.batch(in, idle)
		if err == nil {
			err = r.take(in, batch)
		}
		s.Scope().ReleaseMemory(held)
		if err != nil {
			return err
		}
	}
}

// begin reads the header.
func (r *Receiver) begin(in *incoming) error {
	header, err := in.frames.Next(r.patience.first, r.patience.whole)
	if err != nil {
		return fmt.Errorf("read header: %w", err)
	}
	in.frames.Release(header)
	if in.open, err = r.boxes.OpenStream(in.from, header); err != nil {
		return fmt.Errorf("open stream: %w", err)
	}
	in.frames.Limit(MaxEnvelope + RecordOverhead)
	return nil
}

// batch waits for one envelope and adds those that are there already. It returns how much memory is reserved for them, also when it
// fails.
func (r *Receiver) batch(in *incoming, idle time.Duration) (batch [][]byte, held int, err error) {
	for len(batch) == 0 || len(batch) < Batch && held < BatchBytes && in.frames.Ready() {
		record, err := in.frames.Next(idle, r.patience.whole)
		if err != nil {
			return nil, held, err
		}
		held += len(record)
		if in.opened++; in.opened > StreamRecords {
			return nil, held, fmt.Errorf("more than %d records on one stream", StreamRecords)
		}
		envelope, err := in.open(record)
		if err != nil || len(envelope) == 0 {
			return nil, held, fmt.Errorf("open record %d: %w", in.opened, cmp.Or(err, errEmpty))
		}
		batch = append(batch, envelope)
	}
	return batch, held, nil
}

// errEmpty says that there is no envelope in a record.
var errEmpty = errors.New("it is empty")

// take hands a batch to the messenger and acknowledges it.
func (r *Receiver) take(in *incoming, batch [][]byte) error {
	if err := r.envelopes.Wait(r.streams.Context(), in.from, len(batch)); err != nil {
		return fmt.Errorf("wait for a turn: %w", err)
	}
	tags, err := r.receive(r.streams.Context(), in.from, batch)
	if err != nil {
		return fmt.Errorf("receive %d envelopes: %w", len(batch), err)
	}
	if len(tags) != len(batch) {
		return fmt.Errorf("receive %d envelopes: got %d tags", len(batch), len(tags))
	}
	a := ack{tally: in.taken}
	for _, t := range tags {
		if len(t) != TagSize {
			return fmt.Errorf("receive %d envelopes: got a tag of %d bytes", len(batch), len(t))
		}
		tag := [TagSize]byte(t)
		if a.add(tag); tag == [TagSize]byte{} {
			a.refused = append(a.refused, a.k)
		}
	}
	in.taken = a.tally
	if err := in.stream.SetWriteDeadline(time.Now().Add(r.patience.write)); err != nil {
		return fmt.Errorf("set write deadline: %w", err)
	}
	_, err = in.stream.Write(frame.Append(nil, marshalAck(a)))
	return err
}

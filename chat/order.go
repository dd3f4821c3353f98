package chat

import (
	"encoding/binary"
	"slices"

	"github.com/libp2p/go-libp2p/core/peer"

	"parley/chat/internal/wire"
)

// The order in which people see messages (SPEC.md, "Order"): a message stands behind its parents, else where its author's clock puts it,
// however late it comes. Row ids carry that order, so that a page is one walk along an index. And what each device has numbered without a gap
// is counted, so that a gap shows.

// place returns the row id of a text that came in, and notes in its conversation what is the highest so far.
func (m *Messenger) place(tx Tx, c *ConversationRow, l letter) (RowID, error) {
	stamp := m.clock.believe(l.content.Clock)
	if stamp > c.Top {
		c.Top = stamp
		return rowAt(stamp, l), nil
	}
	// It comes late, or its author's clock is behind: the parents decide.
	for _, parent := range l.content.Parents {
		row, ok, err := tx.MessageByID(parent)
		if err != nil {
			return RowID{}, err
		}
		if ok && row.Conversation == c.ID {
			stamp = max(stamp, nextStamp(row.Row.stamp()))
		}
	}
	for {
		row := rowAt(stamp, l)
		c.Top = max(c.Top, stamp)
		if _, taken, err := messageAt(tx, row); !taken || err != nil {
			return row, err
		}
		stamp = nextStamp(stamp) // its device has gone back in time, and uses numbers again
	}
}

// rowAt returns the row id of a letter at a place in the order. Of letters at one place the author's device and number decide, alike on
// every device.
func rowAt(stamp uint64, l letter) RowID {
	var r RowID
	binary.BigEndian.PutUint64(r[:], stamp)
	copy(r[8:11], l.device[max(0, len(l.device)-3):])
	binary.BigEndian.PutUint32(r[11:], uint32(l.content.Seq))
	r[15] = l.id[0]
	r[8] = r[8]&0x3f | 0x80
	return r
}

// stamp is the part of a row id that tells the time.
func (r RowID) stamp() uint64 { return binary.BigEndian.Uint64(r[:]) }

// maxGaps is how many gaps are remembered of one device in one conversation; of more the oldest are forgotten.
const maxGaps = 64

// Author is what has come in of the contents that a device has numbered in a conversation.
type Author struct {
	Device  peer.ID
	First   uint64 // what came first; nothing is known of those before
	Next    uint64 // above all that came
	Missing []Gap  // between First and Next, ascending
}

// Gap is numbers that have not come, both ends included.
type Gap struct{ From, To uint64 }

// count notes a number. It returns false for one that has come before.
func (a *Author) count(seq uint64) bool {
	switch {
	case seq >= a.Next:
		if seq > a.Next {
			a.Missing = append(a.Missing, Gap{a.Next, seq - 1})
			a.Missing = a.Missing[max(0, len(a.Missing)-maxGaps):]
		}
		a.Next = seq + 1
		return true
	case seq < a.First:
		return true
	}
	i := slices.IndexFunc(a.Missing, func(g Gap) bool { return g.From <= seq && seq <= g.To })
	if i < 0 {
		return false
	}
	g := a.Missing[i]
	var rest []Gap
	if g.From < seq {
		rest = append(rest, Gap{g.From, seq - 1})
	}
	if seq < g.To {
		rest = append(rest, Gap{seq + 1, g.To})
	}
	a.Missing = slices.Replace(a.Missing, i, i+1, rest...)
	return true
}

// missingBefore is how many contents of a device are missing right before one.
func (c ConversationRow) missingBefore(device peer.ID, seq uint64) uint64 {
	for _, a := range c.Authors {
		if a.Device != device {
			continue
		}
		for _, g := range a.Missing {
			if g.To == seq-1 {
				return g.To - g.From + 1
			}
		}
	}
	return 0
}

// fresh reports whether a letter's number is above all that have come of its device: then it has not come before.
func (c *ConversationRow) fresh(l letter) bool {
	i := slices.IndexFunc(c.Authors, func(a Author) bool { return a.Device == l.device })
	return i >= 0 && l.content.Seq >= c.Authors[i].Next
}

// count notes the number of a letter in its conversation. It returns false where the device has used that number before.
func (c *ConversationRow) count(l letter) bool {
	i := slices.IndexFunc(c.Authors, func(a Author) bool { return a.Device == l.device })
	if i < 0 {
		c.Authors = append(slices.Clone(c.Authors), Author{Device: l.device, First: l.content.Seq, Next: l.content.Seq + 1})
		return true
	}
	c.Authors = slices.Clone(c.Authors)
	c.Authors[i].Missing = slices.Clone(c.Authors[i].Missing)
	return c.Authors[i].count(l.content.Seq)
}

// appendAuthors writes n u8 ‖ n × (lp(device) ‖ first u64 ‖ next u64 ‖ g u8 ‖ g × (from u64 ‖ to u64)).
func appendAuthors(b []byte, authors []Author) []byte {
	b = append(b, byte(len(authors)))
	for _, a := range authors {
		b = wire.AppendLP(b, []byte(a.Device))
		b = binary.BigEndian.AppendUint64(b, a.First)
		b = binary.BigEndian.AppendUint64(b, a.Next)
		b = append(b, byte(len(a.Missing)))
		for _, g := range a.Missing {
			b = binary.BigEndian.AppendUint64(b, g.From)
			b = binary.BigEndian.AppendUint64(b, g.To)
		}
	}
	return b
}

func readAuthors(r *wire.Reader) (authors []Author) {
	for range r.Byte() {
		a := Author{Device: peer.ID(r.LP(maxDevice)), First: r.U64(), Next: r.U64()}
		for range r.Byte() {
			a.Missing = append(a.Missing, Gap{r.U64(), r.U64()})
		}
		authors = append(authors, a)
	}
	return authors
}

package chat

import (
	"cmp"
	"encoding/binary"
	"maps"
	"slices"

	"github.com/libp2p/go-libp2p/core/peer"

	cells "parley/chat/internal/vault"
	"parley/chat/internal/wire"
)

// contact.cell = account32 ‖ flags u8 (1 blocked, 2 receipts on, 4 receipts off) ‖ lp(trust) ‖ introducer32 ‖ token16 ‖ name; under the key of
// our conversation with it.

const (
	flagBlocked     = 1
	flagReceiptsOn  = 2
	flagReceiptsOff = 4
)

func (c ContactRow) flags() byte {
	flags := bit(c.Blocked) * flagBlocked
	switch c.Receipts {
	case ReceiptsOn:
		flags |= flagReceiptsOn
	case ReceiptsOff:
		flags |= flagReceiptsOff
	}
	return flags
}

func receiptsOf(flags byte) Receipts {
	switch {
	case flags&flagReceiptsOn != 0:
		return ReceiptsOn
	case flags&flagReceiptsOff != 0:
		return ReceiptsOff
	}
	return ReceiptsDefault
}

func (t *sealedTx) contactPlace(blind AccountID) cells.Place {
	return cells.Place{Table: "contact", Column: "cell", Row: blind[:]}
}

func (t *sealedTx) openContact(row ContactRow, ok bool, err error) (ContactRow, bool, error) {
	if err != nil || !ok {
		return ContactRow{}, false, err
	}
	p := t.contactPlace(row.Account)
	r, _, err := t.open(p, row.Cell)
	if err != nil {
		return ContactRow{}, false, err
	}
	plain := ContactRow{At: row.At}
	r.Fill(plain.Account[:])
	flags := r.Byte()
	plain.Blocked, plain.Receipts = flags&flagBlocked != 0, receiptsOf(flags)
	plain.Trust = Trust(r.LP(maxWord))
	r.Fill(plain.Introducer[:])
	r.Fill(plain.Token[:])
	plain.Name = string(r.Rest())
	return plain, true, t.close(p, r, t.blindAccount(plain.Account) == row.Account)
}

// Contact implements Tx.
func (t *sealedTx) Contact(a AccountID) (ContactRow, bool, error) {
	return remember(&t.known.contacts, a, func() (ContactRow, bool, error) { return t.openContact(t.tx.Contact(t.blindAccount(a))) })
}

// Contacts implements Tx. They are in the order of their folded names, which is made here: a store sees none. Damaged ones are left out,
// so that the others can be written to.
func (t *sealedTx) Contacts() ([]ContactRow, error) {
	rows, err := t.tx.Contacts()
	if err != nil {
		return nil, err
	}
	contacts := make([]ContactRow, 0, len(rows))
	for _, row := range rows {
		contact, _, err := t.openContact(row, true, nil)
		if t.passes(err) {
			continue
		}
		if err != nil {
			return nil, err
		}
		contacts = append(contacts, contact)
	}
	slices.SortFunc(contacts, func(a, b ContactRow) int { return cmp.Compare(nameKey(a.Name), nameKey(b.Name)) })
	return contacts, nil
}

// PutContact implements Tx.
func (t *sealedTx) PutContact(c ContactRow) error {
	delete(t.known.contacts, c.Account)
	t.people = true
	conversation := DirectConversation(t.safe.self, c.Account)
	if err := t.keyed(conversation); err != nil {
		return err
	}
	blind := t.blindAccount(c.Account)
	plaintext := append(c.Account[:], c.flags())
	plaintext = wire.AppendLP(plaintext, []byte(c.Trust))
	plaintext = append(plaintext, c.Introducer[:]...)
	plaintext = append(plaintext, c.Token[:]...)
	cell, err := t.seal(t.contactPlace(blind), conversation, append(plaintext, c.Name...))
	if err != nil {
		return err
	}
	return t.tx.PutContact(ContactRow{Account: blind, At: c.At, Cell: cell})
}

// request.cell = account32 ‖ lp(name) ‖ card u8 ‖ texts u16 ‖ claims32 ‖ introducer32 ‖ introduction; under the store's key.

func requestPlace(blind AccountID) cells.Place {
	return cells.Place{Table: "request", Column: "cell", Row: blind[:]}
}

// Request implements Tx.
func (t *sealedTx) Request(a AccountID) (RequestRow, bool, error) {
	row, ok, err := t.tx.Request(t.blindAccount(a))
	if err != nil || !ok {
		return RequestRow{}, false, err
	}
	plain, err := t.openRequest(row)
	return plain, err == nil, err
}

// Requests implements Tx. Damaged ones are left out.
func (t *sealedTx) Requests() ([]RequestRow, error) {
	rows, err := t.tx.Requests()
	if err != nil {
		return nil, err
	}
	plain := make([]RequestRow, 0, len(rows))
	for _, row := range rows {
		request, err := t.openRequest(row)
		if t.passes(err) {
			continue
		}
		if err != nil {
			return nil, err
		}
		plain = append(plain, request)
	}
	return plain, nil
}

func (t *sealedTx) openRequest(row RequestRow) (RequestRow, error) {
	p := requestPlace(row.Account)
	r, _, err := t.open(p, row.Cell)
	if err != nil {
		return RequestRow{}, err
	}
	plain := RequestRow{State: row.State, At: row.At}
	r.Fill(plain.Account[:])
	plain.Name = string(r.LP(MaxName))
	plain.Card = r.Byte() == 1
	plain.Texts = r.U16()
	r.Fill(plain.Claims[:])
	r.Fill(plain.Introducer[:])
	plain.Introduction = r.Rest()
	return plain, t.close(p, r, t.blindAccount(plain.Account) == row.Account)
}

// PutRequest implements Tx.
func (t *sealedTx) PutRequest(row RequestRow) error {
	plaintext := wire.AppendLP(row.Account[:], []byte(row.Name))
	plaintext = append(plaintext, bit(row.Card))
	plaintext = binary.BigEndian.AppendUint16(plaintext, uint16(row.Texts))
	plaintext = append(plaintext, row.Claims[:]...)
	plaintext = append(plaintext, row.Introducer[:]...)
	blind := t.blindAccount(row.Account)
	cell, err := t.seal(requestPlace(blind), ConversationID{}, append(plaintext, row.Introduction...))
	if err != nil {
		return err
	}
	return t.tx.PutRequest(RequestRow{Account: blind, State: row.State, At: row.At, Cell: cell})
}

// DeleteRequest implements Tx.
func (t *sealedTx) DeleteRequest(a AccountID) error { return t.tx.DeleteRequest(t.blindAccount(a)) }

// held.cell = message id32 ‖ envelope id32 ‖ account32 ‖ lp(device) ‖ tag16 ‖ content; under the store's key: there is no conversation yet.

func heldPlace(blind MessageID) cells.Place {
	return cells.Place{Table: "held", Column: "cell", Row: blind[:]}
}

// Held implements Tx.
func (t *sealedTx) Held(ids ...EnvelopeID) ([]HeldRow, error) {
	return t.openAllHeld(t.tx.Held(slices.Collect(maps.Keys(t.blindEnvelopes(ids)))...))
}

// HeldOf implements Tx.
func (t *sealedTx) HeldOf(a AccountID) ([]HeldRow, error) {
	return t.openAllHeld(t.tx.HeldOf(t.blindAccount(a)))
}

func (t *sealedTx) openAllHeld(rows []HeldRow, err error) ([]HeldRow, error) {
	if err != nil {
		return nil, err
	}
	for i, row := range rows {
		if rows[i], err = t.openHeld(row); err != nil {
			return nil, err
		}
	}
	return rows, nil
}

func (t *sealedTx) openHeld(row HeldRow) (HeldRow, error) {
	p := heldPlace(row.Message)
	r, _, err := t.open(p, row.Cell)
	if err != nil {
		return HeldRow{}, err
	}
	plain := HeldRow{Row: row.Row, At: row.At}
	r.Fill(plain.Message[:])
	r.Fill(plain.Envelope[:])
	r.Fill(plain.Account[:])
	plain.Device = peer.ID(r.LP(maxDevice))
	r.Fill(plain.Tag[:])
	plain.Content = r.Rest()
	same := t.blindMessage(plain.Message) == row.Message && t.blindEnvelope(plain.Envelope) == row.Envelope && t.blindAccount(plain.Account) == row.Account
	return plain, t.close(p, r, same)
}

// PutHeld implements Tx.
func (t *sealedTx) PutHeld(h HeldRow) error {
	plaintext := append(h.Message[:], h.Envelope[:]...)
	plaintext = append(plaintext, h.Account[:]...)
	plaintext = wire.AppendLP(plaintext, []byte(h.Device))
	plaintext = append(plaintext, h.Tag[:]...)
	blind := t.blindMessage(h.Message)
	cell, err := t.seal(heldPlace(blind), ConversationID{}, append(plaintext, h.Content...))
	if err != nil {
		return err
	}
	return t.tx.PutHeld(HeldRow{
		Message: blind, Envelope: t.blindEnvelope(h.Envelope), Account: t.blindAccount(h.Account), Row: h.Row, At: h.At, Cell: cell,
	})
}

// DeleteHeldOf implements Tx.
func (t *sealedTx) DeleteHeldOf(a AccountID) error { return t.tx.DeleteHeldOf(t.blindAccount(a)) }

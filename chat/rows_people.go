package chat

import (
	"encoding/binary"

	"github.com/libp2p/go-libp2p/core/peer"

	cells "parley/chat/internal/vault"
	"parley/chat/internal/wire"
)

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
func (t *sealedTx) Held(id EnvelopeID) (HeldRow, bool, error) {
	row, ok, err := t.tx.Held(t.blindEnvelope(id))
	if err != nil || !ok {
		return HeldRow{}, false, err
	}
	plain, err := t.openHeld(row)
	return plain, err == nil, err
}

// HeldOf implements Tx.
func (t *sealedTx) HeldOf(a AccountID) ([]HeldRow, error) {
	rows, err := t.tx.HeldOf(t.blindAccount(a))
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

package chat

import (
	"context"
	"errors"
	"fmt"

	"github.com/libp2p/go-libp2p/core/peer"

	"parley/chat/internal/wire"
)

// Introduce tells one contact of another, whom we have verified: who they are, where to find them, and the token of their link, so
// that a request from the one reaches the other. The error is CodeIdentity for somebody who is not verified, and CodeRefused where no
// link of theirs is known here.
func (m *Messenger) Introduce(ctx context.Context, who, to AccountID) error {
	err := m.update(ctx, func(tx Tx, after *aftermath) error {
		subject, err := ofContact(tx, who)
		if err != nil {
			return err
		}
		reader, err := ofContact(tx, to)
		if err != nil {
			return err
		}
		if err := mayIntroduce(subject, reader); err != nil {
			return err
		}
		if err := mayWriteTo(tx, to); err != nil {
			return err
		}
		payload, err := m.introduction(tx, subject)
		if err != nil {
			return err
		}
		c, ok, err := tx.Conversation(DirectConversation(m.self, to))
		if err != nil || !ok {
			return err
		}
		_, err = m.queue(tx, after, c, KindIntroduction, payload.Append(nil), "")
		return err
	})
	return wrap(err, "introduce a contact")
}

func mayIntroduce(subject, reader ContactRow) error {
	name := shellWord(subject.Name)
	switch {
	case subject.Account == reader.Account:
		return &Error{Code: CodeInvalid, Detail: name + " knows themselves already"}
	case subject.Trust != TrustVerified:
		return &Error{
			Code:   CodeIdentity,
			Detail: fmt.Sprintf("%s is not verified here: to introduce somebody is to vouch for their key", name),
			Try:    "parley contact verify " + name,
		}
	case subject.Token.IsZero():
		return &Error{
			Code:   CodeRefused,
			Detail: fmt.Sprintf("no contact link of %s is known here, so that nobody could reach them by your word: ask for it, and add it", name),
			Try:    "parley contact add LINK",
		}
	}
	return nil
}

// introduction says of a contact what we know.
func (m *Messenger) introduction(tx Tx, who ContactRow) (wire.Introduction, error) {
	i := wire.Introduction{Name: who.Name, Key: who.Account[:], Token: who.Token.bytes()}
	devices, err := m.recipients(tx, who.Account)
	if err != nil || len(devices) == 0 {
		return i, err
	}
	account, _, err1 := tx.Record(accountRecordKey(who.Account))
	device, _, err2 := tx.Record(deviceRecordKey(devices[0].device))
	i.Account, i.Device = account.Value, device.Value
	return i, errors.Join(err1, err2)
}

// acceptIntroduction keeps what a contact says of a third account as a request of its own: people decide. Of somebody whom we know
// already it only notes who vouches for them.
func (m *Messenger) acceptIntroduction(tx Tx, l letter) (bool, error) {
	i, err := wire.ParseIntroduction(l.content.Payload)
	if err != nil || AccountID(i.Key) == m.self {
		return false, nil
	}
	account := AccountID(i.Key)
	row, known, err := tx.Contact(account)
	if err != nil {
		return false, err
	}
	if known {
		if row.Introducer.IsZero() && account != l.account {
			row.Introducer = l.account
			err = tx.PutContact(row)
		}
		return true, err
	}
	request, asked, err := tx.Request(account)
	if err != nil || request.State == RequestRejected {
		return err == nil, err
	}
	if !asked {
		if room, err := roomToIntroduce(tx, l.account); err != nil || !room {
			return false, err
		}
		request = RequestRow{Account: account, State: RequestPending, Name: fitName(i.Name), At: m.now()}
	}
	if request.Introducer.IsZero() {
		request.Introducer, request.Introduction = l.account, l.content.Payload
	}
	if err := tx.PutRequest(request); err != nil || asked {
		return true, err
	}
	_, err = tx.AppendEvent(Event{Type: EventContactRequest, At: request.At, Account: account})
	return true, err
}

// roomToIntroduce reports whether one more request may come from an introducer.
func roomToIntroduce(tx Tx, introducer AccountID) (bool, error) {
	all, err := tx.Requests()
	waiting, introduced := 0, 0
	for _, r := range all {
		if r.State != RequestPending {
			continue
		}
		waiting++
		if r.Introducer == introducer {
			introduced++
		}
	}
	return waiting < MaxRequests && introduced < MaxIntroductions, err
}

// takeIntroduction gives a new contact what their introducer said of them.
func (m *Messenger) takeIntroduction(tx Tx, after *aftermath, request RequestRow) error {
	if len(request.Introduction) == 0 {
		return nil
	}
	i, err := wire.ParseIntroduction(request.Introduction)
	if err != nil {
		return fmt.Errorf("kept introduction of %s: %w", request.Account.Short(), err)
	}
	row, _, err := tx.Contact(request.Account)
	if err != nil {
		return err
	}
	row.Introducer = request.Introducer
	if row.Token.IsZero() {
		copy(row.Token[:], i.Token)
	}
	if err := tx.PutContact(row); err != nil || len(i.Account) == 0 {
		return err
	}
	account, err := m.accounts.of(i.Account)
	if err != nil {
		return err
	}
	if err := m.pin(tx, accountRecordKey(request.Account), account.Sequence, i.Account); err != nil || len(i.Device) == 0 {
		return err
	}
	device, err := m.devices.of(i.Device)
	if err != nil {
		return err
	}
	if err := m.pin(tx, deviceRecordKey(peer.ID(device.Device)), device.Sequence, i.Device); err != nil {
		return err
	}
	devices, err := m.recipients(tx, request.Account)
	after.learn = append(after.learn, devices...)
	return err
}

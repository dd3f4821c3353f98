package chat

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"parley/chat/internal/wire"
)

// Who may write to us (SPEC.md, "Requests"). A contact may, unless blocked. A stranger may knock once, with a card that shows the
// token of our link: card and a few texts are held, with a tag of zeros, until people decide; the sender keeps them meanwhile, and
// sees them delivered when they were accepted. Everybody else is refused: nothing is kept, nothing goes back.

// admission is what becomes of a letter.
type admission int

const (
	refused  admission = iota // nothing is kept, and it gets a tag of zeros
	held                      // kept with its author's request, and it gets a tag of zeros until that was accepted
	admitted                  // taken
)

// admit decides about a letter that was not taken before. It only looks.
func (m *Messenger) admit(tx Tx, id EnvelopeID, l letter) (admission, error) {
	if revoked, err := m.revoked(tx, l.account, l.device); revoked || err != nil {
		return refused, err
	}
	if _, claims, err := m.claimed(tx, l); err != nil || claims && !l.direct {
		return refused, err // anybody can certify anybody's device: nobody but the device can come from itself
	}
	contact, known, err := tx.Contact(l.account)
	switch {
	case err != nil || contact.Blocked:
		return refused, err
	case !known:
		return m.admitStranger(tx, id, l)
	case Kind(l.content.Kind) == KindCard:
		return admitted, nil // it may bring a device that belonged to somebody else: overtakes says so
	}
	if _, claims, err := m.claimed(tx, l); err != nil || !claims {
		return admitted, err
	}
	lists, err := m.lists(tx, l.account, l.device)
	if err != nil || !lists {
		return refused, err
	}
	return admitted, nil
}

func (m *Messenger) admitStranger(tx Tx, id EnvelopeID, l letter) (admission, error) {
	request, _, err := tx.Request(l.account)
	if err != nil || request.State == RequestRejected || !l.wellFormed() {
		return refused, err
	}
	if copies, err := tx.Held(id); err != nil || len(copies) > 0 {
		return refused, err
	}
	switch Kind(l.content.Kind) {
	case KindCard:
		return m.admitCard(tx, l)
	case KindText:
		if request.Card {
			return held, nil
		}
	}
	return refused, nil
}

// admitCard judges a stranger's card by the token that it shows.
func (m *Messenger) admitCard(tx Tx, l letter) (admission, error) {
	card, ok := readCard(l)
	if !ok {
		return refused, nil
	}
	keys := m.links.LinkKey()
	switch {
	case keys.Contact().is(card.Token):
		return held, nil
	case !keys.Invite().is(card.Token):
		return refused, nil
	}
	if _, claims, err := m.claimed(tx, l); err != nil || claims {
		return held, err
	}
	stats, err := tx.Stats()
	if err != nil || stats.Contacts >= StrangerContacts {
		return refused, err
	}
	return admitted, nil
}

// hold keeps a stranger's letter with their request. It returns false where there is no room for it, and nothing was kept.
func (m *Messenger) hold(tx Tx, after *aftermath, id EnvelopeID, l letter) (bool, error) {
	request, known, err := tx.Request(l.account)
	if err != nil {
		return false, err
	}
	if !known {
		request = RequestRow{Account: l.account, State: RequestPending, At: m.now()}
	}
	room, err := m.enter(tx, &request, l)
	if err != nil || !room {
		return false, err
	}
	if err := tx.PutRequest(request); err != nil {
		return false, err
	}
	row := HeldRow{
		Message: l.id, Envelope: id, Account: l.account, Device: l.device, Row: m.clock.nextRow(), Tag: l.tag, At: m.now(), Content: l.raw,
	}
	if err := tx.PutHeld(row); err != nil || known {
		return true, err
	}
	_, err = tx.AppendEvent(Event{Type: EventContactRequest, At: request.At, Account: l.account})
	return true, err
}

// enter notes a letter in its author's request, if there is room for it.
func (m *Messenger) enter(tx Tx, request *RequestRow, l letter) (room bool, err error) {
	waiting, texts, err := pending(tx)
	if err != nil {
		return false, err
	}
	letters, err := tx.HeldOf(l.account)
	again := slices.ContainsFunc(letters, func(h HeldRow) bool { return h.Message == l.id })
	if err != nil || again { // sealed anew: it takes the place of the other
		return again, err
	}
	if Kind(l.content.Kind) == KindText {
		request.Texts++
		return request.Texts <= HeldTexts && texts < HeldInAll, nil
	}
	if request.Card || len(waiting) >= MaxRequests && !slices.Contains(waiting, l.account) {
		return false, nil
	}
	request.Card = true
	if request.Introducer.IsZero() {
		card, _ := readCard(l)
		request.Name = fitName(card.Name)
	}
	other, claims, err := m.claimed(tx, l)
	if err != nil || !claims {
		return err == nil, err
	}
	request.Claims = other.Account
	return true, m.doubt(tx, other)
}

// pending returns who waits for an answer, and how many texts are held in all.
func pending(tx Tx) (waiting []AccountID, texts int, err error) {
	all, err := tx.Requests()
	for _, r := range all {
		if r.State == RequestPending {
			waiting = append(waiting, r.Account)
			texts += r.Texts
		}
	}
	return waiting, texts, err
}

// fitName returns a name that somebody chose for themselves, or nothing where it is not fit to be shown.
func fitName(name string) string {
	if CheckName("name", name) != nil {
		return ""
	}
	return name
}

// RequestState says whether a request waits.
type RequestState string

// The states of a request. An accepted one is gone: its account is a contact.
const (
	RequestPending  RequestState = "pending"
	RequestRejected RequestState = "rejected" // refused without a word, until people unblock or add the account
)

// Request is an account that wants to be a contact, was introduced, or was turned away. Name and Texts are a stranger's words.
type Request struct {
	Account    AccountID
	State      RequestState
	Name       string // what they call themselves, or what the introducer calls them; empty where that is not fit to be shown
	At         time.Time
	Texts      []string   // what they wrote so far, at most HeldTexts
	SameName   string     // the contact who has this name, and is somebody else; empty for nobody
	Claims     string     // the contact whose device it was, before it spoke for this account; empty for nobody
	Introducer Introducer // zero for nobody
}

// Requests lists who waits for an answer or was turned away, oldest first.
func (m *Messenger) Requests(ctx context.Context) ([]Request, error) {
	var list []Request
	err := m.look(ctx, func(tx Tx) error {
		list = nil
		rows, err := tx.Requests()
		if err != nil {
			return err
		}
		slices.SortFunc(rows, func(a, b RequestRow) int {
			return cmp.Or(a.At.Compare(b.At), slices.Compare(a.Account[:], b.Account[:]))
		})
		for _, row := range rows {
			r, err := m.requestView(tx, row)
			if err != nil {
				return err
			}
			list = append(list, r)
		}
		return nil
	})
	return list, wrap(err, "list requests")
}

func (m *Messenger) requestView(tx Tx, row RequestRow) (Request, error) {
	r := Request{Account: row.Account, State: row.State, Name: row.Name, At: row.At}
	same, taken, err := named(tx, row.Name)
	if err != nil {
		return r, err
	}
	if taken && same.Account != row.Account {
		r.SameName = same.Name
	}
	claimed, _, err := tx.Contact(row.Claims)
	if err != nil {
		return r, err
	}
	r.Claims = claimed.Name
	if r.Introducer, err = introducerView(tx, row.Introducer); err != nil {
		return r, err
	}
	letters, err := tx.HeldOf(row.Account)
	if err != nil {
		return r, err
	}
	for _, h := range letters {
		l, err := h.letter()
		if err != nil {
			return r, err
		}
		if Kind(l.content.Kind) == KindText {
			r.Texts = append(r.Texts, string(l.content.Payload))
		}
	}
	return r, nil
}

// letter returns the letter that was held.
func (h HeldRow) letter() (letter, error) {
	content, err := wire.ParseContent(h.Content)
	if err != nil {
		return letter{}, fmt.Errorf("held letter %s: %w", h.Message, err)
	}
	return letter{account: h.Account, device: h.Device, id: h.Message, content: content, raw: h.Content, tag: h.Tag}, nil
}

// AcceptRequest makes a contact of an account that waits for an answer: under a name, or "" for the one in the request, numbered
// if it is taken. What they wrote comes in as if it had arrived now. Accepting again returns the contact.
func (m *Messenger) AcceptRequest(ctx context.Context, account AccountID, as string) (contact Contact, err error) {
	if as != "" {
		if err := CheckName("name", as); err != nil {
			return Contact{}, err
		}
	}
	err = m.update(ctx, func(tx Tx, after *aftermath) error {
		row, known, err := tx.Contact(account)
		if err != nil {
			return err
		}
		if !known {
			if row, err = m.acceptRequest(tx, after, account, as); err != nil {
				return err
			}
		}
		contact, err = m.contactView(tx, row)
		return err
	})
	return contact, wrap(err, "accept a request")
}

func (m *Messenger) acceptRequest(tx Tx, after *aftermath, account AccountID, as string) (ContactRow, error) {
	request, ok, err := tx.Request(account)
	if err != nil {
		return ContactRow{}, err
	}
	if !ok || request.State != RequestPending {
		return ContactRow{}, noRequest(account, request.State)
	}
	other, taken, err := named(tx, as)
	if err != nil {
		return ContactRow{}, err
	}
	if taken {
		return ContactRow{}, &Error{
			Code:   CodeIdentity,
			Detail: fmt.Sprintf("the %s you know is %s, and this is %s, another key", shellWord(as), other.Account.Short(), account.Short()),
			Try:    fmt.Sprintf("parley contact accept %s --as OTHER_NAME", account.Short()),
		}
	}
	if _, err := m.conversationWith(tx, account, cmp.Or(as, request.Name), MaxContacts); err != nil {
		return ContactRow{}, err
	}
	if err := m.welcome(tx, after, account); err != nil {
		return ContactRow{}, err
	}
	row, _, err := tx.Contact(account)
	if err != nil {
		return row, err
	}
	var token Token
	if len(request.Introduction) > 0 {
		token = row.Token // they do not know that we were told of them
	}
	if err := m.sendCard(tx, after, account, token); err != nil {
		return row, err
	}
	return row, m.tell(tx, EventContactAccepted, account)
}

func noRequest(account AccountID, state RequestState) error {
	if state == RequestRejected {
		return &Error{
			Code: CodeRefused, Detail: account.Short() + " was turned away before",
			Try: "parley contact unblock " + account.Short(),
		}
	}
	return &Error{Code: CodeTarget, Detail: account.Short() + " is not waiting for an answer", Try: "parley contact requests"}
}

// welcome gives an account that has just become a contact what had waited for it: who introduced it, and its letters, in order.
func (m *Messenger) welcome(tx Tx, after *aftermath, account AccountID) error {
	request, ok, err := tx.Request(account)
	if err != nil || !ok {
		return err
	}
	if err := m.takeIntroduction(tx, after, request); err != nil {
		return err
	}
	letters, err := tx.HeldOf(account)
	if err != nil {
		return err
	}
	for _, h := range letters {
		if err := m.release(tx, after, h); err != nil {
			return err
		}
	}
	if err := m.payAcks(tx, after); err != nil {
		return err
	}
	if err := m.decided(tx, after, request.Claims, true); err != nil {
		return err
	}
	return forget(tx, account)
}

// release takes a letter that was held. From now on its envelope is acknowledged.
func (m *Messenger) release(tx Tx, after *aftermath, h HeldRow) error {
	l, err := h.letter()
	if err != nil {
		return err
	}
	ok, err := m.accept(tx, after, l)
	if err != nil || !ok {
		return err
	}
	m.clock.merge(l.content.Clock)
	if err := tx.InsertSeen(SeenRow{ID: h.Envelope, Tag: h.Tag, Message: h.Message, At: m.now()}); err != nil {
		return err
	}
	all, err := after.lines.with(tx, h.Device)
	for _, session := range all {
		if session.row.Account == h.Account {
			after.owe(session.row.ID, h.Envelope, h.Tag) // it may not be offered again: a mailbox may have brought it
			break
		}
	}
	return err
}

// forget removes a request with its letters.
func forget(tx Tx, account AccountID) error {
	if err := tx.DeleteHeldOf(account); err != nil {
		return err
	}
	return tx.DeleteRequest(account)
}

// RejectRequest turns an account away: what it wrote is deleted, and it is refused without a word until people unblock it or add it
// themselves. Turning it away again changes nothing.
func (m *Messenger) RejectRequest(ctx context.Context, account AccountID) error {
	err := m.update(ctx, func(tx Tx, after *aftermath) error {
		request, ok, err := tx.Request(account)
		switch {
		case err != nil || request.State == RequestRejected:
			return err
		case !ok:
			return noRequest(account, "")
		}
		if err := m.part(tx, after, account); err != nil {
			return err
		}
		if err := m.decided(tx, after, request.Claims, false); err != nil {
			return err
		}
		return tx.PutRequest(RequestRow{Account: account, State: RequestRejected, Name: request.Name, At: request.At})
	})
	return wrap(err, "reject a request")
}

// Unblock lets a contact write again, and sends what had waited; or lets an account that was turned away ask again.
func (m *Messenger) Unblock(ctx context.Context, account AccountID) error {
	err := m.update(ctx, func(tx Tx, after *aftermath) error {
		request, ok, err := tx.Request(account)
		if err != nil {
			return err
		}
		if ok && request.State == RequestRejected {
			return tx.DeleteRequest(account)
		}
		row, err := ofContact(tx, account)
		if err != nil || !row.Blocked {
			return err
		}
		row.Blocked = false
		return m.putChanged(tx, after, row)
	})
	return wrap(err, "unblock")
}

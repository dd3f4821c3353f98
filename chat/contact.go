package chat

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	"golang.org/x/text/unicode/norm"

	"parley/chat/internal/wire"
)

// Contact is an account that somebody has added.
type Contact struct {
	Account      AccountID
	Name         string
	Conversation ConversationID
	At           time.Time
	// Known is false while the contact's devices have not been found: messages wait until they are.
	Known      bool
	Blocked    bool // nothing goes to them, and nothing of theirs comes in
	Trust      Trust
	Introducer Introducer
	Receipts   Receipts // whether they learn that their messages were shown
}

// Introducer is the contact who introduced somebody; zero for nobody.
type Introducer struct {
	Account  AccountID
	Name     string
	Verified bool // we have compared the introducer's safety number: their word counts
}

// AddContact adds the owner of a link under a name ("" takes the name in the link) and queues a card to them, with which they may
// make us their contact. It never waits for the network. Adding somebody again returns the contact; with a newer link it asks them
// anew. A name that another account has is CodeIdentity: people decide, and nothing is changed.
func (m *Messenger) AddContact(ctx context.Context, link, as string) (Contact, error) {
	return m.add(ctx, link, as, false)
}

// ReplaceContact is AddContact, but for a name that another account has: the name goes to the owner of the link. The contact who had
// it is kept, under the name with the beginning of its id, and not verified.
func (m *Messenger) ReplaceContact(ctx context.Context, link, as string) (Contact, error) {
	return m.add(ctx, link, as, true)
}

func (m *Messenger) add(ctx context.Context, link, as string, replace bool) (Contact, error) {
	invite, err := m.usable(link)
	if err != nil {
		return Contact{}, err
	}
	if as != "" {
		if err := CheckName("name", as); err != nil {
			return Contact{}, err
		}
	}
	var contact Contact
	err = m.update(ctx, func(tx Tx, after *aftermath) error {
		row, err := m.addByLink(tx, after, invite, as, replace)
		if err != nil {
			return err
		}
		contact, err = m.contactView(tx, row)
		return err
	})
	if err != nil {
		return Contact{}, wrap(err, "add contact")
	}
	m.learn(invite)
	return contact, nil
}

// usable reads a link that leads to somebody else on this network.
func (m *Messenger) usable(link string) (Invite, error) {
	invite, err := ParseInvite(link, InviteContact)
	if err != nil {
		return Invite{}, err
	}
	if err := invite.Check(m.now(), m.self); err != nil {
		return Invite{}, err
	}
	if invite.Network.ID != m.network.ID {
		return Invite{}, &Error{
			Code:   CodeRefused,
			Detail: fmt.Sprintf("the link belongs to another network than %s %s", CleanText(m.network.Name), m.network.Fingerprint()),
			Try:    "ask for a link made in this network, or join theirs in a home of its own: parley --home DIR init --join -",
		}
	}
	return invite, nil
}

func (m *Messenger) addByLink(tx Tx, after *aftermath, invite Invite, as string, replace bool) (ContactRow, error) {
	row, known, err := tx.Contact(invite.Account)
	if err != nil {
		return row, err
	}
	name := cmp.Or(as, invite.Name)
	if known && (!replace || name == "") {
		return m.addAgain(tx, after, row, invite)
	}
	old, taken, err := named(tx, name)
	switch {
	case err != nil:
		return row, err
	case taken && old.Account != invite.Account && !replace:
		return row, anotherKey(old, invite.Account, name)
	case taken && old.Account != invite.Account:
		if err := m.yield(tx, old); err != nil {
			return row, err
		}
	}
	if !known {
		return m.befriend(tx, after, invite, name)
	}
	row.Name = name
	if err := tx.PutContact(row); err != nil {
		return row, err
	}
	return m.addAgain(tx, after, row, invite)
}

// addAgain asks a contact anew where their link is another than the one we used before: that one may have been renewed since.
func (m *Messenger) addAgain(tx Tx, after *aftermath, row ContactRow, invite Invite) (ContactRow, error) {
	if invite.Kind != InviteContact || invite.Token.IsZero() || invite.Token == row.Token {
		return row, nil
	}
	row.Token = invite.Token
	if err := keepToken(tx, row.Account, invite.Token); err != nil {
		return row, err
	}
	if err := tx.PutContact(row); err != nil {
		return row, err
	}
	return row, m.sendCard(tx, after, row.Account, invite.Token)
}

// befriend makes a contact of a link's owner, and queues our card to them.
func (m *Messenger) befriend(tx Tx, after *aftermath, invite Invite, name string) (ContactRow, error) {
	if _, err := m.conversationWith(tx, invite.Account, name, MaxContacts); err != nil {
		return ContactRow{}, err
	}
	row, _, err := tx.Contact(invite.Account)
	if err != nil {
		return row, err
	}
	if invite.Kind == InviteContact {
		row.Token = invite.Token
		if err := tx.PutContact(row); err != nil {
			return row, err
		}
	}
	if err := keepToken(tx, invite.Account, invite.Token); err != nil {
		return row, err
	}
	if err := m.welcome(tx, after, invite.Account); err != nil {
		return row, err
	}
	if err := m.sendCard(tx, after, invite.Account, invite.Token); err != nil {
		return row, err
	}
	row, _, err = tx.Contact(invite.Account)
	return row, err
}

// card returns the content that introduces us, with a token of the receiver's that lets us in.
func (m *Messenger) card(token Token) []byte {
	return wire.Card{
		Name: m.name, Account: m.identity.accountRecord, Device: m.keys.on().record,
		Token: token.bytes(), Own: m.links.LinkKey().Contact().bytes(),
	}.Append(nil)
}

// sendCard queues our card to a contact, with a token of theirs that lets us in; the zero token where they know us.
func (m *Messenger) sendCard(tx Tx, after *aftermath, to AccountID, token Token) error {
	c, ok, err := tx.Conversation(DirectConversation(m.self, to))
	if err != nil || !ok {
		return err
	}
	_, err = m.queue(tx, after, c, KindCard, m.card(token), "")
	return err
}

// anotherKey says that a name belongs to another account, and what decides whose it is.
func anotherKey(old ContactRow, account AccountID, name string) error {
	name, mark := shellWord(name), ""
	if old.Trust == TrustVerified {
		mark = ", verified"
	}
	return &Error{
		Code: CodeIdentity,
		Detail: fmt.Sprintf("the %s you know is %s%s, and this link is of %s, another key: "+
			"keep both with: parley contact add LINK --as OTHER_NAME, or give the name away with: parley contact add LINK --as %s --replace",
			name, old.Account.Short(), mark, account.Short(), name),
		Try: "parley contact add LINK --as OTHER_NAME",
	}
}

// yield takes a contact's name away, for another account to have it.
func (m *Messenger) yield(tx Tx, row ContactRow) error {
	suffix := fmt.Sprintf(" (%s)", row.Account.Short()[:shortBegin])
	name, err := freeName(tx, row.Account, truncate(row.Name, MaxName-len(suffix))+suffix)
	if err != nil {
		return err
	}
	if row.Name = name; row.Trust != TrustMismatch {
		row.Trust = TrustNone
	}
	if err := tx.PutContact(row); err != nil {
		return err
	}
	return m.tell(tx, EventKeyChanged, row.Account)
}

// shortBegin is how much of an account's short form names it among a person's contacts: two groups.
const shortBegin = len("7q3k-m2fd")

// tell appends an event about a contact.
func (m *Messenger) tell(tx Tx, what EventType, account AccountID) error {
	_, err := tx.AppendEvent(Event{Type: what, At: m.now(), Conversation: DirectConversation(m.self, account), Account: account})
	return err
}

// errFull says that there is no room for another contact.
var errFull = &Error{Code: CodeLimit, Detail: fmt.Sprintf("the address book is full: at most %d contacts fit", MaxContacts)}

// conversationWith returns the conversation with an account, and makes account and conversation known when they are not, if there
// are fewer than so many contacts: under the name, with a number behind it if that is taken, or under the account's id if there is none.
func (m *Messenger) conversationWith(tx Tx, account AccountID, name string, most int) (ConversationRow, error) {
	id := DirectConversation(m.self, account)
	if c, ok, err := tx.Conversation(id); ok || err != nil {
		return c, err
	}
	stats, err := tx.Stats()
	if err != nil {
		return ConversationRow{}, err
	}
	if stats.Contacts >= most {
		return ConversationRow{}, errFull
	}
	row := ContactRow{Account: account, At: m.now()}
	if row.Name, err = freeName(tx, account, name); err != nil {
		return ConversationRow{}, err
	}
	if err := tx.PutContact(row); err != nil {
		return ConversationRow{}, err
	}
	c := ConversationRow{ID: id, Peer: account, At: row.At}
	if err := tx.PutConversation(c); err != nil {
		return c, err
	}
	return c, m.tell(tx, EventContactAdded, account)
}

// nameTries is how many numbers are tried behind a name before the account's id takes its place: crowds of one name are made up.
const nameTries = 20

// freeName returns a name that no contact has: the wanted one if it is fit to be shown, numbered if taken; else the account's id.
func freeName(tx Tx, account AccountID, wanted string) (string, error) {
	contacts, err := tx.Contacts()
	if err != nil {
		return "", err
	}
	taken := make(map[string]bool, len(contacts))
	for _, c := range contacts {
		taken[nameKey(c.Name)] = true
	}
	candidates := []string{account.Short(), account.String()[:MaxName]}
	if CheckName("name", wanted) == nil {
		names := []string{wanted}
		for n := 2; n < nameTries; n++ {
			suffix := fmt.Sprintf("-%d", n)
			names = append(names, truncate(wanted, MaxName-len(suffix))+suffix)
		}
		candidates = append(names, candidates...)
	}
	for _, name := range candidates {
		if !taken[nameKey(name)] {
			return name, nil
		}
	}
	return "", errFull
}

// nameKey folds a name for look-up: people type "bob" for "Bob", and two spellings of the same letters are one name.
func nameKey(name string) string { return strings.ToLower(norm.NFKC.String(name)) }

// named finds the contact of a name. Names are compared here and nowhere else: a store may not even be able to read them.
func named(tx Tx, name string) (ContactRow, bool, error) {
	contacts, err := tx.Contacts()
	if err != nil || name == "" {
		return ContactRow{}, false, err
	}
	key := nameKey(name)
	for _, c := range contacts {
		if nameKey(c.Name) == key {
			return c, true, nil
		}
	}
	return ContactRow{}, false, nil
}

// contactsByName lists the contacts as people look for them.
func contactsByName(tx Tx) ([]ContactRow, error) {
	contacts, err := tx.Contacts()
	keys := make(map[AccountID]string, len(contacts))
	for _, c := range contacts {
		keys[c.Account] = nameKey(c.Name)
	}
	slices.SortFunc(contacts, func(a, b ContactRow) int { return cmp.Compare(keys[a.Account], keys[b.Account]) })
	return contacts, err
}

// ofContact loads a contact whom people name; CodeTarget where they are none.
func ofContact(tx Tx, account AccountID) (ContactRow, error) {
	row, ok, err := tx.Contact(account)
	if err == nil && !ok {
		err = &Error{Code: CodeTarget, Detail: account.Short() + " is no contact", Try: "parley contact list"}
	}
	return row, err
}

func (m *Messenger) contactView(tx Tx, row ContactRow) (Contact, error) {
	devices, err1 := m.recipients(tx, row.Account)
	introducer, err2 := introducerView(tx, row.Introducer)
	return Contact{
		Account: row.Account, Name: row.Name, Conversation: DirectConversation(m.self, row.Account), At: row.At, Known: len(devices) > 0,
		Blocked: row.Blocked, Trust: row.Trust, Introducer: introducer, Receipts: row.Receipts,
	}, errors.Join(err1, err2)
}

// introducerView says who introduced somebody, and whether their word counts now.
func introducerView(tx Tx, account AccountID) (Introducer, error) {
	if account.IsZero() {
		return Introducer{}, nil
	}
	row, _, err := tx.Contact(account)
	return Introducer{Account: account, Name: row.Name, Verified: row.Trust == TrustVerified}, err
}

// Contacts lists the address book by name, and behind it who has invited us where no messenger has run since (Resume): they are one.
func (m *Messenger) Contacts(ctx context.Context) ([]Contact, error) {
	var contacts []Contact
	err := m.look(ctx, func(tx Tx) error {
		contacts = nil
		rows, err := contactsByName(tx)
		if err != nil {
			return err
		}
		for _, row := range rows {
			c, err := m.contactView(tx, row)
			if err != nil {
				return err
			}
			contacts = append(contacts, c)
		}
		inviter, err := m.inviter(tx)
		contacts = append(contacts, inviter...)
		return err
	})
	return contacts, wrap(err, "list contacts")
}

// learnContacts tells the transport which devices matter to us.
func (m *Messenger) learnContacts(ctx context.Context) error {
	if m.transport == nil {
		return nil
	}
	var known []recipient
	err := m.look(ctx, func(tx Tx) error {
		known = nil
		contacts, err := tx.Contacts()
		if err != nil {
			return err
		}
		for _, c := range contacts {
			devices, err := m.recipients(tx, c.Account)
			if err != nil {
				return err
			}
			known = append(known, devices...)
		}
		return nil
	})
	m.know(known)
	return wrap(err, "learn the contacts' devices")
}

// know remembers devices of contacts, and tells the transport that they matter to us.
func (m *Messenger) know(devices []recipient) {
	for _, d := range devices {
		m.transport.Learn(d.device, nil)
	}
}

// learn hands the addresses in a link to the transport.
func (m *Messenger) learn(invite Invite) {
	var devices []peer.ID
	for _, s := range invite.Seeds {
		m.transport.Learn(s.Device, s.Addrs)
		devices = append(devices, s.Device)
	}
	m.hint(invite.Account, devices)
}

// ContactLink returns our own link, with which others in this network may ask to be our contacts.
func (m *Messenger) ContactLink(context.Context) (InviteLink, error) {
	addrs, reachable := m.addresses()
	invite := Invite{
		Kind: InviteContact, Network: Network{ID: m.network.ID}, Account: m.self, Name: m.name,
		Seeds: []Seed{{Device: m.device, Addrs: addrs}}, Token: m.links.LinkKey().Contact(),
	}
	return InviteLink{Link: invite.String(), Network: m.network.Name, Addresses: addrs, Reachable: reachable}, nil
}

// ResetContactLink makes all links and invites from before reach us no more, and returns the new contact link. Who is a contact
// stays one, and who is waiting for an answer goes on waiting.
func (m *Messenger) ResetContactLink(ctx context.Context) (InviteLink, error) {
	if err := m.links.RenewLinks(); err != nil {
		return InviteLink{}, wrap(err, "renew the links")
	}
	if err := m.revokeOpenInvites(ctx); err != nil {
		return InviteLink{}, err
	}
	poke(m.arrange)
	return m.ContactLink(ctx)
}

// addresses returns our best addresses, as many as a link holds; none without a network.
func (m *Messenger) addresses() ([]string, bool) {
	if m.transport == nil {
		return nil, false
	}
	addrs, reachable := m.transport.Addresses()
	return addrs[:min(len(addrs), MaxInviteAddrs)], reachable
}

// otherSeeds returns the seeds that an invite names besides us.
func (m *Messenger) otherSeeds() []Seed {
	var seeds []Seed
	for _, s := range m.seeds {
		if s.Device != m.device && len(seeds) < MaxInviteSeeds-1 {
			seeds = append(seeds, s)
		}
	}
	return seeds
}

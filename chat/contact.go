package chat

import (
	"context"
	"fmt"
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
	Known bool
}

// AddContact adds the owner of a link under a name ("" takes the name in the link) and queues a card to them, which makes us their
// contact. It never waits for the network. Adding somebody again changes nothing and returns the contact.
func (m *Messenger) AddContact(ctx context.Context, link, as string) (Contact, error) {
	invite, err := ParseInvite(link)
	if err != nil {
		return Contact{}, err
	}
	if err := invite.Check(m.now(), m.self); err != nil {
		return Contact{}, err
	}
	if invite.Network.ID != m.network.ID {
		return Contact{}, &Error{
			Code:   CodeRefused,
			Detail: fmt.Sprintf("the link belongs to another network than %s %s", CleanText(m.network.Name), m.network.Fingerprint()),
			Try:    "ask for a link made in this network, or join theirs in a home of its own: parley --home DIR init --join LINK",
		}
	}
	return m.addContact(ctx, invite, as)
}

func (m *Messenger) addContact(ctx context.Context, invite Invite, as string) (Contact, error) {
	if as != "" {
		if err := CheckName("name", as); err != nil {
			return Contact{}, err
		}
	}
	var contact Contact
	err := m.update(ctx, func(tx Tx, after *aftermath) error {
		row, known, err := tx.Contact(invite.Account)
		if err != nil {
			return err
		}
		if !known {
			if row, err = m.introduce(tx, after, invite, as); err != nil {
				return err
			}
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

// introduce makes a contact of a link's owner and queues our card to them.
func (m *Messenger) introduce(tx Tx, after *aftermath, invite Invite, as string) (ContactRow, error) {
	if as != "" {
		if taken, err := nameKeys(tx); err != nil || taken[nameKey(as)] {
			return ContactRow{}, orTaken(err, as)
		}
	}
	name := as
	if name == "" {
		name = invite.Name
	}
	c, err := m.conversationWith(tx, invite.Account, name, MaxContacts)
	if err != nil {
		return ContactRow{}, err
	}
	card := wire.Card{Name: m.name, Account: m.identity.accountRecord, Device: m.identity.deviceRecord}
	if _, err := m.queue(tx, after, c, KindCard, card.Append(nil), ""); err != nil {
		return ContactRow{}, err
	}
	row, _, err := tx.Contact(invite.Account)
	return row, err
}

func orTaken(err error, name string) error {
	if err != nil {
		return err
	}
	return &Error{
		Code:   CodeInvalid,
		Detail: fmt.Sprintf("there is a contact named %s already", CleanText(name)),
		Try:    "parley contact add LINK --as ANOTHER_NAME",
	}
}

// errFull says that there is no room for another contact. It is no answer to an envelope: the sender keeps it, and tries again later.
var errFull = &Error{Code: CodeLimit, Detail: fmt.Sprintf("the address book is full: at most %d contacts fit", MaxContacts)}

// meet returns the conversation with an account that writes to us.
func (m *Messenger) meet(tx Tx, account AccountID, name string) (ConversationRow, error) {
	return m.conversationWith(tx, account, name, StrangerContacts)
}

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
	_, err = tx.AppendEvent(Event{Type: EventContactAdded, At: row.At, Conversation: id, Account: account})
	return c, err
}

// nameTries is how many numbers are tried behind a name before the account's id takes its place: crowds of one name are made up.
const nameTries = 20

// freeName returns a name that no contact has: the wanted one if it is fit to be shown, numbered if taken; else the account's id.
func freeName(tx Tx, account AccountID, wanted string) (string, error) {
	candidates := []string{account.Short(), account.String()[:MaxName]}
	if CheckName("name", wanted) == nil {
		names := []string{wanted}
		for n := 2; n < nameTries; n++ {
			suffix := fmt.Sprintf("-%d", n)
			names = append(names, truncate(wanted, MaxName-len(suffix))+suffix)
		}
		candidates = append(names, candidates...)
	}
	taken, err := nameKeys(tx)
	if err != nil {
		return "", err
	}
	for _, name := range candidates {
		if !taken[nameKey(name)] {
			return name, nil
		}
	}
	return "", errFull
}

// nameKeys returns the folded names of all contacts.
func nameKeys(tx Tx) (map[string]bool, error) {
	contacts, err := tx.Contacts()
	keys := make(map[string]bool, len(contacts))
	for _, c := range contacts {
		keys[nameKey(c.Name)] = true
	}
	return keys, err
}

// nameKey folds a name for look-up: people type "bob" for "Bob", and two spellings of the same letters are one name.
func nameKey(name string) string { return strings.ToLower(norm.NFKC.String(name)) }

func (m *Messenger) contactView(tx Tx, row ContactRow) (Contact, error) {
	devices, err := m.recipients(tx, row.Account)
	return Contact{
		Account: row.Account, Name: row.Name, Conversation: DirectConversation(m.self, row.Account), At: row.At, Known: len(devices) > 0,
	}, err
}

// Contacts lists the address book by name.
func (m *Messenger) Contacts(ctx context.Context) ([]Contact, error) {
	var contacts []Contact
	err := m.look(ctx, func(tx Tx) error {
		contacts = nil
		rows, err := tx.Contacts()
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
		return nil
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
	for _, d := range known {
		m.transport.Learn(d.device, nil)
	}
	return wrap(err, "learn the contacts' devices")
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

// ContactLink returns our own link, for others in this network to add us.
func (m *Messenger) ContactLink(context.Context) (InviteLink, error) {
	addrs, reachable := m.addresses()
	invite := Invite{
		Kind: InviteContact, Network: Network{ID: m.network.ID}, Account: m.self, Name: m.name,
		Seeds: []Seed{{Device: m.device, Addrs: addrs}},
	}
	return InviteLink{Link: invite.String(), Network: m.network.Name, Addresses: addrs, Reachable: reachable}, nil
}

// Invite makes a link that lets somebody join the network, and makes them and us contacts.
func (m *Messenger) Invite(context.Context) (InviteLink, error) {
	addrs, reachable := m.addresses()
	if len(addrs) == 0 {
		return InviteLink{}, &Error{Code: CodeUnavailable, Detail: "this node listens on no address yet, so an invite would lead nowhere", Try: "parley up"}
	}
	invite := Invite{
		Kind: InviteNetwork, Network: m.network, Account: m.self, Name: m.name, Expires: m.now().Add(InviteLifetime),
		Seeds: append([]Seed{{Device: m.device, Addrs: addrs}}, m.otherSeeds()...),
	}
	return InviteLink{
		Link: invite.String(), Network: m.network.Name, Expires: invite.Expires, Addresses: addrs, Reachable: reachable,
	}, nil
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

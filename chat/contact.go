package chat

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

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
		row, known, err := contactOf(tx, invite.Account)
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
		if taken, err := nameTaken(tx, as); err != nil || taken {
			return ContactRow{}, orTaken(err, as)
		}
	}
	name := as
	if name == "" {
		name = invite.Name
	}
	c, ok, err := m.conversationWith(tx, after, invite.Account, name)
	if err != nil {
		return ContactRow{}, err
	}
	if !ok {
		return ContactRow{}, &Error{Code: CodeLimit, Detail: fmt.Sprintf("there are %d contacts already, at most %d fit", MaxContacts, MaxContacts)}
	}
	card := wire.Card{Name: m.name, Account: m.identity.accountRecord, Device: m.identity.deviceRecord}
	if _, err := m.queue(tx, after, c, KindCard, card.Append(nil), ""); err != nil {
		return ContactRow{}, err
	}
	row, _, err := contactOf(tx, invite.Account)
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

// conversationWith returns the conversation with an account, and makes account and conversation known when they are not: under the
// name, with a number behind it if that is taken, or under the account's id if there is none. ok is false when the address book is full.
func (m *Messenger) conversationWith(tx Tx, after *aftermath, account AccountID, name string) (c ConversationRow, ok bool, err error) {
	id := DirectConversation(m.self, account)
	if c, ok, err = tx.Conversation(id); ok || err != nil {
		return c, ok, err
	}
	contacts, err := tx.Contacts()
	if err != nil || len(contacts) >= MaxContacts {
		return c, false, err
	}
	row := ContactRow{Account: account, Name: freeName(contacts, account, name), At: m.now()}
	row.Key = nameKey(row.Name)
	if err := tx.PutContact(row); err != nil {
		return c, false, err
	}
	c = ConversationRow{ID: id, Peer: account, At: row.At}
	if err := tx.PutConversation(c); err != nil {
		return c, false, err
	}
	_, err = tx.AppendEvent(Event{Type: EventContactAdded, At: row.At, Conversation: id, Account: account})
	after.resolve = append(after.resolve, account)
	return c, true, err
}

// freeName returns a name that no contact has: the wanted one if it is fit to be shown, else the account's id, numbered if taken.
func freeName(contacts []ContactRow, account AccountID, wanted string) string {
	if CheckName("name", wanted) != nil {
		wanted = account.Short()
	}
	taken := map[string]bool{}
	for _, c := range contacts {
		taken[c.Key] = true
	}
	for n, name := 2, wanted; ; n++ {
		if !taken[nameKey(name)] {
			return name
		}
		suffix := fmt.Sprintf("-%d", n)
		name = truncate(wanted, MaxName-len(suffix)) + suffix
	}
}

func nameTaken(tx Tx, name string) (bool, error) {
	contacts, err := tx.Contacts()
	for _, c := range contacts {
		if c.Key == nameKey(name) {
			return true, err
		}
	}
	return false, err
}

// nameKey folds a name for look-up: people type "bob" for "Bob".
func nameKey(name string) string { return strings.ToLower(name) }

func contactOf(tx Tx, account AccountID) (ContactRow, bool, error) {
	contacts, err := tx.Contacts()
	for _, c := range contacts {
		if c.Account == account {
			return c, true, err
		}
	}
	return ContactRow{}, false, err
}

func (m *Messenger) contactView(tx Tx, row ContactRow) (Contact, error) {
	devices, err := m.recipients(tx, row.Account)
	return Contact{
		Account: row.Account, Name: row.Name, Conversation: DirectConversation(m.self, row.Account), At: row.At, Known: len(devices) > 0,
	}, err
}

// Contacts lists the address book by name.
func (m *Messenger) Contacts(ctx context.Context) ([]Contact, error) {
	var contacts []Contact
	err := m.store.View(ctx, func(tx Tx) error {
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

package api

import (
	"context"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"parley/chat"
)

// Backend is everything a client of a node can ask for. *chat.Messenger is the node itself, *Client is the same node behind the
// local API: commands work with either and cannot tell which. Errors that people should see are *chat.Error in both.
type Backend interface {
	Node
	Network
	NetworkKey
	Contacts
	Links
	Strangers
	Trust
	Messages
	Choices
	Reader
}

// Node is about the node and its network.
type Node interface {
	Status(ctx context.Context) (chat.Status, error)
	Peers(ctx context.Context) ([]chat.Peer, error)
}

// Network is who may be on the network. What this device may not do is chat.CodeRefused.
type Network interface {
	// Invite makes a link that lets somebody join the network and makes them and us contacts.
	Invite(ctx context.Context, o chat.InviteOptions) (chat.InviteLink, error)
	// Invites lists those that were made here, the oldest first; their links are nowhere any more.
	Invites(ctx context.Context) ([]chat.NetworkInvite, error)
	// RevokeInvite makes one worthless, by its id or the beginning of it. The error has chat.CodeTarget where it names none, or several.
	RevokeInvite(ctx context.Context, id string) error
	// Members lists the devices that this one has let in or met on the network, itself included.
	Members(ctx context.Context) ([]chat.Member, error)
	// RevokeMember throws all devices of an account out, for good, and, if asked, whom they have let in. An account that no member has is
	// chat.CodeTarget.
	RevokeMember(ctx context.Context, account chat.AccountID, withInvited bool) error
}

// NetworkKey is the network's pre-shared key, which is never shown. Only the device that made the network can change it: for others that is
// chat.CodeRefused, as it is where there is no key.
type NetworkKey interface {
	// KeyRotation says when the key was changed, and who has followed.
	KeyRotation(ctx context.Context) (chat.KeyRotation, error)
	// RotateKey makes a new key, and lets the one before it be good for a while: zero for chat.KeyGrace. The error has chat.CodeRefused while
	// another one is, too.
	RotateKey(ctx context.Context, grace time.Duration) (chat.KeyRotation, error)
	// EndKeyGrace makes the key before worthless now. Where it is, the error has chat.CodeRefused.
	EndKeyGrace(ctx context.Context) (chat.KeyRotation, error)
}

// Contacts is the address book.
type Contacts interface {
	Contacts(ctx context.Context) ([]chat.Contact, error)
	// AddContact adds the owner of a contact link under a name ("" takes the name in the link), and queues a request to them.
	// Adding somebody again returns the contact. A name that another account has is chat.CodeIdentity.
	AddContact(ctx context.Context, link, as string) (chat.Contact, error)
	// ReplaceContact is AddContact, and gives the owner of the link a name that another account has.
	ReplaceContact(ctx context.Context, link, as string) (chat.Contact, error)
	// RemoveContact forgets a contact and the conversation with it: nothing of it can be read any more, anywhere. The error has
	// chat.CodeTarget where there is no such contact.
	RemoveContact(ctx context.Context, a chat.AccountID) error
}

// Links is what others ask us with.
type Links interface {
	// ContactLink returns our own link, with which others may ask to be our contacts.
	ContactLink(ctx context.Context) (chat.InviteLink, error)
	// ResetContactLink makes all our links from before lead to nobody, and returns the new one.
	ResetContactLink(ctx context.Context) (chat.InviteLink, error)
}

// Strangers is who may write to us. The account of somebody who is neither contact nor request is chat.CodeTarget.
type Strangers interface {
	// Requests lists who waits for an answer or was turned away, oldest first.
	Requests(ctx context.Context) ([]chat.Request, error)
	// AcceptRequest makes a contact of who waits, under a name ("" for the one in the request). Again: it returns the contact.
	AcceptRequest(ctx context.Context, account chat.AccountID, as string) (chat.Contact, error)
	// RejectRequest turns somebody away, silently, until Unblock or AddContact.
	RejectRequest(ctx context.Context, account chat.AccountID) error
	// Block silences a contact.
	Block(ctx context.Context, account chat.AccountID) (chat.Contact, error)
	// Unblock lets a contact write again, or who was turned away ask again.
	Unblock(ctx context.Context, account chat.AccountID) error
}

// Trust is what people know of keys.
type Trust interface {
	// SafetyNumber returns the number that a contact and we compare.
	SafetyNumber(ctx context.Context, account chat.AccountID) (chat.Safety, error)
	// SetTrust notes what came of that: chat.TrustVerified, chat.TrustMismatch, or chat.TrustNone.
	SetTrust(ctx context.Context, account chat.AccountID, t chat.Trust) (chat.Contact, error)
	// Introduce tells one contact of another, whom we have verified.
	Introduce(ctx context.Context, who, to chat.AccountID) error
}

// Choices is what people decide about the delivery of messages.
type Choices interface {
	// Mailboxes says who keeps mailboxes for this device.
	Mailboxes(ctx context.Context) (chat.Mailboxes, error)
	// ChooseMailboxes names who is to, at most chat.MaxMailboxes hosts; nil lets the node choose, an empty list means nobody.
	ChooseMailboxes(ctx context.Context, hosts []peer.ID) error
	// SetReceipts says whether a contact, or with the zero account everybody of whom nothing else is said, learns what was read here.
	SetReceipts(ctx context.Context, account chat.AccountID, r chat.Receipts) error
}

// Messages is sending, and following what was sent.
type Messages interface {
	// Send queues a message durably and returns it; it never waits for the network.
	Send(ctx context.Context, d chat.Draft) (chat.Message, error)
	// SendAll queues drafts of one conversation in their order, all or none: at most chat.SendBatch, with texts of chat.MaxText bytes together.
	SendAll(ctx context.Context, drafts []chat.Draft) ([]chat.Message, error)
	// Info says where a message is, ours or not, and how it got there. The error is chat.CodeTarget where there is none.
	Info(ctx context.Context, id chat.MessageID) (chat.Info, error)
	// Wait returns a message of ours once it has reached the state. When ctx ends first it returns the message as it is then, and
	// an error with chat.CodeNotReached; when the message fails, the message and an error with chat.CodeRefused. With a ctx that
	// has ended already it is a look at the message.
	Wait(ctx context.Context, id chat.MessageID, s chat.State) (chat.Message, error)
}

// Reader is reading, and following what comes in.
type Reader interface {
	Conversations(ctx context.Context) ([]chat.Conversation, error)
	// History returns the messages before one (the zero id: the newest), oldest first, at most limit. A limit
	// that is not from 1 to chat.MaxPage stands for chat.MaxPage, here and in Unread.
	History(ctx context.Context, c chat.ConversationID, before chat.MessageID, limit int) ([]chat.Message, error)
	// Unread returns messages that came in and were not shown yet, oldest first; the zero conversation stands for all.
	Unread(ctx context.Context, c chat.ConversationID, limit int) ([]chat.Message, error)
	// MarkRead says that these messages were shown. Their authors get read receipts, unless people have turned those off.
	MarkRead(ctx context.Context, ids []chat.MessageID) error
	// Follow calls fn for every event after a sequence number, in order, and goes on with what happens until ctx ends (it then
	// returns ctx's error), fn returns an error (it returns that), or the node goes away (CodeUnavailable).
	Follow(ctx context.Context, after uint64, fn func(chat.Entry) error) error
}

package mailbox

import (
	"context"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
)

// Lane is one way into a mailbox: whoever has the capability that Key is the hash of may deposit through it. (It is an alias of an unnamed
// struct, so that a messenger can name the same type without importing this package.)
type Lane = struct {
	Key   [32]byte // SHA-256 of the capability
	Class uint8    // which quota counts: ClassContact or ClassLink
}

// The classes of lanes. What comes without a capability goes through the open lane, which all strangers share.
const (
	ClassOpen    uint8 = 0
	ClassContact uint8 = 1
	ClassLink    uint8 = 2
)

// DepositID names a deposit, so that one that is made twice is kept once. Whoever makes it derives it from what is in it.
type DepositID = [16]byte

// Deposit is one box for one owner.
type Deposit struct {
	Owner peer.ID  // whose mailbox it is for
	Host  peer.ID  // the host that takes it
	Lane  [32]byte // the key of the lane that it came through; zeros: the open lane
	ID    DepositID
	Box   []byte
	At    time.Time
}

// Verdict is what became of a deposit.
type Verdict uint8

// What may become of a deposit. The numbers are those of the protocol.
const (
	Stored      Verdict = 1 // it is kept durably, now or since it was made before
	LaneFull    Verdict = 2 // its lane has no room: the owner has to fetch first
	MailboxFull Verdict = 3 // the owner's mailbox has no room
	HostFull    Verdict = 4 // the host has no room
	Closed      Verdict = 5 // the owner keeps no mailbox here, or has no such lane
)

// Box is one deposit as its owner gets it.
type Box struct {
	ID  DepositID
	Box []byte
}

// Lease says which boxes a host wants to hand to their owner.
type Lease struct {
	Owner peer.ID
	Host  peer.ID     // who hands out; what it has leased itself it may lease again
	Skip  []DepositID // boxes that are on their way already, at most Window
	Now   time.Time   // leases that ended before are over
	Until time.Time   // when this one ends
	Boxes int         // at most so many, the oldest first
	Bytes int         // and together so many, but at least one box
}

// Quota is how much may be kept. Each is of boxes and of bytes of boxes. Where it gets smaller than what is kept, nothing goes: nothing more
// comes in until there is room again. (Quota, Room and Limits are aliases of unnamed structs, so that who asks people for them can name the
// same types without importing this package.)
type Quota = struct {
	Contact, Link, Open Room // of one lane
	Mailbox             Room // of one owner, all lanes together
	Host                Room // of all owners together
	Owners              int  // how many mailboxes there may be
	Sure                Room // what each mailbox has for sure: all of it together, for Owners mailboxes, is never given to others
}

// Room is a number of boxes and a number of bytes.
type Room = struct {
	Boxes int
	Bytes int64
}

// Limits is what a host keeps, and for how long.
type Limits = struct {
	Quota Quota
	Life  time.Duration // of a box
}

// Counter is a store that can say how much it holds for all owners together: how many they are, and their boxes.
type Counter interface {
	Held(ctx context.Context) (owners, boxes int, bytes int64, err error)
}

// Store keeps boxes until their owners have them. Several hosts may share one: any of them hands out what any of them took. What it says is
// done is durable.
type Store interface {
	// Open lets an owner's correspondents deposit at a host, through these lanes and no others, and makes the mailbox where there is none.
	// It returns HostFull where there are too many mailboxes, else Stored. No lanes at all (nil) close the way through this host, and the
	// last way that is closed closes the mailbox and drops its boxes.
	Open(ctx context.Context, owner, host peer.ID, lanes []Lane, q Quota, at time.Time) (Verdict, error)
	// Deposit keeps a box, unless one of the owner's has its ID already (then it is Stored as well) or there is no room.
	Deposit(ctx context.Context, d Deposit, q Quota) (Verdict, error)
	// Lease returns boxes of an owner that nobody else has on lease, and leases them.
	Lease(ctx context.Context, l Lease) ([]Box, error)
	// Delete drops boxes that their owner has. What is gone already is no error.
	Delete(ctx context.Context, owner peer.ID, ids []DepositID) error
	// Expire drops boxes that were deposited before one time, and mailboxes that were not opened since another and are empty. It returns how
	// many boxes it has dropped.
	Expire(ctx context.Context, boxes, mailboxes time.Time) (dropped int, err error)
}

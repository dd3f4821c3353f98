package chat

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
)

// The network's pre-shared key, and how it is changed (node/SPEC.md, "The network's key").

// NetworkKey is what the messenger needs of its node about the network's key. An error is a line for people.
type NetworkKey interface {
	// NetworkKey returns the key that invites carry; nil in a network without one.
	NetworkKey() []byte
	// RotateKey puts a new key in its place, and lets the one before it be good for so long.
	RotateKey(grace time.Duration) error
	// EndKeyGrace makes the one before it worthless.
	EndKeyGrace() error
	// KeyRotation says when that was, and who has followed.
	KeyRotation() NetworkKeyState
}

// NetworkKeyState is what a node knows of the network's key. (It is an alias of an unnamed struct, so that the node can name it without
// importing this package.)
type NetworkKeyState = struct {
	Made     time.Time // when it was changed last; zero: never
	Ends     time.Time // until when the one before it is good
	Followed []peer.ID
	Behind   []peer.ID
}

// KeyRotation is how far the members have followed the network's key.
type KeyRotation struct {
	Private  bool      // the network has a key
	Own      bool      // this device can change it
	Made     time.Time // when it was changed last; zero: never
	Ends     time.Time // until when the one before it is good
	Followed []Member  // who has said that they have the newest, as far as this device knows, itself included
	Behind   []Member  // who has not
}

// Grace reports whether the key before is still good.
func (k KeyRotation) Grace(now time.Time) bool { return now.Before(k.Ends) }

// networkKey returns the key that invites carry.
func (m *Messenger) networkKey() []byte {
	if m.netKey == nil {
		return m.network.PSK
	}
	return m.netKey.NetworkKey()
}

// KeyRotation says when the network's key was changed, and who has followed.
func (m *Messenger) KeyRotation(ctx context.Context) (KeyRotation, error) {
	k := KeyRotation{Private: m.network.PSK != nil}
	if m.netKey == nil {
		return k, nil
	}
	members, err := m.Members(ctx)
	if err != nil {
		return k, err
	}
	s := m.netKey.KeyRotation()
	k.Made, k.Ends = s.Made, s.Ends
	for _, member := range members {
		switch {
		case slices.Contains(s.Followed, member.Device):
			k.Followed = append(k.Followed, member)
		case slices.Contains(s.Behind, member.Device):
			k.Behind = append(k.Behind, member)
		}
		k.Own = k.Own || member.Self && member.Invite == ""
	}
	return k, nil
}

// RotateKey puts a new key in the place of the network's, and lets the one before it be good for a while: zero for KeyGrace. Only the device that
// made the network can.
func (m *Messenger) RotateKey(ctx context.Context, grace time.Duration) (KeyRotation, error) {
	if grace == 0 {
		grace = KeyGrace
	}
	if err := CheckKeyGrace(grace); err != nil {
		return KeyRotation{}, err
	}
	k, err := m.mayRotate(ctx)
	if err != nil {
		return k, err
	}
	if k.Grace(m.now()) {
		return k, &Error{
			Code:   CodeRefused,
			Detail: fmt.Sprintf("the key of %s was changed already, and members may follow until %s: once at a time", m.network, k.Ends.Format("2 Jan 2006 15:04:05 MST")),
			Try:    "parley net rotate-key --now",
		}
	}
	if err := m.netKey.RotateKey(grace); err != nil {
		return k, notAllowed(err)
	}
	return m.KeyRotation(ctx)
}

// CheckKeyGrace says why the key before cannot be good for so long, as a *Error; nil when it can. Zero is no grace here, and that cannot be: who is
// connected needs a moment.
func CheckKeyGrace(grace time.Duration) error {
	e := &Error{Code: CodeInvalid, Detail: fmt.Sprintf("the older key may be good from %v to %dh more, not %v", MinKeyGrace, MaxKeyGrace/time.Hour, grace)}
	switch {
	case grace < MinKeyGrace:
		e.Detail += "; to leave nobody any time, change the key and end its grace with --now"
		e.Try = fmt.Sprintf("parley net rotate-key --grace %v", MinKeyGrace)
	case grace > MaxKeyGrace:
		e.Try = fmt.Sprintf("parley net rotate-key --grace %dh", MaxKeyGrace/time.Hour)
	default:
		return nil
	}
	return e
}

// EndKeyGrace makes the key before worthless now: who has not followed needs a new invite.
func (m *Messenger) EndKeyGrace(ctx context.Context) (KeyRotation, error) {
	k, err := m.mayRotate(ctx)
	if err != nil {
		return k, err
	}
	if err := m.netKey.EndKeyGrace(); err != nil {
		return k, notAllowed(err)
	}
	return m.KeyRotation(ctx)
}

// mayRotate says why this device cannot change the key, and who can.
func (m *Messenger) mayRotate(ctx context.Context) (KeyRotation, error) {
	k, err := m.KeyRotation(ctx)
	switch {
	case err != nil:
		return k, err
	case !k.Private || m.netKey == nil:
		return k, &Error{Code: CodeRefused, Detail: fmt.Sprintf("%s has no pre-shared key that could be changed", m.network)}
	case k.Own:
		return k, nil
	}
	who := "somebody whom this one has not met"
	members, err := m.Members(ctx)
	for _, member := range members {
		if member.Invite == "" {
			if who = CleanText(member.Name); who == "" {
				who = member.Account.Short()
			}
		}
	}
	if err != nil {
		return k, err
	}
	return k, &Error{Code: CodeRefused, Detail: "only the device that made the network can change its key: it is one of " + who}
}

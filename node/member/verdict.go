package member

import (
	"errors"
	"fmt"
)

// Verdict is what one side says about another. The numbers cross the wire: they are closed, and never used again.
type Verdict byte

// The verdicts. MayNotInvite, IssuerAway, Busy, and what has Invite in its name, are what a joiner is told.
const (
	Admitted      Verdict = 1  // the only one that lets in
	Unproven      Verdict = 2  // the chain is not good for this device in this network
	Revoked       Verdict = 3  // the device was revoked, or who invited it
	NoMember      Verdict = 4  // who was asked is no member itself, yet
	UnknownInvite Verdict = 5  // who was asked has not made it, or long ago
	ExpiredInvite Verdict = 6  // by the clock of who made it
	UsedInvite    Verdict = 7  // as often as it may be, and not by this device
	RevokedInvite Verdict = 8  // by who made it
	MayNotInvite  Verdict = 9  // who made it was revoked since, or is too far from the authority
	IssuerAway    Verdict = 10 // who was asked has not made it, and does not see who has, or the latter does not know it
	Busy          Verdict = 11 // who was asked hands on as many requests as it may
)

// Error says what a verdict means to who has got it; "" for Admitted.
func (v Verdict) Error() string {
	switch v {
	case Admitted:
		return ""
	case Unproven:
		return "this device is not a member of the network"
	case Revoked:
		return "this device was removed from the network, or who invited it was"
	case NoMember:
		return "the node there is not a member of the network yet"
	case UnknownInvite:
		return "the invite is not known to who made it any more"
	case ExpiredInvite:
		return "the invite has expired"
	case UsedInvite:
		return "the invite was used already"
	case RevokedInvite:
		return "the invite was revoked"
	case MayNotInvite:
		return "who made the invite may not let in anybody any more"
	case IssuerAway:
		return "who made the invite is not connected now, and has to be"
	case Busy:
		return "too many ask there to be let in now"
	}
	return fmt.Sprintf("refused with the number %d, which a newer node may know", byte(v))
}

// Refused reports whether asking again is of no use, with the same invite or the same certificate. A messenger asks for it by the name of the
// method.
func (v Verdict) Refused() bool {
	return v != Admitted && v != NoMember && v != IssuerAway && v != Busy
}

// Removed reports whether it says that the device is no member any more: another invite may help it, unless it was thrown out itself. A messenger asks for it
// by the name of the method.
func (v Verdict) Removed() bool { return v == Revoked }

// Invited reports whether it is said of an invite: to a device that has shown one, because it has no certificate. A messenger asks for it by the name of the
// method.
func (v Verdict) Invited() bool { return v >= UnknownInvite && v <= Busy }

// Outsider is that we have not admitted a peer, or do no more: a verdict of ours, where a Verdict alone as an error is one that we were told.
type Outsider struct{ Verdict Verdict }

// Error says it in one line.
func (o *Outsider) Error() string {
	if o.Verdict == Revoked {
		return "the node there was removed from the network, or who invited it was"
	}
	return "the node there is not a member of the network"
}

// Answer returns what in an error says that a peer was there, and it or we did not admit the other; nil where nothing does.
func Answer(err error) error {
	var told Verdict
	var ours *Outsider
	switch {
	case errors.As(err, &told):
		return told
	case errors.As(err, &ours):
		return ours
	case errors.Is(err, ErrUnshown):
		return ErrUnshown
	}
	return nil
}

// outsider returns a verdict of ours as what it is; other errors stay what they are.
func outsider(err error) error {
	if v := Verdict(0); errors.As(err, &v) {
		return &Outsider{v}
	}
	return err
}

// ofIssuer reports whether an issuer says it to nobody but who has the invite: whoever hands a request on may hand that back.
// Numbers of later nodes are not among them: nobody here knows who gives them to whom.
func (v Verdict) ofIssuer() bool {
	switch v {
	case Unproven, Revoked, ExpiredInvite, UsedInvite, RevokedInvite, MayNotInvite:
		return true
	}
	return false
}

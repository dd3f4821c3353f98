package member

import (
	"errors"
	"fmt"
	"slices"
	"time"
)

// Errors of those who want to remove members.
var (
	// ErrNotAuthority says that only the device that made the network can do this.
	ErrNotAuthority = errors.New("only the device that made the network can remove members")
	errFounder      = errors.New("this device made the network: it cannot remove itself")
	errListsFull    = errors.New("there are two lists of revocations, and together they are too large for one")
)

// Revoke throws out for good: accounts, with all devices that they have or will have, or single devices; and, if withInvited, whom they have let in. Without
// that whom they have let in stays, as far as it is known. The next list is kept when it returns; the Gate hands it on.
func (l *Ledger) Revoke(who []Key, withInvited bool, now time.Time) error {
	if l.cfg.Authority == nil {
		return ErrNotAuthority
	}
	if slices.Contains(who, l.cfg.Claim.Device) || slices.Contains(who, l.cfg.Claim.Account) {
		return errFounder
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	next := l.list
	for _, w := range who {
		_, again := next.entry(w)
		switch {
		case withInvited:
			next = next.with(Entry{Who: w})
		case !again: // who fell with somebody does not rise again
			next = next.with(Entry{Who: w, Spared: l.invitedBy(w)})
		}
	}
	next, size := l.issueList(next, l.list.Sequence, now)
	if size > MaxList {
		return listFull(size, withInvited)
	}
	return l.replaceList(next)
}

// issueList signs a list as the one that comes behind a sequence, and returns its size in bytes, too.
func (l *Ledger) issueList(next List, behind uint64, now time.Time) (List, int) {
	next.Sequence, next.Issued = successor(behind, now), uint64(now.Unix())
	next = next.sign(l.cfg.Network, l.cfg.Authority)
	return next, len(next.Marshal())
}

// successor returns the sequence of what the authority signs next, behind one that it knows: the time, so that two copies of its memory, of which one
// was put back, do not give the same to different things.
func successor(known uint64, now time.Time) uint64 {
	return max(known+1, uint64(max(now.Unix(), 0)))
}

// listFull says what helps who would remove more than fit.
func listFull(size int, withInvited bool) error {
	remedy := "remove with --with-invited, which takes less room, "
	if withInvited {
		remedy = "remove who was removed without --with-invited once more with it, which makes room, "
	}
	return fmt.Errorf("nobody was removed: the list of revocations would have %d bytes, and %d are the most; %s"+
		"or make another network, and invite to it who shall stay", size, MaxList, remedy)
}

// invitedBy returns the hashes of the certificates that somebody, a device or an account with its devices, has signed, as far as they are known. The caller holds mu.
func (l *Ledger) invitedBy(who Key) (hashes [][hashSize]byte) {
	known := l.certificates()
	signers := map[Key]bool{who: true}
	for _, a := range known {
		signers[a.Device] = signers[a.Device] || a.Account == who
	}
	for _, a := range known {
		if signers[a.issuer] {
			hashes = append(hashes, a.hash())
		}
	}
	return hashes
}

// List returns the newest list of revocations that this device has, as the authority has signed it; nothing before the first.
func (l *Ledger) List() []byte {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.list.Marshal()
}

// listFor returns the list for a member that has an older one, or, where the member made the network, another one; and nil for others.
func (l *Ledger) listFor(h hello) []byte {
	l.mu.Lock()
	defer l.mu.Unlock()
	if h.sequence < l.list.Sequence || h.chain.first() && h.sequence != l.list.Sequence {
		return l.list.Marshal()
	}
	return nil
}

// TakeList takes a list that the authority has signed, if it is newer than ours, and reports whether ours has changed. A newer one counts from now on, also
// when the error says that it could not be kept: it will be with the next change. One that does not name all whom ours names is taken by nobody: the
// authority has forgotten something. The device that made the network makes one of both.
func (l *Ledger) TakeList(list []byte) (changed bool, err error) {
	other, err := ParseList(list)
	if err != nil {
		return false, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	newer, founder := other.Sequence > l.list.Sequence, l.cfg.Authority != nil
	if other.Sequence == 0 || !newer && !founder {
		return false, nil
	}
	if !l.member() || !other.Signed(l.cfg.Network, l.chain.Authority) {
		return false, errors.New("the list of revocations is not the authority's")
	}
	switch {
	case newer && other.covers(l.list):
	case founder && !l.list.covers(other):
		if other, err = l.unite(other); err != nil {
			return false, err
		}
	default:
		return false, nil
	}
	err = l.replaceList(other)
	l.list, l.kept.List, l.unsaved = other, other.Marshal(), err != nil
	return true, err
}

// unite makes one list of ours and another one that we have signed, with another memory; the caller holds mu.
func (l *Ledger) unite(other List) (List, error) {
	both, size := l.issueList(l.list.united(other), max(l.list.Sequence, other.Sequence), time.Now())
	if size > MaxList {
		return List{}, errListsFull
	}
	return both, nil
}

// replaceList keeps a good list; the caller holds mu.
func (l *Ledger) replaceList(next List) error {
	if err := l.save(func(k *kept) { k.List = next.Marshal() }); err != nil {
		return err
	}
	l.list = next
	return nil
}

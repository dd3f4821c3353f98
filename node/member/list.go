package member

import (
	"bytes"
	"crypto/ed25519"
	"encoding/binary"
	"errors"
	"slices"
)

// List is who was thrown out, as the authority has said. The zero list revokes nobody; it is what there is before the first.
type List struct {
	Sequence  uint64
	Issued    uint64 // Unix seconds
	Entries   []Entry
	signature [ed25519.SignatureSize]byte
}

// Entry revokes a device, or an account with all devices that it has or will have, and whom they have let in unless their certificate is spared.
type Entry struct {
	Who    Key
	Spared [][hashSize]byte // ascending
}

const (
	listHead  = 8 + 8 + 2
	entryHead = keySize + 2
)

var errList = errors.New("malformed list of revocations")

// body is what the authority signs, but for the domain.
func (l List) body() []byte {
	b := binary.BigEndian.AppendUint64(nil, l.Sequence)
	b = binary.BigEndian.AppendUint64(b, l.Issued)
	b = binary.BigEndian.AppendUint16(b, uint16(len(l.Entries)))
	for _, e := range l.Entries {
		b = append(b, e.Who[:]...)
		b = binary.BigEndian.AppendUint16(b, uint16(len(e.Spared)))
		for _, h := range e.Spared {
			b = append(b, h[:]...)
		}
	}
	return b
}

func (l List) signed(n Network) []byte {
	return statement(labelRevocations, n, l.body())
}

// sign makes the list the authority's.
func (l List) sign(n Network, authority ed25519.PrivateKey) List {
	copy(l.signature[:], ed25519.Sign(authority, l.signed(n)))
	return l
}

// Marshal returns the bytes; none for the zero list.
func (l List) Marshal() []byte {
	if l.Sequence == 0 {
		return nil
	}
	return append(l.body(), l.signature[:]...)
}

// ParseList reads what Marshal wrote. Whether the authority has signed it says Signed.
func ParseList(b []byte) (List, error) {
	var l List
	if len(b) == 0 {
		return l, nil
	}
	if len(b) > MaxList || len(b) < listHead+ed25519.SignatureSize {
		return l, errList
	}
	rest, signature := b[listHead:len(b)-ed25519.SignatureSize], b[len(b)-ed25519.SignatureSize:]
	l.Sequence, l.Issued = binary.BigEndian.Uint64(b), binary.BigEndian.Uint64(b[8:])
	l.signature = [ed25519.SignatureSize]byte(signature)
	for range binary.BigEndian.Uint16(b[16:]) {
		e, behind, ok := parseEntry(rest)
		if !ok || len(l.Entries) > 0 && bytes.Compare(l.Entries[len(l.Entries)-1].Who[:], e.Who[:]) >= 0 {
			return List{}, errList
		}
		l.Entries, rest = append(l.Entries, e), behind
	}
	if len(rest) > 0 || l.Sequence == 0 {
		return List{}, errList
	}
	return l, nil
}

func parseEntry(b []byte) (e Entry, rest []byte, ok bool) {
	if len(b) < entryHead {
		return e, nil, false
	}
	e.Who = Key(b)
	k := int(binary.BigEndian.Uint16(b[keySize:]))
	b = b[entryHead:]
	if len(b) < k*hashSize {
		return e, nil, false
	}
	for ; k > 0; k-- {
		h := [hashSize]byte(b)
		if n := len(e.Spared); n > 0 && bytes.Compare(e.Spared[n-1][:], h[:]) >= 0 {
			return e, nil, false
		}
		e.Spared, b = append(e.Spared, h), b[hashSize:]
	}
	return e, b, true
}

// Signed reports whether the authority of the network has made the list.
func (l List) Signed(n Network, authority Key) bool {
	return n.IDOf(authority[:]) == n.ID && ed25519.Verify(authority[:], l.signed(n), l.signature[:])
}

// Judge returns Revoked when the list ends a chain, and Admitted when it lets it stand.
func (l List) Judge(c Chain) Verdict {
	for i, certificate := range c.Certificates {
		if i == len(c.Certificates)-1 && l.names(certificate.Claim) || i < len(c.Certificates)-1 && l.ends(certificate.Claim, c.Certificates[i+1]) {
			return Revoked
		}
	}
	return Admitted
}

// names reports whether a device was thrown out, or whose it is.
func (l List) names(c Claim) bool {
	_, device := l.entry(c.Device)
	_, account := l.entry(c.Account)
	return device || account
}

// ends reports whether the list takes away what a device has signed, one certificate of it in particular.
func (l List) ends(by Claim, signed Certificate) bool {
	device, removed := l.entry(by.Device)
	account, person := l.entry(by.Account)
	if !removed && !person {
		return false
	}
	h := signed.hash()
	return removed && !device.spares(h) || person && !account.spares(h)
}

func (l List) entry(who Key) (Entry, bool) {
	i, found := slices.BinarySearchFunc(l.Entries, who, func(e Entry, k Key) int { return bytes.Compare(e.Who[:], k[:]) })
	if !found {
		return Entry{}, false
	}
	return l.Entries[i], true
}

// covers reports whether the list takes away all that another one takes away.
func (l List) covers(other List) bool {
	return !slices.ContainsFunc(other.Entries, func(theirs Entry) bool {
		ours, named := l.entry(theirs.Who)
		return !named || slices.ContainsFunc(ours.Spared, func(h [hashSize]byte) bool { return !theirs.spares(h) })
	})
}

// with returns the list with an entry more, or another one for the same device or account. Nobody has signed it.
func (l List) with(e Entry) List {
	slices.SortFunc(e.Spared, func(a, b [hashSize]byte) int { return bytes.Compare(a[:], b[:]) })
	e.Spared = slices.Compact(e.Spared)
	others := slices.DeleteFunc(slices.Clone(l.Entries), func(other Entry) bool { return other.Who == e.Who })
	return List{Sequence: l.Sequence, Issued: l.Issued, Entries: inOrder(append(others, e))}
}

// united returns the entries of two lists: they cover both. Nobody has signed them.
func (l List) united(other List) List {
	both := slices.DeleteFunc(slices.Clone(l.Entries), func(ours Entry) bool { _, named := other.entry(ours.Who); return named })
	for _, theirs := range other.Entries {
		if ours, named := l.entry(theirs.Who); named {
			theirs.Spared = slices.DeleteFunc(slices.Clone(theirs.Spared), func(h [hashSize]byte) bool { return !ours.spares(h) })
		}
		both = append(both, theirs)
	}
	return List{Entries: inOrder(both)}
}

func inOrder(entries []Entry) []Entry {
	slices.SortFunc(entries, func(a, b Entry) int { return bytes.Compare(a.Who[:], b.Who[:]) })
	return entries
}

// spares reports whether a certificate with this hash is spared.
func (e Entry) spares(h [hashSize]byte) bool {
	_, spared := slices.BinarySearchFunc(e.Spared, h, func(a, b [hashSize]byte) int { return bytes.Compare(a[:], b[:]) })
	return spared
}

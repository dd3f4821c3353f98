package member

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"slices"
)

// known is a certificate that was seen in a good chain, and who has signed it. One that was seen at the end of two chains is known twice: either may fall alone.
type known struct {
	Certificate []byte `json:"certificate"`
	Issuer      []byte `json:"issuer"`
	Above       []byte `json:"above,omitempty"`   // names the chain of its issuer; nothing where that is the authority
	Follows     uint64 `json:"follows,omitempty"` // the sequence of the network's key that its device has said it has
}

// chain names the chain that the certificate is the end of.
func (k known) chain() []byte {
	sum := sha256.Sum256(slices.Concat(k.Above, k.Certificate))
	return sum[:hashSize]
}

// links takes a chain apart, the authority's first.
func (c Chain) links() []known {
	all := make([]known, 0, len(c.Certificates))
	issuer, above := c.Authority, []byte(nil)
	for _, certificate := range c.Certificates {
		link := known{Certificate: certificate.marshal(), Issuer: bytes.Clone(issuer[:]), Above: above}
		all = append(all, link)
		issuer, above = certificate.Device, link.chain()
	}
	return all
}

// knows reports whether all of a chain was seen before.
func (k *kept) knows(c Chain) bool { return !slices.ContainsFunc(c.links(), k.lacks) }

func (k *kept) lacks(link known) bool {
	return !slices.ContainsFunc(k.Known, func(o known) bool {
		return bytes.Equal(o.Certificate, link.Certificate) && bytes.Equal(o.Above, link.Above)
	})
}

// relink names the chains of what was kept before they had names: those of uses, which were kept as a whole, and of certificates that of their issuer which was learned of
// last before them.
func (k *kept) relink() {
	for _, i := range k.Invites {
		for at, u := range i.Used {
			if c, err := ParseChain(u.Chain); err == nil {
				i.Used[at] = useOf(c, u.At)
			}
		}
	}
	for i := range k.Known {
		o := &k.Known[i]
		for _, before := range slices.Backward(k.Known[:i]) {
			if len(o.Above) == 0 && bytes.HasPrefix(before.Certificate, o.Issuer) {
				o.Above = before.chain()
			}
		}
	}
}

// made reports whether a certificate is this device's own, or was signed by it: strangers' certificates never push these out.
func (l *Ledger) made(k known) bool {
	issuer := Key(k.Issuer)
	if issuer == l.cfg.Claim.Device || bytes.HasPrefix(k.Certificate, l.cfg.Claim.Device[:]) {
		return true
	}
	return l.cfg.Authority != nil && issuer == Key(l.cfg.Authority.Public().(ed25519.PublicKey))
}

// meet remembers the certificates of a good chain, and forgets the oldest that keep does not want kept where there are too many.
func (k *kept) meet(c Chain, keep func(known) bool) {
	for _, link := range c.links() {
		if k.lacks(link) {
			k.Known = append(k.Known, link)
		}
	}
	for len(k.Known) > MaxKnown {
		i := slices.IndexFunc(k.Known, func(o known) bool { return !keep(o) })
		k.Known = slices.Delete(slices.Clone(k.Known), max(i, 0), max(i, 0)+1)
	}
}

// acquaintance is a certificate that is known, read.
type acquaintance struct {
	Certificate
	known
	issuer Key
	whole  bool // the newest list lets all stand that is known above it, and it
}

// certificates reads what is known; the caller holds mu.
func (l *Ledger) certificates() []acquaintance {
	all := make([]acquaintance, 0, len(l.kept.Known))
	for _, k := range l.kept.Known {
		if c, _, err := parseCertificate(k.Certificate); err == nil {
			all = append(all, acquaintance{Certificate: c, known: k, issuer: Key(k.Issuer)})
		}
	}
	return all
}

// acquaintances reads what is known, and finds out what of it is whole, as List.Judge would: a certificate is while the chain is that it was seen in. A device
// that fell with who had let it in, and was let in anew, has one that is and one that is not, and what it signed under the latter stays down. The caller holds mu.
func (l *Ledger) acquaintances() []acquaintance {
	all, signers := l.certificates(), map[Key]bool{}
	for _, a := range all {
		signers[a.issuer] = true
	}
	ends := make(map[string]*acquaintance, len(signers)) // of chains, by name
	for i := range all {
		if a := &all[i]; signers[a.Device] {
			ends[string(a.chain())] = a
		}
	}
	for risen := true; risen; { // each round comes one certificate farther from the authority, or more
		risen = false
		for i := range all {
			a := &all[i]
			by, seen := ends[string(a.Above)]
			switch {
			case a.whole || seen && !by.whole:
				continue
			case seen:
				a.whole = !l.list.ends(by.Claim, a.Certificate)
			default: // it is the authority's, or what was above it is forgotten
				a.whole = !l.list.ends(Claim{Device: a.issuer}, a.Certificate)
			}
			risen = risen || a.whole
		}
	}
	return all
}

// Member is one device of the network, as this one knows it.
type Member struct {
	Certificate
	Inviter Key // of the device that has let it in; the authority's key for the first
	Revoked bool
	Follows uint64 // the sequence of the network's key that it has said it has
}

// Members lists whom this device has let in or met, itself included, in the order in which it learned of them. Of several certificates of
// one device for one account the newest counts that was not revoked; a device that was certified for two accounts is listed with both.
func (l *Ledger) Members() []Member {
	l.mu.Lock()
	defer l.mu.Unlock()
	var members []Member
	at := map[Claim]int{}
	for _, a := range l.acquaintances() {
		m := Member{Certificate: a.Certificate, Inviter: a.issuer, Revoked: !a.whole || l.list.names(a.Claim), Follows: a.Follows}
		if a.Device == l.cfg.Claim.Device {
			m.Follows = l.rotation.Sequence
		}
		who := Claim{Device: a.Device, Account: a.Account}
		i, again := at[who]
		switch {
		case !again:
			at[who] = len(members)
			members = append(members, m)
		case members[i].Revoked && !m.Revoked, members[i].Revoked == m.Revoked && members[i].Issued <= m.Issued:
			members[i] = m
		}
	}
	return members
}

// Outcast reports whether a device was thrown out, or fell with somebody, as far as this one knows.
func (l *Ledger) Outcast(device Key) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.list.names(Claim{Device: device}) {
		return true
	}
	its := slices.DeleteFunc(l.acquaintances(), func(a acquaintance) bool { return a.Device != device })
	return len(its) > 0 && !slices.ContainsFunc(its, func(a acquaintance) bool { return a.whole && !l.list.names(a.Claim) })
}

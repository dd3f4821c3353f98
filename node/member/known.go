package member

import (
	"bytes"
	"crypto/ed25519"
	"slices"
)

// known is a certificate that was seen in a good chain, and who has signed it.
type known struct {
	Certificate []byte `json:"certificate"`
	Issuer      []byte `json:"issuer"`
	Follows     uint64 `json:"follows,omitempty"` // the sequence of the network's key that its device has said it has
}

// knows reports whether all of a chain was seen before.
func (k *kept) knows(c Chain) bool {
	return !slices.ContainsFunc(c.Certificates, func(one Certificate) bool { return k.place(one.marshal()) < 0 })
}

func (k *kept) place(certificate []byte) int {
	return slices.IndexFunc(k.Known, func(o known) bool { return bytes.Equal(o.Certificate, certificate) })
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
	issuer := c.Authority
	for _, certificate := range c.Certificates {
		if b := certificate.marshal(); k.place(b) < 0 {
			k.Known = append(k.Known, known{Certificate: b, Issuer: bytes.Clone(issuer[:])})
		}
		issuer = certificate.Device
	}
	for len(k.Known) > MaxKnown {
		i := slices.IndexFunc(k.Known, func(o known) bool { return !keep(o) })
		k.Known = slices.Delete(slices.Clone(k.Known), max(i, 0), max(i, 0)+1)
	}
}

// acquaintance is a certificate that is known, read.
type acquaintance struct {
	Certificate
	issuer  Key
	follows uint64
	whole   bool // the newest list lets all stand that is known above it, and it
}

// certificates reads what is known; the caller holds mu.
func (l *Ledger) certificates() []acquaintance {
	all := make([]acquaintance, 0, len(l.kept.Known))
	for _, k := range l.kept.Known {
		if c, _, err := parseCertificate(k.Certificate); err == nil {
			all = append(all, acquaintance{Certificate: c, issuer: Key(k.Issuer), follows: k.Follows})
		}
	}
	return all
}

// acquaintances reads what is known, and finds out what of it is whole: a certificate is while one of its issuer's is and lets it stand. A device that fell
// with who had let it in, and was let in anew, has one that is and one that is not. The caller holds mu.
func (l *Ledger) acquaintances() []acquaintance {
	all, met := l.certificates(), map[Key]bool{} // met: devices of which a certificate is known
	for _, a := range all {
		met[a.Device] = true
	}
	for range MaxDepth { // each round comes one certificate farther from the authority
		said := l.issuers(all)
		for i := range all {
			if a := &all[i]; !a.whole {
				by, known := said[a.issuer]
				a.whole = known && by.lets(l.list, a.Certificate) || !met[a.issuer] && !l.list.ends(Claim{Device: a.issuer}, a.Certificate)
			}
		}
	}
	return all
}

// issuer is a device, as far as what it signs may stand by certificates of its own that are whole.
type issuer struct {
	free  bool    // one of them is of nobody who was removed
	named []Claim // those of who was; the list has an entry for each account in them
}

// issuers returns them; the caller holds mu.
func (l *Ledger) issuers(all []acquaintance) map[Key]issuer {
	said := map[Key]issuer{}
	for _, a := range all {
		by := said[a.Device]
		switch {
		case !a.whole || by.free:
			continue
		case !l.list.names(a.Claim):
			by = issuer{free: true}
		default:
			signer := Claim{Device: a.Device}
			if _, person := l.list.entry(a.Account); person {
				signer.Account = a.Account
			}
			if !slices.Contains(by.named, signer) {
				by.named = append(by.named, signer)
			}
		}
		said[a.Device] = by
	}
	return said
}

// lets reports whether a certificate that the device has signed stands.
func (by issuer) lets(list List, c Certificate) bool {
	return by.free || slices.ContainsFunc(by.named, func(signer Claim) bool { return !list.ends(signer, c) })
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
		m := Member{Certificate: a.Certificate, Inviter: a.issuer, Revoked: !a.whole || l.list.names(a.Claim), Follows: a.follows}
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

// outcast reports whether a device was thrown out, or fell with somebody, as far as this one knows.
func (l *Ledger) outcast(device Key) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.list.names(Claim{Device: device}) {
		return true
	}
	its := slices.DeleteFunc(l.acquaintances(), func(a acquaintance) bool { return a.Device != device })
	return len(its) > 0 && !slices.ContainsFunc(its, func(a acquaintance) bool { return a.whole && !l.list.names(a.Claim) })
}

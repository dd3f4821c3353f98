package wire

import (
	"crypto/sha256"
	"encoding/base32"
	"encoding/binary"
	"errors"
	"slices"
	"strings"
	"unicode"
)

// The three ways in which a link can be no good.
var (
	ErrNoLink      = errors.New("no link")
	ErrLinkDamaged = errors.New("damaged link")
	ErrLinkNewer   = errors.New("link of a newer version")
)

// Types of the fields of a link. Odd ones are critical: who does not know one must not use the link. Even ones may be passed over.
const (
	linkPSK         = 1
	linkNetworkName = 2
	linkNetworkID   = 3
	linkName        = 4
	linkSeed        = 5 // may repeat
	linkExpires     = 6
	linkAccount     = 7
	linkToken       = 9
	linkMember      = 15 // 11 and 13 are kept for groups and signatures
)

const (
	linkPrefix   = "parley:"
	linkVersion  = '1'
	maxLinkSeeds = 3
	maxLinkBytes = 1 << 10 // of the payload: four times what three seeds with all their addresses need
	maxLinkParts = 64      // blanks inside a link, from line breaks in mails
	checkSize    = 4
)

// Link is what a link holds.
type Link struct {
	Kind        byte // 'J' or 'C'
	PSK         []byte
	NetworkName string
	NetworkID   [16]byte
	Account     []byte
	Name        string
	Seeds       []LinkSeed
	Expires     uint32 // Unix minutes; 0: never
	Token       []byte // by which the link's owner knows its bearer for one; nil: none
	Member      []byte // what lets its bearer into the network; nil: none
}

// LinkSeed is a node in a link.
type LinkSeed struct {
	Key   []byte // device signing key
	Addrs []string
}

// Encode returns the link as text: upper-case base32, which makes the smaller QR code.
func (l Link) Encode() string {
	b := l.fields()
	sum := linkCheck(l.Kind, b)
	return linkPrefix + string([]byte{l.Kind, linkVersion}) + linkEncoding().EncodeToString(append(b, sum...))
}

func (l Link) fields() []byte {
	var b []byte
	field := func(kind byte, value []byte) {
		if len(value) > 0 {
			b = binary.AppendUvarint(append(b, kind), uint64(len(value)))
			b = append(b, value...)
		}
	}
	field(linkPSK, l.PSK)
	field(linkNetworkName, []byte(l.NetworkName))
	field(linkNetworkID, l.NetworkID[:])
	field(linkName, []byte(l.Name))
	for _, s := range l.Seeds {
		field(linkSeed, appendAddrs(slices.Clone(s.Key), s.Addrs))
	}
	if l.Expires != 0 {
		field(linkExpires, binary.BigEndian.AppendUint32(nil, l.Expires))
	}
	field(linkAccount, l.Account)
	field(linkToken, l.Token)
	field(linkMember, l.Member)
	return b
}

func linkEncoding() *base32.Encoding { return base32.StdEncoding.WithPadding(base32.NoPadding) }

func linkCheck(kind byte, fields []byte) []byte {
	sum := sha256.Sum256(slices.Concat([]byte(LabelInvite), []byte{kind}, fields))
	return sum[:checkSize]
}

// ParseLink finds a link in text and reads it. Case, blanks, line breaks, hyphens and zero-width characters inside it do not matter;
// text before and behind it does not either, nor the marks of a mail that quotes it. Of several it is the first one of a kind that is wanted, and where there is none,
// or no kind is named, the first whole one. Where none is whole, one that a newer version made tells more than one that is damaged.
func ParseLink(text string, wanted ...byte) (Link, error) {
	found, err := Link{}, ErrNoLink
	_, rest, more := cutFold(text, linkPrefix)
	for more {
		var piece string // ends where the next may begin, so that no text is read twice
		piece, rest, more = cutFold(rest, linkPrefix)
		l, e := parsePiece(piece)
		switch {
		case e == nil && (len(wanted) == 0 || slices.Contains(wanted, l.Kind)):
			return l, nil
		case e == nil && err != nil:
			found, err = l, nil
		case err != nil && !errors.Is(err, ErrLinkNewer):
			err = e
		}
	}
	return found, err
}

// parsePiece reads the link that stands behind its prefix, before other text.
func parsePiece(text string) (Link, error) {
	parts := linkParts(text)
	err := ErrLinkDamaged
	for n := range parts {
		l, e := parseLinkText(strings.Join(parts[:n+1], ""))
		if e == nil {
			return l, nil
		}
		if errors.Is(e, ErrLinkNewer) {
			err = e
		}
	}
	return Link{}, err
}

// cutFold is strings.Cut without regard to case.
func cutFold(text, sep string) (before, after string, found bool) {
	for i := 0; i+len(sep) <= len(text); i++ {
		if strings.EqualFold(text[i:i+len(sep)], sep) {
			return text[:i], text[i+len(sep):], true
		}
	}
	return text, "", false
}

// linkParts cuts text at blanks, drops what may stand inside a link without meaning, and ends at the first character that cannot.
func linkParts(text string) (parts []string) {
	first := true
	for line := range strings.Lines(text) {
		if !first {
			line = strings.TrimLeftFunc(line, func(r rune) bool { return r == '>' || unicode.IsSpace(r) }) // a mail quotes it
		}
		first = false
		for word := range strings.FieldsSeq(line) {
			part, whole := linkPart(word)
			parts = append(parts, part)
			if !whole || len(parts) == maxLinkParts {
				return parts
			}
		}
	}
	return parts
}

// linkPart returns what of a word may belong to a link, and whether all of it may.
func linkPart(word string) (part string, whole bool) {
	var b strings.Builder
	for _, r := range word {
		switch {
		case r == '-' || unicode.Is(unicode.Cf, r):
		case r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9':
			b.WriteRune(unicode.ToUpper(r))
		default:
			return b.String(), false
		}
	}
	return b.String(), true
}

// parseLinkText reads TYPE VERSION PAYLOAD.
func parseLinkText(s string) (Link, error) {
	if len(s) < 3 || len(s) > 2*maxLinkBytes {
		return Link{}, ErrLinkDamaged
	}
	payload, err := linkEncoding().DecodeString(s[2:])
	if err != nil || linkEncoding().EncodeToString(payload) != s[2:] || len(payload) < checkSize {
		return Link{}, ErrLinkDamaged
	}
	fields, check := payload[:len(payload)-checkSize], payload[len(payload)-checkSize:]
	if !slices.Equal(check, linkCheck(s[0], fields)) {
		return Link{}, ErrLinkDamaged
	}
	if s[1] != linkVersion || s[0] != 'J' && s[0] != 'C' {
		return Link{}, ErrLinkNewer // whole, but not of a kind or version that we know
	}
	l := Link{Kind: s[0]}
	return l, l.parse(fields)
}

func (l *Link) parse(b []byte) error {
	last := byte(0)
	for len(b) > 0 {
		kind := b[0]
		size, n := binary.Uvarint(b[1:])
		if n <= 0 || size == 0 || size > uint64(len(b)-1-n) {
			return ErrLinkDamaged
		}
		value := b[1+n : 1+n+int(size)]
		b = b[1+n+int(size):]
		if kind < last || kind == last && kind != linkSeed {
			return ErrLinkDamaged
		}
		if err := l.set(kind, value); err != nil {
			return err
		}
		last = kind
	}
	if l.Account == nil || l.Kind == 'J' && (l.NetworkID == [16]byte{} || len(l.Seeds) == 0) {
		return ErrLinkDamaged
	}
	return nil
}

// set takes one field, with its length checked.
func (l *Link) set(kind byte, value []byte) error {
	ok := true
	switch kind {
	case linkPSK:
		l.PSK, ok = slices.Clone(value), len(value) == 32
	case linkNetworkName:
		l.NetworkName, ok = string(value), len(value) <= MaxName
	case linkNetworkID:
		ok = len(value) == copy(l.NetworkID[:], value)
		ok = ok && len(value) == len(l.NetworkID)
	case linkName:
		l.Name, ok = string(value), len(value) <= MaxName
	case linkSeed:
		ok = len(l.Seeds) < maxLinkSeeds && l.addSeed(value)
	case linkExpires:
		if ok = len(value) == 4; ok {
			l.Expires = binary.BigEndian.Uint32(value)
		}
	case linkAccount:
		l.Account, ok = slices.Clone(value), CheckSigningKey(value) == nil
	case linkToken:
		l.Token, ok = slices.Clone(value), len(value) == TokenSize
	case linkMember:
		l.Member, ok = slices.Clone(value), len(value) == TokenSize
	default:
		if kind%2 == 1 {
			return ErrLinkNewer
		}
	}
	if !ok {
		return ErrLinkDamaged
	}
	return nil
}

func (l *Link) addSeed(value []byte) bool {
	if len(value) < KeySize || CheckSigningKey(value[:KeySize]) != nil {
		return false
	}
	addrs, ok := parseAddrs(value[KeySize:])
	l.Seeds = append(l.Seeds, LinkSeed{Key: slices.Clone(value[:KeySize]), Addrs: addrs})
	return ok
}

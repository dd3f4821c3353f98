package wire

import (
	"encoding/binary"
	"errors"
	"slices"
)

// Limits of payloads.
const (
	maxReceipts = 256
	MaxName     = 32
	MaxRecord   = 8 << 10
	TokenSize   = 16 // of a link's token
)

// AppendReceipt appends the payload of a read receipt.
func AppendReceipt(b []byte, ids [][32]byte) []byte {
	b = binary.BigEndian.AppendUint16(b, uint16(len(ids)))
	for _, id := range ids {
		b = append(b, id[:]...)
	}
	return b
}

// ParseReceipt reads what AppendReceipt wrote: 1 to 256 ids.
func ParseReceipt(b []byte) ([][32]byte, error) {
	r := NewReader(b)
	n := r.U16()
	if n == 0 || n > maxReceipts {
		return nil, errors.New("receipt for no message, or too many")
	}
	ids := make([][32]byte, n)
	for i := range ids {
		r.Fill(ids[i][:])
	}
	return ids, r.Close()
}

// Card introduces its sender: the name that they want to be shown under, and the records that let us write back at once.
type Card struct {
	Name    string
	Account []byte // account record
	Device  []byte // device record of the sending device
	Token   []byte // from the receiver's link that the sender used; empty for none
	Own     []byte // of the sender's own contact link, for the receiver to introduce them with; empty for none
}

// Append appends the payload.
func (c Card) Append(b []byte) []byte {
	b = AppendLP(b, []byte(c.Name))
	b = AppendLP(b, c.Account)
	b = AppendLP(b, c.Device)
	b = AppendLP(b, c.Token)
	return AppendLP(b, c.Own)
}

// ParseCard reads what Append wrote. The records are not checked: they go the way of every record.
func ParseCard(b []byte) (Card, error) {
	r := NewReader(b)
	c := Card{Name: string(r.LP(MaxName)), Account: r.LP(MaxRecord), Device: r.LP(MaxRecord), Token: r.token(), Own: r.token()}
	return c, r.Close()
}

// token reads a token or none.
func (r *Reader) token() []byte {
	b := r.LP(TokenSize)
	if len(b) != 0 && len(b) != TokenSize {
		r.Fail("token of %d bytes", len(b))
	}
	return b
}

// Introduction is what somebody says of a third account, for the receiver to become their contact.
type Introduction struct {
	Name    string
	Key     []byte // account key
	Account []byte // account record; empty where the introducer has none
	Device  []byte // device record; empty where the introducer has none
	Token   []byte // of the introduced account's contact link; empty for none
}

// Append appends the payload.
func (i Introduction) Append(b []byte) []byte {
	for _, field := range [][]byte{[]byte(i.Name), i.Key, i.Account, i.Device, i.Token} {
		b = AppendLP(b, field)
	}
	return b
}

// ParseIntroduction reads what Append wrote, and checks the key, and that the records are whole and belong to it.
func ParseIntroduction(b []byte) (Introduction, error) {
	r := NewReader(b)
	i := Introduction{Name: string(r.LP(MaxName)), Key: r.LP(KeySize), Account: r.LP(MaxRecord), Device: r.LP(MaxRecord), Token: r.token()}
	if err := r.Close(); err != nil {
		return Introduction{}, err
	}
	if err := CheckSigningKey(i.Key); err != nil {
		return Introduction{}, err
	}
	return i, i.checkRecords()
}

// checkRecords holds the records against the key and against each other.
func (i Introduction) checkRecords() error {
	if len(i.Account) == 0 && len(i.Device) == 0 {
		return nil
	}
	account, err1 := ParseAccountRecord(i.Account)
	if err1 != nil || !slices.Equal(account.Account, i.Key) {
		return errors.Join(errors.New("introduction: not the record of its account"), err1)
	}
	if len(i.Device) == 0 {
		return nil
	}
	device, err2 := ParseDeviceRecord(i.Device)
	if err2 != nil || !slices.Equal(device.Account, i.Key) ||
		!slices.ContainsFunc(account.Certificates, func(c Certificate) bool { return c.Device == device.Device }) {
		return errors.Join(errors.New("introduction: not the record of a device of its account"), err2)
	}
	return nil
}

package store

import (
	"database/sql"
	"errors"

	"github.com/libp2p/go-libp2p/core/peer"

	"parley/chat"
)

const (
	ownerSelect = `SELECT account, device FROM owner WHERE id = 1`
	ownerInsert = `INSERT INTO owner (id, account, device) VALUES (1, $1, $2)`
)

var errUnclaimed = errors.New("the database belongs to nobody")

// owner is whose rows these are. Mixing two people's rows could not be undone.
type owner struct {
	account chat.AccountID
	device  peer.ID
}

// checkOwner returns nil when the database is the claimant's, errUnclaimed when it is nobody's, and else an error for people.
func (t *tx) checkOwner(where string, claim owner) error {
	is, ok, err := first(t, func(rows *sql.Rows) (o owner, err error) {
		return o, rows.Scan(id(o.account[:]), &o.device)
	}, ownerSelect)
	switch {
	case err != nil:
		return err
	case !ok:
		return errUnclaimed
	case is.account != claim.account:
		return misconfigured(nil, "parley up --database sqlite:FILE", "database %s belongs to the account %s, not to %s",
			where, is.account.Short(), claim.account.Short())
	case is.device != claim.device:
		return misconfigured(nil, "parley up --database sqlite:FILE", "database %s belongs to another device of the account %s",
			where, is.account.Short())
	default:
		return nil
	}
}

func (t *tx) insertOwner(o owner) error {
	_, err := t.exec(ownerInsert, o.account[:], bytesOf(o.device))
	return err
}

package member

import "time"

// Forgetful sets how long a stream lasts whose handler sets no deadline.
func (g *Gate) Forgetful(d time.Duration) { g.unspoken = d }

// Hears is what a ledger is told when a member says which key it has.
func (l *Ledger) Hears(device Key, sequence uint64) { l.follows(device, stage{sequence: sequence}) }

// Hasty sets how long the gate takes to say that an issuer is away.
func (g *Gate) Hasty(d time.Duration) { g.away = d }

// Invite gives a gate an invitation.
func (g *Gate) Invite(i Invitation) { g.invitation = i }

// KeepIn gives a ledger another vault, or none, and keeps it there.
func (l *Ledger) KeepIn(v Vault) error {
	l.cfg.Vault, l.met = v, true
	return l.Keep()
}

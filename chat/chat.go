package chat

import (
	"context"
	"errors"
	"time"

	"go.uber.org/zap"
)

// Config is what a Messenger is made of.
type Config struct {
	Identity  *Identity
	Name      string // what others see
	Network   Network
	Seeds     []Seed  // seeds of the network, for invites
	Join      *Invite // the invite that we joined with: its owner becomes a contact; nil for none
	Store     Store
	Database  string // the engine's name, for Status
	Transport Transport
	Directory Directory
	Logger    *zap.Logger
	Clock     func() time.Time // nil: time.Now
}

// Messenger is the messenger of one device.
type Messenger struct{ cfg Config }

// New returns a messenger; Run makes it work. Without Transport and Directory it only reads.
func New(cfg Config) *Messenger { return &Messenger{cfg: cfg} }

// Run delivers what is queued until ctx ends.
func (m *Messenger) Run(ctx context.Context) error { return errors.New("unfinished") }

package chat

import (
	"context"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	"go.uber.org/zap"
)

// resolver knows which accounts' devices are wanted, and when each was last looked for.
type resolver struct {
	mu      sync.Mutex
	tries   map[AccountID]int
	next    map[AccountID]time.Time
	changed chan struct{}
}

func newResolver() *resolver {
	return &resolver{tries: map[AccountID]int{}, next: map[AccountID]time.Time{}, changed: make(chan struct{}, 1)}
}

// want asks for an account's devices at once, unless they are being looked for already.
func (r *resolver) want(account AccountID) {
	r.mu.Lock()
	if _, ok := r.next[account]; !ok {
		r.next[account] = time.Time{}
	}
	r.mu.Unlock()
	r.signal()
}

// poke ends all back-offs: the network has changed.
func (r *resolver) poke() {
	r.mu.Lock()
	for account := range r.next {
		r.next[account] = time.Time{}
	}
	r.mu.Unlock()
	r.signal()
}

func (r *resolver) signal() {
	select {
	case r.changed <- struct{}{}:
	default:
	}
}

// due returns an account to look for now, or how long to wait.
func (r *resolver) due(now time.Time) (AccountID, bool, time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	wait := LookupRetryMax
	for account, next := range r.next {
		if !next.After(now) {
			r.tries[account]++
			r.next[account] = now.Add(min(backoff(r.tries[account]), LookupRetryMax))
			return account, true, 0
		}
		wait = min(wait, next.Sub(now))
	}
	return AccountID{}, false, wait
}

func (r *resolver) done(account AccountID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.next, account)
	delete(r.tries, account)
}

// findDevices looks for the records of accounts that messages wait for, a few at a time, until ctx ends.
func (m *Messenger) findDevices(ctx context.Context) error {
	m.wantWaiting(ctx)
	slots := make(chan struct{}, Lookups)
	var searches sync.WaitGroup
	defer searches.Wait()
	for {
		account, ok, wait := m.resolver.due(m.now())
		if ok {
			select {
			case <-ctx.Done():
				return nil
			case slots <- struct{}{}:
			}
			searches.Go(func() {
				m.find(ctx, account)
				<-slots
			})
			continue
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-m.resolver.changed:
		case <-timer.C:
		}
		timer.Stop()
	}
}

// find makes one search for an account's devices.
func (m *Messenger) find(ctx context.Context, account AccountID) {
	err := m.resolve(ctx, account)
	if err == nil {
		m.resolver.done(account)
		return
	}
	if ctx.Err() == nil {
		m.log.Debug("devices not found", zap.String("account", account.Short()), zap.Error(err))
	}
}

// wantWaiting asks for the devices of every account that something waits for since an earlier run.
func (m *Messenger) wantWaiting(ctx context.Context) {
	err := m.store.View(ctx, func(tx Tx) error {
		accounts, err := tx.WaitingAccounts()
		for _, account := range accounts {
			m.resolver.want(account)
		}
		return err
	})
	m.trouble.judge(ctx, err)
}

// hint remembers devices that should be asked for an account's records.
func (m *Messenger) hint(account AccountID, devices []peer.ID) {
	m.mu.Lock()
	m.hints[account] = devices
	m.mu.Unlock()
	m.resolver.poke()
}

func (m *Messenger) hintsFor(account AccountID) []peer.ID {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.hints[account]
}

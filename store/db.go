package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	"go.uber.org/zap"

	"parley/chat"
	"parley/migrations"
)

var _ chat.Store = (*DB)(nil)

// Options says how a database is opened. The zero value is right for a node.
type Options struct {
	// Logger gets warnings about a server that is set up to lose data; nil for none.
	Logger *zap.Logger
	// ReadOnly is for commands that only look, also while a node runs: no owner's lock is taken, and Update is refused.
	ReadOnly bool
}

func (o Options) logger() *zap.Logger {
	if o.Logger == nil {
		return zap.NewNop()
	}
	return o.Logger
}

// DB is an open database. All its methods may be called at once from many goroutines.
type DB struct {
	engine    engine
	committer committer
	readOnly  bool
	patience  time.Duration // how long a view may take
	shared    bool          // several hosts keep mailboxes in it, and it holds nothing else

	mu     sync.Mutex
	closed bool
	calls  sync.WaitGroup // updates and views under way
	others []*Mailbox     // databases that close with this one
}

// Open opens the database at a URL and brings its tables up to date: "sqlite:PATH" (a file that is created where it is missing,
// in a folder that exists) or "postgres://USER@HOST/NAME". Whoever opens it other than read-only owns it until Close or the end
// of the process, and the next to try is refused. Errors are made for people, and never show a password.
func Open(ctx context.Context, url string, o Options) (*DB, error) {
	e, err := openEngine(ctx, url, o)
	if err != nil {
		return nil, err
	}
	return start(ctx, &DB{engine: e, committer: committer{engine: e}, readOnly: o.ReadOnly})
}

// start returns a database that is ready, or closed.
func start(ctx context.Context, db *DB) (*DB, error) {
	db.patience = ViewTimeout
	if err := db.start(ctx); err != nil {
		return nil, errors.Join(db.engine.explainOpen(err), db.Close())
	}
	return db, nil
}

func openEngine(ctx context.Context, url string, o Options) (engine, error) {
	scheme, rest, _ := strings.Cut(url, ":")
	switch scheme {
	case "sqlite":
		return openSQLite(rest)
	case "postgres", "postgresql":
		return openPostgres(ctx, url, o.logger(), true)
	default:
		return nil, misconfigured(nil, "", "database URL has the unknown scheme %.20q; want sqlite:PATH or postgres://USER@HOST/NAME", scheme)
	}
}

// start takes the lock and migrates. A reader takes it only where there is something to migrate.
func (db *DB) start(ctx context.Context) error {
	if !db.readOnly {
		if err := db.committer.connect(ctx); err != nil {
			return err
		}
		return db.bringUp(ctx, db.committer.session)
	}
	s, err := db.engine.reader(ctx)
	if err != nil {
		return err
	}
	defer db.engine.done(s)
	return db.bringUp(ctx, s)
}

// bringUp brings all tables up to date. It is quick where there is nothing to do, which is at every start but the first of a release.
func (db *DB) bringUp(ctx context.Context, s *session) error {
	sets := []tables{messengerTables, mailboxTables}
	if db.shared {
		sets = sets[1:]
	}
	for _, set := range sets {
		if err := db.bringUpSet(ctx, s, set); err != nil {
			return err
		}
	}
	return nil
}

func (db *DB) bringUpSet(ctx context.Context, s *session, set tables) error {
	d := db.engine.dialect()
	for attempt := 0; ; attempt++ {
		has, err := d.version(ctx, s, set)
		if err != nil {
			return fmt.Errorf("read schema version: %w", err)
		}
		files, newest, err := migrations.For(path.Join(d.name, set.folder))
		switch {
		case err != nil:
			return err
		case has > newest:
			return misconfigured(nil, "parley version",
				"database %s was made by a newer parley (its schema is %d, this program knows %d)", d.where, has, newest)
		case has == newest:
			return nil
		}
		// Another host may be migrating a shared database at this moment. One of the two fails at a table or a version that is
		// there already, and nothing of its migration stays; it looks again.
		err = db.migrate(ctx, set, files)
		if err != nil && (!db.shared || attempt == MaxAttempts) {
			return err
		}
		if err != nil {
			pause(ctx, attempt)
		}
	}
}

// migrate makes sure of the owner's lock first, where there is one.
func (db *DB) migrate(ctx context.Context, set tables, files fs.FS) error {
	if db.readOnly {
		owner, err := db.engine.writer(ctx)
		if err != nil {
			return err
		}
		defer owner.close()
	}
	return db.engine.dialect().migrate(ctx, db.engine.pool(), set, files)
}

// Update implements chat.Store. See the package comment for what shares a commit with what. Where the database is away it
// returns an error with chat.CodeUnavailable; the next call tries to reach it again.
func (db *DB) Update(ctx context.Context, fn func(chat.Tx) error) error {
	return db.update(ctx, func(t *tx) error { return fn(t) })
}

func (db *DB) update(ctx context.Context, fn func(*tx) error) error {
	return db.commit(&update{ctx: ctx, fn: fn})
}

func (db *DB) commit(u *update) error {
	if db.readOnly {
		return errReadOnly
	}
	if err := db.enter(u.ctx); err != nil {
		return err
	}
	defer db.calls.Done()
	return db.committer.update(u)
}

// View implements chat.Store. Views run beside each other and beside updates, and see what was committed when they began.
func (db *DB) View(ctx context.Context, fn func(chat.Tx) error) error {
	return db.view(ctx, func(t *tx) error { return fn(t) })
}

func (db *DB) view(ctx context.Context, fn func(*tx) error) error {
	if err := db.enter(ctx); err != nil {
		return err
	}
	defer db.calls.Done()
	limited, cancel := context.WithTimeout(ctx, db.patience)
	defer cancel()
	s, err := db.beginView(limited)
	if err != nil {
		return db.seen(ctx, nil, err)
	}
	defer db.engine.done(s)
	defer s.rollBack(limited)
	u := &update{ctx: limited, fn: fn}
	if err := u.run(limited, s); err != nil {
		return db.seen(ctx, s, err)
	}
	if u.skipped != nil && ctx.Err() == nil {
		return unavailable(u.skipped)
	}
	return u.skipped
}

// beginView starts a view. Connections that broke while they were idle are passed over.
func (db *DB) beginView(ctx context.Context) (s *session, err error) {
	for range MaxAttempts {
		if s, err = db.engine.reader(ctx); err != nil {
			return nil, err
		}
		if err = s.begin(ctx, db.engine.dialect().beginView); err == nil {
			return s, nil
		}
		s.broken = true
		db.engine.done(s)
	}
	return nil, err
}

// seen returns what a view says about an error: the caller's own end, a database that is away, or what it was.
func (db *DB) seen(ctx context.Context, s *session, err error) error {
	switch {
	case ctx.Err() != nil:
		return fmt.Errorf("%w: %w", ctx.Err(), err)
	case s == nil || db.engine.judge(s, err) == verdictLost:
		return unavailable(db.engine.explain(err))
	default:
		return db.engine.explain(err)
	}
}

// enter notes a call that Close has to wait for.
func (db *DB) enter(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	db.mu.Lock()
	defer db.mu.Unlock()
	if db.closed {
		return errClosed
	}
	db.calls.Add(1)
	return nil
}

// Claim makes the database the given device's, for ever; a database that belongs to another account or device is refused with
// chat.CodeConfig. It must come before the first update.
func (db *DB) Claim(ctx context.Context, account chat.AccountID, device peer.ID) error {
	claim := owner{account: account, device: device}
	err := db.view(ctx, func(t *tx) error { return t.checkOwner(db.engine.dialect().where, claim) })
	if !errors.Is(err, errUnclaimed) {
		return err
	}
	if db.readOnly {
		return nil
	}
	return db.update(ctx, func(t *tx) error {
		if err := t.checkOwner(db.engine.dialect().where, claim); !errors.Is(err, errUnclaimed) {
			return err
		}
		return t.insertOwner(claim)
	})
}

// Peers returns what the node remembers about other nodes across restarts.
func (db *DB) Peers() *Peers { return &Peers{db: db} }

// Engine returns "sqlite" or "postgres".
func (db *DB) Engine() string { return db.engine.dialect().name }

// Ping asks the database whether it is there.
func (db *DB) Ping(ctx context.Context) error {
	return db.view(ctx, func(*tx) error { return nil })
}

// Close waits for calls under way, refuses new ones, and gives up the owner's lock. Closing twice does nothing.
func (db *DB) Close() error {
	db.mu.Lock()
	was := db.closed
	db.closed = true
	db.mu.Unlock()
	if was {
		return nil
	}
	db.calls.Wait()
	db.committer.drop()
	err := db.engine.close()
	for _, m := range db.others {
		err = errors.Join(err, m.Close())
	}
	return err
}

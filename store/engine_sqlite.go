package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/ncruces/go-sqlite3"
	"github.com/ncruces/go-sqlite3/driver"
	"github.com/pressly/goose/v3"

	"parley/chat"
)

const sqliteHasTable = `SELECT COUNT(*) FROM sqlite_schema WHERE name = `

// sqliteDB is a file with one connection that writes and a few that read. The write-ahead log is reused, not truncated: a
// growing file makes every fsync slower.
type sqliteDB struct {
	path          string
	writes, reads *sql.DB
	readers       chan *session // readSessions of them; nil stands for one that is not open

	// The pages in the log after the last commit, and when the last checkpoint was started: both the committing leader's.
	logged, checkpointed int
	checkpointing        atomic.Bool
	checkpointDue        atomic.Bool // the last one has failed
	checkpoints          sync.WaitGroup

	// What is known of the log: whether it was renewed since we began (the committing leader's), and whether a sync has failed after that.
	renewed  bool
	unsynced atomic.Bool
	rewrite  func(path string) error // rewriteFile; tests stand in between
}

// openSQLite prepares the file; connections come later.
func openSQLite(path string) (*sqliteDB, error) {
	if rest, ok := strings.CutPrefix(path, "//"); ok {
		if path = rest; !strings.HasPrefix(path, "/") {
			return nil, misconfigured(nil, "", "database URL names a host; want sqlite:PATH or sqlite:///PATH")
		}
	}
	if path == "" || strings.Contains(path, "\x00") {
		return nil, misconfigured(nil, "", "database URL names no file; want sqlite:PATH")
	}
	path, err := createFile(path)
	if err != nil {
		return nil, explainFile(path, err)
	}
	e := &sqliteDB{path: path, readers: make(chan *session, readSessions), rewrite: rewriteFile}
	for range readSessions {
		e.readers <- nil
	}
	if e.writes, err = driver.Open(e.dsn(), e.setUpWriter); err != nil {
		return nil, e.explainOpen(err)
	}
	if e.reads, err = driver.Open(e.dsn(), setUpReader); err != nil {
		return nil, e.explainOpen(err)
	}
	// A session that is closed shall take its connection along, not leave it in a pool.
	e.writes.SetMaxIdleConns(0)
	e.reads.SetMaxIdleConns(0)
	return e, nil
}

// createFile creates the file where it is missing, for its owner alone, and returns its real path: two links to one file must
// meet at one lock.
func createFile(path string) (string, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return path, err
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return path, err
	}
	if err := f.Close(); err != nil {
		return path, err
	}
	return filepath.EvalSymlinks(path)
}

// dsn returns the driver's name for the file. The log gets the mode of the file itself (modeof).
func (e *sqliteDB) dsn() string {
	escaped := (&url.URL{Path: e.path}).EscapedPath()
	return "file://" + escaped + "?modeof=" + strings.NewReplacer("&", "%26", ";", "%3B").Replace(escaped)
}

func (e *sqliteDB) setUpWriter(c *sqlite3.Conn) error {
	c.WALHook(func(c *sqlite3.Conn, schema string, pages int) error {
		e.logged = pages
		if pages >= maxWALPages && !e.suspects() {
			_, _, err := c.WALCheckpoint(schema, sqlite3.CHECKPOINT_PASSIVE)
			_ = e.note(err) // it would fail a commit that is durable already
		}
		return nil
	})
	return errors.Join(c.BusyTimeout(BusyTimeout), c.Exec(fmt.Sprintf(`
		PRAGMA journal_mode = WAL;
		PRAGMA synchronous = FULL;
		PRAGMA foreign_keys = ON;
		PRAGMA temp_store = MEMORY;
		PRAGMA cache_size = -%d`, writeCacheKiB)))
}

func setUpReader(c *sqlite3.Conn) error {
	return errors.Join(c.BusyTimeout(BusyTimeout), c.Exec(fmt.Sprintf(`
		PRAGMA query_only = ON;
		PRAGMA temp_store = MEMORY;
		PRAGMA cache_size = -%d`, readCacheKiB)))
}

func (e *sqliteDB) dialect() dialect {
	return dialect{
		name: "sqlite", where: e.path, begin: "BEGIN IMMEDIATE", beginView: "BEGIN",
		hasTable: sqliteHasTable, goose: goose.DialectSQLite3,
	}
}

func (e *sqliteDB) pool() *sql.DB { return e.writes }

// writer implements engine.
func (e *sqliteDB) writer(ctx context.Context) (*session, error) {
	lock, err := lockFile(e.path + ".lock")
	if errors.Is(err, errLocked) {
		return nil, inUse(e.path)
	}
	if err != nil {
		return nil, err
	}
	if err := e.renew(ctx); err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	s, err := e.session(ctx, e.writes)
	if err != nil {
		return nil, errors.Join(e.note(err), lock.Close())
	}
	s.leave = func() { lock.Close() }
	return s, nil
}

// renew writes the log once more, and lets every connection read it again. When a sync fails, the system goes on to show what it has not written,
// and never writes it: SQLite would take it for written, in the log and in the file, and what is promised after that would go with it when the
// power does. What is written again is synced like everything, and what the file lacks is copied from the log again once its index is gone, which
// goes with the last connection. After a start nobody knows whether a sync had failed in the process before.
func (e *sqliteDB) renew(ctx context.Context) error {
	if e.renewed && !e.unsynced.Load() {
		return nil
	}
	if e.unsynced.Load() { // at the start there are no readers, but the one that migrates
		restore, err := e.endReaders(ctx)
		defer restore()
		if err != nil {
			return err
		}
	}
	if err := e.rewrite(e.path + "-wal"); err != nil {
		return fmt.Errorf("write the log again: %w", err)
	}
	e.renewed = true
	e.unsynced.Store(false)
	return nil
}

// endReaders waits for the views under way, and closes the connections that read. restore lets new ones begin.
func (e *sqliteDB) endReaders(ctx context.Context) (restore func(), err error) {
	taken := 0
	restore = func() {
		for range taken {
			e.readers <- nil
		}
	}
	for ; taken < readSessions; taken++ {
		select {
		case s := <-e.readers:
			if s != nil {
				s.close()
			}
		case <-ctx.Done():
			return restore, ctx.Err()
		}
	}
	return restore, nil
}

// rewriteFile puts the same bytes into a file, where there is one, and syncs it.
func rewriteFile(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	b := make([]byte, 1<<20)
	for at := int64(0); ; {
		n, err := f.ReadAt(b, at)
		if _, err := f.WriteAt(b[:n], at); err != nil {
			return err
		}
		at += int64(n)
		if err == io.EOF {
			return f.Sync()
		}
		if err != nil {
			return err
		}
	}
}

// suspects implements engine.
func (e *sqliteDB) suspects() bool { return e.unsynced.Load() }

// note remembers that a sync has failed, and returns the error.
func (e *sqliteDB) note(err error) error {
	if errors.Is(err, sqlite3.IOERR_FSYNC) || errors.Is(err, sqlite3.IOERR_DIR_FSYNC) {
		e.unsynced.Store(true)
	}
	return err
}

// reader implements engine.
func (e *sqliteDB) reader(ctx context.Context) (*session, error) {
	select {
	case s := <-e.readers:
		if s != nil {
			return s, nil
		}
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	s, err := e.session(ctx, e.reads)
	if err != nil {
		e.readers <- nil
	}
	return s, err
}

// done implements engine.
func (e *sqliteDB) done(s *session) {
	if s.broken {
		s.close()
		s = nil
	}
	e.readers <- s
}

// session connects. SQLite itself would let everybody read the index of the log that it creates here.
func (e *sqliteDB) session(ctx context.Context, db *sql.DB) (*session, error) {
	if f, err := os.OpenFile(e.path+"-shm", os.O_RDWR|os.O_CREATE, 0o600); err == nil {
		f.Close()
	}
	conn, err := db.Conn(ctx)
	if err != nil {
		return nil, e.explain(err)
	}
	return &session{conn: conn, stmts: map[string]*sql.Stmt{}, ending: func() { e.ending(conn) }}, nil
}

// ending keeps a connection that is not to be trusted from copying the log into the file, as the last one does.
func (e *sqliteDB) ending(conn *sql.Conn) {
	if !e.unsynced.Load() {
		return
	}
	_ = conn.Raw(func(c any) error {
		_, err := c.(driver.Conn).Raw().Config(sqlite3.DBCONFIG_NO_CKPT_ON_CLOSE, true)
		return err
	})
}

// committed implements engine: it starts a checkpoint beside the commits when the log has grown enough.
func (e *sqliteDB) committed() {
	if e.logged < e.checkpointed {
		e.checkpointed = 0 // the log starts again
	}
	if e.logged-e.checkpointed < checkpointPages && !e.checkpointDue.Load() {
		return
	}
	if e.startCheckpoint() {
		e.checkpointed = e.logged
	}
}

// startCheckpoint starts a checkpoint beside everything else, unless one is under way.
func (e *sqliteDB) startCheckpoint() bool {
	if !e.checkpointing.CompareAndSwap(false, true) {
		return false
	}
	e.checkpoints.Go(func() {
		defer e.checkpointing.Store(false)
		e.checkpoint()
	})
	return true
}

// checkpoint copies what is in the log into the file, without making anybody wait. What it cannot do, the next one does, which comes soon: a log
// that is not copied grows until it has taken the room that its copy wants.
func (e *sqliteDB) checkpoint() {
	if e.suspects() {
		return
	}
	s, err := e.reader(context.Background())
	if err != nil {
		return
	}
	defer e.done(s)
	err = s.conn.Raw(func(c any) error {
		_, _, err := c.(driver.Conn).Raw().WALCheckpoint("main", sqlite3.CHECKPOINT_PASSIVE)
		return err
	})
	s.broken = e.note(err) != nil
	e.checkpointDue.Store(s.broken)
}

// judge implements engine. After an error of the disk nobody knows what the system kept of what was written: a new connection
// reads it again, the old one would not.
func (e *sqliteDB) judge(_ *session, err error) verdict {
	_ = e.note(err)
	if errors.Is(err, sqlite3.FULL) || errors.Is(err, sqlite3.IOERR) { // the disk may be full: a log that begins again wants no room, and without a commit nobody asks for that
		e.startCheckpoint()
	}
	for _, code := range []error{sqlite3.IOERR, sqlite3.CORRUPT, sqlite3.NOTADB, sqlite3.CANTOPEN, sqlite3.PROTOCOL} {
		if errors.Is(err, code) {
			return verdictLost
		}
	}
	return verdictFinal
}

// explain implements engine.
func (e *sqliteDB) explain(err error) error {
	switch {
	case errors.Is(err, sqlite3.FULL), errors.Is(err, sqlite3.IOERR) && e.full():
		return &trouble{cause: err, told: &chat.Error{
			Code: chat.CodeLimit, Detail: fmt.Sprintf("no space left for database %s", e.path), Try: "df -h " + filepath.Dir(e.path),
		}}
	case errors.Is(err, sqlite3.BUSY):
		return &trouble{cause: err, told: &chat.Error{
			Code: chat.CodeUnavailable, Detail: fmt.Sprintf("another program keeps database %s locked", e.path),
		}}
	default:
		return err
	}
}

// full reports whether the disk has no room left. An error of the disk does not say that in every driver, so something is written.
func (e *sqliteDB) full() bool {
	probe := e.path + ".room"
	err := os.WriteFile(probe, make([]byte, roomProbe), 0o600)
	_ = os.Remove(probe) // where it stays, the next one overwrites it
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}

// explainOpen implements engine.
func (e *sqliteDB) explainOpen(err error) error {
	told := (*chat.Error)(nil)
	switch {
	case errors.As(err, &told), errors.Is(err, context.Canceled):
		return err
	case errors.Is(err, sqlite3.NOTADB), errors.Is(err, sqlite3.CORRUPT):
		return misconfigured(err, "", "%s is not a parley database, or it is damaged", e.path)
	case errors.Is(err, sqlite3.FULL), errors.Is(err, sqlite3.BUSY), errors.Is(err, sqlite3.IOERR) && e.full():
		return e.explain(err)
	default:
		return explainFile(e.path, err)
	}
}

// explainFile says what is wrong with the file or its folder.
func explainFile(path string, err error) error {
	folder := filepath.Dir(path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return misconfigured(err, "mkdir -p "+folder, "database %s cannot be created: folder %s does not exist", path, folder)
	case errors.Is(err, os.ErrPermission), errors.Is(err, sqlite3.READONLY):
		return misconfigured(err, "ls -ld "+folder+" "+path, "database %s cannot be written: permission denied", path)
	default:
		return misconfigured(err, "", "database %s cannot be opened: %s", path, reason(err))
	}
}

// close implements engine. The last connection to end empties the log.
func (e *sqliteDB) close() error {
	e.checkpoints.Wait()
	for range readSessions {
		if s := <-e.readers; s != nil {
			s.close()
		}
	}
	return errors.Join(e.reads.Close(), e.writes.Close())
}

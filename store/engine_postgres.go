package store

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"go.uber.org/zap"

	"parley/chat"
)

const (
	postgresHasTable = `SELECT COUNT(*) FROM information_schema.tables WHERE table_schema = current_schema() AND table_name = `

	// ownerLock is the key of the advisory lock: "parley" in ASCII.
	ownerLock     = `123563833845113` // 0x7061726c6579
	takeOwnerLock = `SELECT CASE WHEN pg_try_advisory_lock(` + ownerLock + `) THEN 1 ELSE 0 END`
	// giveOwnerLock is said before leaving: the server notices a closed connection a moment later, and we may be back by then.
	giveOwnerLock = `SELECT pg_advisory_unlock(` + ownerLock + `)`
	// endOurGhost ends the server's half of a connection of ours that broke without its noticing: it would keep the lock for
	// as long as TCP takes, which can be hours. Nobody else has our application name.
	endOurGhost = `SELECT COUNT(pg_terminate_backend(l.pid)) FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid
		WHERE l.locktype = 'advisory' AND l.granted AND l.pid <> pg_backend_pid()
			AND (l.classid::bigint << 32 | l.objid::bigint) = ` + ownerLock + `
			AND a.datname = current_database() AND a.application_name = current_setting('application_name')`
	durability = `SELECT current_setting('fsync') = 'on', current_setting('synchronous_commit') <> 'off'`
)

// The codes of PostgreSQL that decide what becomes of a transaction (its manual, appendix A).
const (
	codeSerialization = "40001"
	codeDeadlock      = "40P01"
	codeReadOnly      = "25006" // we are still connected to a server that is no longer the primary
	codeShutdown      = "57P01"
	codeCrash         = "57P02"
	codeNotYet        = "57P03"
	codeNoDatabase    = "3D000"
	classAuth         = "28"
	classResources    = "53"
)

// warning is where a connection keeps its last warning.
const warning = "parley.warning"

// errDoubt says that a transaction was committed, and may be lost when the server is.
var errDoubt = errors.New("the server warned while it committed")

// postgresDB is a database on a server: a pool for views, and the one connection that writes beside it.
type postgresDB struct {
	config *pgx.ConnConfig
	conns  *pgxpool.Pool
	reads  *sql.DB // on the pool
	writes *sql.DB // makes a new connection each time
	owned  bool    // by one node alone
}

func openPostgres(ctx context.Context, dsn string, logger *zap.Logger, owned bool) (*postgresDB, error) {
	config, err := pgxpool.ParseConfig(dsn)
	if err != nil {
		return nil, explainURL(dsn, err)
	}
	if !strings.Contains(dsn, "connect_timeout") {
		config.ConnConfig.ConnectTimeout = ConnectTimeout
	}
	// The name tells our own connections from those of other nodes, also after they broke.
	config.ConnConfig.RuntimeParams["application_name"] = "parley " + rand.Text()
	config.ConnConfig.OnNotice = noteWarning
	config.PingTimeout = ConnectTimeout // of what was idle for a second: where it does not answer, the pool connects anew
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, explainURL(dsn, err)
	}
	e := &postgresDB{config: config.ConnConfig, conns: pool, reads: stdlib.OpenDBFromPool(pool), writes: stdlib.OpenDB(*config.ConnConfig), owned: owned}
	e.writes.SetMaxIdleConns(0)
	if err := e.warn(ctx, logger); err != nil {
		return nil, errors.Join(e.explainOpen(err), e.close())
	}
	return e, nil
}

// warn says so when the server is set up to lose what it has acknowledged.
func (e *postgresDB) warn(ctx context.Context, logger *zap.Logger) error {
	var synced, waits bool
	if err := e.reads.QueryRowContext(ctx, durability).Scan(&synced, &waits); err != nil {
		return err
	}
	if !synced || !waits {
		logger.Warn("PostgreSQL is set up to lose acknowledged messages when the power fails: set fsync and synchronous_commit to on",
			zap.String("database", e.where()), zap.Bool("fsync", synced), zap.Bool("synchronous_commit", waits))
	}
	return nil
}

func (e *postgresDB) dialect() dialect {
	return dialect{
		name: "postgres", where: e.where(), begin: "BEGIN", beginView: "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
		hasTable: postgresHasTable, lock: " FOR UPDATE OF m", goose: goose.DialectPostgres,
	}
}

func (e *postgresDB) pool() *sql.DB { return e.reads }

// where returns the database's name and server, without user or password.
func (e *postgresDB) where() string {
	return fmt.Sprintf("%q at %s", e.config.Database, e.server())
}

// server names the server, or all that the URL names, each once.
func (e *postgresDB) server() string {
	names := []string{fmt.Sprintf("%s port %d", e.config.Host, e.config.Port)}
	for _, other := range e.config.Fallbacks {
		if name := fmt.Sprintf("%s port %d", other.Host, other.Port); !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return strings.Join(names, ", ")
}

// writer implements engine: the lock, where there is one, belongs to the connection, so that nobody can write without it.
func (e *postgresDB) writer(ctx context.Context) (*session, error) {
	conn, err := e.writes.Conn(ctx)
	if err != nil {
		return nil, err
	}
	s := &session{conn: conn}
	s.doubt = func() error { return doubt(s) }
	s.pipeline = func(ctx context.Context, all []statement) error { return pipeline(ctx, s, all) }
	if !e.owned {
		return s, nil
	}
	if err := e.own(ctx, s); err != nil {
		s.close()
		return nil, err
	}
	s.leave = func() {
		ctx, cancel := context.WithTimeout(context.Background(), ConnectTimeout)
		defer cancel()
		if alive(s) {
			_, _ = s.conn.ExecContext(ctx, giveOwnerLock) // the server gives it up with the connection
		}
	}
	return s, nil
}

// own takes the owner's lock, also from what is left of an earlier connection of ours, and of an owner that was killed, which a server notices
// late. It tries for OwnerWait.
func (e *postgresDB) own(ctx context.Context, s *session) error {
	until := time.Now().Add(OwnerWait)
	for attempt := 0; ; attempt++ {
		if taken, err := s.number(ctx, takeOwnerLock); err != nil || taken == 1 {
			return err
		}
		if _, err := s.number(ctx, endOurGhost); err != nil {
			return err
		}
		if time.Now().After(until) {
			return inUse(e.where())
		}
		pause(ctx, min(attempt, MaxAttempts))
	}
}

// reader implements engine. The pool replaces connections that broke, and keeps the statements of those that did not.
func (e *postgresDB) reader(ctx context.Context) (*session, error) {
	conn, err := e.reads.Conn(ctx)
	if err != nil {
		return nil, err
	}
	return &session{conn: conn}, nil
}

// done implements engine.
func (e *postgresDB) done(s *session) {
	if s.broken {
		_ = s.conn.Raw(func(c any) error { return c.(*stdlib.Conn).Conn().Close(context.Background()) })
	}
	s.conn.Close()
}

// suspects implements engine: the server sees to its own disk.
func (e *postgresDB) suspects() bool { return false }

// committed implements engine: the server does its own checkpoints.
func (e *postgresDB) committed() {}

// judge implements engine. A server that goes, comes or has become a standby is another's to answer: the next connection looks for one that
// takes writes.
func (e *postgresDB) judge(s *session, err error) verdict {
	if !alive(s) || errors.Is(err, errDoubt) {
		return verdictLost
	}
	var answer *pgconn.PgError
	if !errors.As(err, &answer) {
		return verdictFinal
	}
	switch answer.Code {
	case codeSerialization, codeDeadlock:
		return verdictAgain
	case codeReadOnly, codeShutdown, codeCrash, codeNotYet:
		return verdictLost
	default:
		return verdictFinal
	}
}

// pipeline sends statements together, and waits once. After one that fails the server skips the others.
func pipeline(ctx context.Context, s *session, all []statement) error {
	var batch pgx.Batch
	for _, one := range all {
		batch.Queue(one.query, one.args...)
	}
	return s.conn.Raw(func(c any) error {
		results := c.(*stdlib.Conn).Conn().SendBatch(ctx, &batch)
		for _, one := range all {
			tag, err := results.Exec()
			if err := one.changed(tag.RowsAffected(), err); err != nil {
				_ = results.Close() // says the same
				return one.failed(err)
			}
		}
		return results.Close()
	})
}

// noteWarning keeps the last warning of a connection for whoever commits on it.
func noteWarning(c *pgconn.PgConn, n *pgconn.Notice) {
	if n.SeverityUnlocalized == "WARNING" {
		c.CustomData()[warning] = n.Message
	}
}

// doubt takes the warning that came since it was asked last, if one came, from a session's connection. A commit that waits for a standby and
// is cancelled (statement_timeout, pg_cancel_backend) succeeds with a warning, though the standby may not have it.
func doubt(s *session) (err error) {
	_ = s.conn.Raw(func(c any) error {
		data := c.(*stdlib.Conn).Conn().PgConn().CustomData()
		if said, ok := data[warning]; ok {
			err = fmt.Errorf("%w: %v", errDoubt, said)
			delete(data, warning)
		}
		return nil
	})
	return err
}

// alive reports whether the session's connection is open, as far as this side knows.
func alive(s *session) bool {
	closed := true
	err := s.conn.Raw(func(c any) error {
		closed = c.(*stdlib.Conn).Conn().IsClosed()
		return nil
	})
	return err == nil && !closed
}

// explain implements engine.
func (e *postgresDB) explain(err error) error {
	var answer *pgconn.PgError
	if errors.As(err, &answer) && strings.HasPrefix(answer.Code, classResources) {
		return &trouble{cause: err, told: &chat.Error{
			Code: chat.CodeLimit, Detail: fmt.Sprintf("database %s has no room: %s", e.where(), answer.Message),
		}}
	}
	return err
}

// explainOpen implements engine.
func (e *postgresDB) explainOpen(err error) error {
	var told *chat.Error
	var answer *pgconn.PgError
	switch {
	case errors.As(err, &told), errors.Is(err, context.Canceled):
		return err
	case !errors.As(err, &answer):
		return misconfigured(err, fmt.Sprintf("pg_isready -h %s -p %d", e.config.Host, e.config.Port),
			"database server %s cannot be reached: %s", e.server(), reason(err))
	case strings.HasPrefix(answer.Code, classAuth):
		return misconfigured(err, "", "database server %s refuses user %q: wrong user or password", e.server(), e.config.User)
	case answer.Code == codeNoDatabase:
		return misconfigured(err, "createdb "+e.config.Database, "database %s does not exist", e.where())
	default:
		return misconfigured(err, "", "database %s cannot be opened: %s", e.where(), answer.Message)
	}
}

// explainURL says what is wrong with the URL. The driver's own words are shown only where the password can be taken out of them.
func explainURL(dsn string, err error) error {
	const want = "want postgres://USER:PASSWORD@HOST:PORT/NAME"
	u, badURL := url.Parse(dsn)
	if badURL != nil {
		return misconfigured(nil, "", "database URL cannot be read; %s", want)
	}
	why := err.Error()
	why = why[strings.LastIndex(why, "`")+1:]
	if password, ok := u.User.Password(); ok && password != "" {
		why = strings.ReplaceAll(why, password, "…")
	}
	return misconfigured(nil, "", "database URL cannot be used%s; %s", why, want)
}

// close implements engine.
func (e *postgresDB) close() error {
	errs := errors.Join(e.writes.Close(), e.reads.Close())
	e.conns.Close()
	return errs
}

package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"fmt"
	"strings"
)

// session is one connection, with what was prepared on it. One goroutine at a time uses it.
type session struct {
	conn *sql.Conn
	// stmts holds prepared statements by the text of their query; nil where the driver keeps them itself.
	stmts map[string]*sql.Stmt
	// leave gives up the owner's lock, before the connection is closed; nil for a session that does not write.
	leave func()
	// pipeline runs statements in one round trip; nil where there is none to save.
	pipeline func(context.Context, []statement) error
	// doubt returns, once, why the last commit may not be durable though the database said yes; nil where it never says so.
	doubt func() error
	// words holds the words of queries (names).
	words map[string]map[string]bool
	// broken is set when a transaction could not be ended: the connection must not be used again.
	broken bool
	// ending is called before the connection is closed, which may write and sync a last time; nil where nothing is to be said about that.
	ending func()
}

// exec runs a statement that returns no rows, and returns how many rows it changed.
func (s *session) exec(ctx context.Context, query string, args ...any) (int64, error) {
	res, err := s.run(ctx, query, args...)
	if err != nil {
		return 0, err
	}
	return res.RowsAffected()
}

// statement is a query that returns no rows, and its arguments.
type statement struct {
	query string
	args  []any
	must  bool // it must change a row
}

// changed is the error of a statement that changed so many rows.
func (one statement) changed(n int64, err error) error {
	if err == nil && n == 0 && one.must {
		err = sql.ErrNoRows
	}
	return err
}

// failed says in which statement an error came up.
func (one statement) failed(err error) error { return fmt.Errorf("%.40s: %w", one.query, err) }

// execAll runs statements one after another, up to the first that fails.
func (s *session) execAll(ctx context.Context, all []statement) error {
	if s.pipeline != nil {
		return s.pipeline(ctx, all)
	}
	for _, one := range all {
		res, err := s.run(ctx, one.query, one.args...)
		if err == nil {
			err = one.changed(res.RowsAffected())
		}
		if err != nil {
			return one.failed(err)
		}
	}
	return nil
}

func (s *session) run(ctx context.Context, query string, args ...any) (sql.Result, error) {
	if s.stmts == nil {
		return s.conn.ExecContext(ctx, query, args...)
	}
	stmt, err := s.prepared(ctx, query)
	if err != nil {
		return nil, err
	}
	return stmt.ExecContext(ctx, args...)
}

// query runs a statement that returns rows.
func (s *session) query(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	if s.stmts == nil {
		return s.conn.QueryContext(ctx, query, args...)
	}
	stmt, err := s.prepared(ctx, query)
	if err != nil {
		return nil, err
	}
	return stmt.QueryContext(ctx, args...)
}

func (s *session) prepared(ctx context.Context, query string) (*sql.Stmt, error) {
	if stmt, ok := s.stmts[query]; ok {
		return stmt, nil
	}
	stmt, err := s.conn.PrepareContext(ctx, numbered(query))
	if err != nil {
		return nil, fmt.Errorf("prepare %.60q: %w", query, err)
	}
	s.stmts[query] = stmt
	return stmt, nil
}

// numbered writes $n as ?n. SQLite would take $2 for a name, and number it by its first appearance.
func numbered(query string) string { return strings.ReplaceAll(query, "$", "?") }

// begin starts a transaction with the engine's words for it.
func (s *session) begin(ctx context.Context, words string) error {
	_, err := s.run(ctx, words)
	return err
}

// commit ends the transaction durably. After an error the session has no transaction, or is broken.
func (s *session) commit(ctx context.Context) error {
	if s.doubt != nil {
		_ = s.doubt() // of what came before
	}
	_, err := s.run(ctx, "COMMIT")
	if err == nil && s.doubt != nil {
		err = s.doubt()
	}
	if err != nil {
		s.rollBack(ctx)
	}
	return err
}

// rollBack ends the transaction without a trace, also when ctx has ended.
func (s *session) rollBack(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), ConnectTimeout)
	defer cancel()
	if _, err := s.run(ctx, "ROLLBACK"); err != nil {
		s.broken = true
	}
}

// close ends the connection itself: it does not go back to a pool.
func (s *session) close() {
	if s.leave != nil {
		s.leave()
	}
	for _, stmt := range s.stmts {
		stmt.Close()
	}
	if s.ending != nil {
		s.ending()
	}
	_ = s.conn.Raw(func(any) error { return driver.ErrBadConn }) // takes it out of the pool
	s.conn.Close()
}

// number scans one number of a query that has one row.
func (s *session) number(ctx context.Context, query string, args ...any) (n int64, err error) {
	return n, s.conn.QueryRowContext(ctx, query, args...).Scan(&n)
}

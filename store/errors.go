package store

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"syscall"

	"github.com/jackc/pgx/v5/pgconn"

	"parley/chat"
)

var (
	errReadOnly = errors.New("update: the database was opened to read only")
	errClosed   = errors.New("the database is closed")
)

// trouble is what people are told, with the cause, if there is one, for machines and logs.
type trouble struct {
	told  *chat.Error
	cause error
}

// Error returns the line for people.
func (t *trouble) Error() string { return t.told.Detail }

// Unwrap gives both: errors.As finds the *chat.Error, errors.Is the cause.
func (t *trouble) Unwrap() []error { return []error{t.told, t.cause} }

// misconfigured returns an error for people about how the database is set up.
func misconfigured(cause error, try, format string, args ...any) error {
	return &trouble{told: &chat.Error{Code: chat.CodeConfig, Detail: fmt.Sprintf(format, args...), Try: try}, cause: cause}
}

// inUse returns the error for somebody who comes second.
func inUse(where string) error {
	return misconfigured(nil, "parley status", "database %s is in use by another parley node", where)
}

// reason says in a few words why a database cannot be reached. Errors of drivers hold whole connection strings; this does not.
func reason(err error) string {
	var answer *pgconn.PgError
	var errno syscall.Errno
	switch {
	case errors.As(err, &answer):
		return answer.Message
	case errors.As(err, &errno):
		return errno.Error()
	case errors.Is(err, context.DeadlineExceeded):
		return "no answer in time"
	}
	line, _, _ := strings.Cut(err.Error(), "\n")
	return line
}

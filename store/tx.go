package store

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"iter"
	"math"
	"math/bits"
	"slices"
	"strconv"
	"strings"
	"time"

	"parley/chat"
)

var _ chat.Tx = (*tx)(nil)

// tx is one transaction on one session. After its first error it can only fail: PostgreSQL refuses everything that follows an
// error, so SQLite shall not forgive it.
type tx struct {
	ctx     context.Context
	session *session
	err     error
	later   []later // what was written and not sent yet
	last    uint64  // the last event; 0 where nobody has asked yet

	forgotten, never bool // it is known that something was forgotten, or that nothing ever was
}

// exec runs a statement that returns no rows, and returns how many rows it changed.
func (t *tx) exec(query string, args ...any) (int64, error) {
	if err := t.settle(query); t.err != nil {
		return 0, cmp.Or(err, t.err)
	}
	n, err := t.session.exec(t.ctx, query, args...)
	return n, t.fail(err)
}

// execAll runs statements whose results nobody needs to see one by one.
func (t *tx) execAll(all ...statement) error {
	if t.err != nil {
		return t.err
	}
	return t.fail(t.session.execAll(t.ctx, all))
}

func (t *tx) fail(err error) error {
	if t.err == nil {
		t.err = err
	}
	return err
}

// list runs a query and reads every row with scan.
func list[T any](t *tx, scan func(*sql.Rows) (T, error), query string, args ...any) ([]T, error) {
	if err := t.settle(query); t.err != nil {
		return nil, cmp.Or(err, t.err)
	}
	rows, err := t.session.query(t.ctx, query, args...)
	if err != nil {
		return nil, t.fail(err)
	}
	defer rows.Close()
	var all []T
	for rows.Next() {
		row, err := scan(rows)
		if err != nil {
			return nil, t.fail(err)
		}
		all = append(all, row)
	}
	return all, t.fail(rows.Err())
}

// first runs a query and reads its first row, if it has one.
func first[T any](t *tx, scan func(*sql.Rows) (T, error), query string, args ...any) (row T, ok bool, err error) {
	all, err := list(t, scan, query, args...)
	if err != nil || len(all) == 0 {
		return row, false, err
	}
	return all[0], true, nil
}

// listIn is list for a query that ends before the keys of the rows that it wants.
func listIn[T any](t *tx, scan func(*sql.Rows) (T, error), query string, keys []any) (all []T, err error) {
	for batch := range batches(keys, 1) {
		some, err := list(t, scan, query+placeholders(1, len(batch)), batch...)
		if err != nil {
			return nil, err
		}
		all = append(all, some...)
	}
	return all, nil
}

// keys returns ids as a statement takes them.
func keys[T any](ids []T, bytes func(*T) []byte) []any {
	args := make([]any, len(ids))
	for i := range ids {
		args[i] = bytes(&ids[i])
	}
	return args
}

// id scans bytes into an array of the same length.
type id []byte

// Scan implements sql.Scanner.
func (dst id) Scan(src any) error {
	b, ok := src.([]byte)
	if !ok || len(b) != len(dst) {
		return fmt.Errorf("scan id: want %d bytes, got %d", len(dst), len(b))
	}
	copy(dst, b)
	return nil
}

// number scans a number and does something with it.
type number func(int64)

// Scan implements sql.Scanner.
func (put number) Scan(src any) error {
	n, ok := src.(int64)
	if !ok {
		return fmt.Errorf("scan number: got %T", src)
	}
	put(n)
	return nil
}

// instant scans microseconds since 1970 into a time in UTC.
func instant(dst *time.Time) number {
	return func(n int64) { *dst = time.UnixMicro(n).UTC() }
}

// wide scans a number that uses all 64 bits.
func wide(dst *uint64) number {
	return func(n int64) { *dst = uint64(n) }
}

// bytesOf returns b, or empty bytes for nil, which the drivers would take for NULL.
func bytesOf[T ~[]byte | ~string](b T) []byte {
	if len(b) == 0 {
		return []byte{}
	}
	return []byte(b)
}

// seqOf returns a sequence number as the databases compare it.
func seqOf(seq uint64) int64 { return int64(min(seq, math.MaxInt64)) }

// limitOf returns a limit that both engines understand.
func limitOf(n int) int64 { return int64(max(n, 0)) }

// batches cuts a list, whose rows are so many values each, into what one statement takes. Each is filled up to a power of two of rows with
// copies of its last, so that few statements have to be kept.
func batches(values []any, width int) iter.Seq[[]any] {
	return func(yield func([]any) bool) {
		for batch := range slices.Chunk(values, width*rowsBatch) {
			last := batch[len(batch)-width:]
			rows := len(batch) / width
			batch = slices.Clone(batch)
			for range 1<<bits.Len(uint(rows-1)) - rows {
				batch = append(batch, last...)
			}
			if !yield(batch) {
				return
			}
		}
	}
}

// placeholders returns "($first, …)" for n values.
func placeholders(first, n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteString(", $")
		b.WriteString(strconv.Itoa(first + i))
	}
	return "(" + b.String()[2:] + ")"
}

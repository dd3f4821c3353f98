package store

import (
	"fmt"
	"math/bits"
	"slices"
	"strings"
)

// What a transaction writes and nobody reads yet waits in memory: the rows of a table go together in few statements, and on PostgreSQL all
// statements in one round trip. They go before the first statement that names their table, or at the end of their update. So the update
// sees what it wrote, and where the database refuses a row the update fails as a whole, only later than it wrote it.

// later is what waits for one table.
type later struct {
	table string
	head  string // the statement, or what stands before the values of its rows
	width int    // values of one row; 0: the statement is whole, and runs once for each list of values
	must  bool   // it must change a row each time
	rows  [][]any
}

// add writes a row, later. The statement ends before the row's values, of which it has as many as are given.
func (t *tx) add(insert string, values ...any) error {
	return t.put(later{head: insert, width: len(values)}, values)
}

// write runs a statement that nobody has to see the outcome of, later.
func (t *tx) write(query string, values ...any) error {
	return t.put(later{head: query}, values)
}

// change is write for a statement that must change a row.
func (t *tx) change(query string, values ...any) error {
	return t.put(later{head: query, must: true}, values)
}

func (t *tx) put(l later, values []any) error {
	if t.err != nil {
		return t.err
	}
	i := slices.IndexFunc(t.later, func(other later) bool { return other.head == l.head })
	if i < 0 {
		if err := t.settle(l.head); err != nil { // another statement about the same table comes first
			return err
		}
		l.table = mustTable(l.head)
		t.later = append(t.later, l)
		i = len(t.later) - 1
	}
	t.later[i].rows = append(t.later[i].rows, values)
	if len(t.later[i].rows) < rowsBatch {
		return nil
	}
	return t.settleAll()
}

// settle sends what waits for a table that a query names.
func (t *tx) settle(query string) error {
	if len(t.later) == 0 || !slices.ContainsFunc(t.later, func(l later) bool { return t.session.names(query)[l.table] }) {
		return nil
	}
	return t.settleAll()
}

// settleAll sends everything that waits.
func (t *tx) settleAll() error {
	var all []statement
	for _, l := range t.later {
		all = l.statements(all)
	}
	t.later = nil
	if len(all) == 0 {
		return nil
	}
	return t.execAll(all...)
}

// statements appends the statements that write the rows: each takes a power of two of them, so that few have to be prepared.
func (l later) statements(all []statement) []statement {
	if l.width == 0 {
		for _, row := range l.rows {
			all = append(all, statement{query: l.head, args: row, must: l.must})
		}
		return all
	}
	for rows := l.rows; len(rows) > 0; {
		n := 1 << (bits.Len(uint(len(rows))) - 1)
		all = append(all, statement{query: l.head + rowsOf(n, l.width), args: slices.Concat(rows[:n]...)})
		rows = rows[n:]
	}
	return all
}

// rowsOf returns "($1, $2), ($3, $4) …" for n rows.
func rowsOf(n, width int) string {
	rows := make([]string, n)
	for i := range rows {
		rows[i] = placeholders(1+i*width, width)
	}
	return strings.Join(rows, ", ")
}

// mustTable returns the table that a statement changes.
func mustTable(query string) string {
	words := strings.Fields(query)
	for i, word := range words[:len(words)-1] {
		if word == "INTO" || word == "UPDATE" || word == "FROM" {
			return words[i+1]
		}
	}
	panic(fmt.Sprintf("store: no statement that changes a table: %.60s", query))
}

// names returns the words of a query, all its tables among them.
func (s *session) names(query string) map[string]bool {
	if words, ok := s.words[query]; ok {
		return words
	}
	words := map[string]bool{}
	for _, word := range strings.FieldsFunc(query, func(r rune) bool { return r != '_' && (r < 'a' || r > 'z') }) {
		words[word] = true
	}
	if s.words == nil {
		s.words = map[string]map[string]bool{}
	}
	s.words[query] = words
	return words
}

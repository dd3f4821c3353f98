package store

import (
	"context"
	"go/ast"
	"go/constant"
	"go/parser"
	"go/token"
	"go/types"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"parley/chat"
	"parley/store/storetest"
)

// queries returns every constant of this package that is a query, by name.
func queries(t *testing.T) map[string]string {
	t.Helper()
	fset := token.NewFileSet()
	entries, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	var files []*ast.File
	for _, entry := range entries {
		if name := entry.Name(); strings.HasSuffix(name, ".go") && !strings.HasSuffix(name, "_test.go") {
			file, err := parser.ParseFile(fset, name, nil, 0)
			if err != nil {
				t.Fatal(err)
			}
			files = append(files, file)
		}
	}
	config := types.Config{Error: func(error) {}} // our constants need no imports
	pkg, _ := config.Check("store", fset, files, nil)
	found := map[string]string{}
	for _, name := range pkg.Scope().Names() {
		c, ok := pkg.Scope().Lookup(name).(*types.Const)
		if !ok || c.Val().Kind() != constant.String {
			continue
		}
		if text := constant.StringVal(c.Val()); regexp.MustCompile(`^(SELECT|INSERT|UPDATE|DELETE|WITH)\b`).MatchString(text) {
			found[name] = text
		}
	}
	return found
}

// whole completes a query that the code completes.
func whole(name, text string) string {
	switch name {
	case "messageAt", "seenSelect", "heldIn":
		return text + placeholders(1, 8)
	case "outboxDelete", "boxesRead":
		return text + placeholders(2, 8)
	case "laneDelete":
		return text + placeholders(3, 8)
	case "boxesLease":
		return text + placeholders(4, 8)
	case "boxesDelete":
		return text + placeholders(2, 8) + boxesGone
	case "messageInsert":
		return text + rowsOf(8, 10)
	case "outboxInsert":
		return text + rowsOf(8, 7)
	case "seenInsert":
		return text + rowsOf(8, 3)
	case "eventInsert":
		return text + rowsOf(8, 6)
	case "laneInsert":
		return text + laneRows(8) + laneOnce
	case "sqliteHasTable", "postgresHasTable":
		return text + "'" + mailboxVersionTable + "'"
	default:
		return text
	}
}

// parameters returns the numbers of a query's parameters, each once.
func parameters(text string) (seen []int) {
	for _, m := range regexp.MustCompile(`[$?](\d+)`).FindAllStringSubmatch(text, -1) {
		n, _ := strconv.Atoi(m[1])
		seen = append(seen, n)
	}
	slices.Sort(seen)
	return slices.Compact(seen)
}

func TestQueriesNumberTheirParameters(t *testing.T) {
	all := queries(t)
	if len(all) < 30 {
		t.Fatalf("found %d queries: the search is broken", len(all))
	}
	for name, text := range all {
		text = whole(name, text)
		seen := parameters(text)
		for i, n := range seen {
			if n != i+1 {
				t.Errorf("%s: parameters %v, want 1 to %d", name, seen, len(seen))
				break
			}
		}
		if strings.ContainsAny(numbered(text), "$") || strings.Contains(text, "?") {
			t.Errorf("%s: a $ or ? that is no parameter", name)
		}
	}
}

// SQLite takes $2 for a name and counts names as they come; ?2 is the second argument wherever it stands.
func TestParametersInAnyOrder(t *testing.T) {
	bothEngines(t, func(t *testing.T, url string) {
		db := open(t, url)
		err := db.view(bg(), func(tx *tx) error {
			rows, err := tx.session.query(bg(), `SELECT CAST($2 AS BIGINT) - CAST($1 AS BIGINT)`, int64(1), int64(10))
			if err != nil {
				return err
			}
			defer rows.Close()
			var got int
			for rows.Next() {
				if err := rows.Scan(&got); err != nil {
					return err
				}
			}
			if got != 9 {
				t.Errorf("10 - 1 = %d", got)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	})
}

// Every query is prepared on each engine that it is for, so that none is wrong where no test runs it.
func TestQueriesPrepare(t *testing.T) {
	bothEngines(t, func(t *testing.T, url string) {
		db := open(t, url)
		for name, text := range queries(t) {
			other := strings.HasPrefix(name, "sqlite") && db.Engine() != "sqlite" ||
				slices.Contains([]string{"postgresHasTable", "takeOwnerLock", "giveOwnerLock", "endOurGhost", "durability"}, name) &&
					db.Engine() != "postgres"
			if other || strings.HasSuffix(name, "Select") && strings.HasSuffix(text, " ") {
				continue // for the other engine, or the beginning of a query
			}
			text := whole(name, text)
			if db.Engine() == "sqlite" {
				text = numbered(text)
			}
			err := db.view(bg(), func(tx *tx) error {
				stmt, err := tx.session.conn.PrepareContext(context.Background(), text)
				if err != nil {
					return err
				}
				return stmt.Close()
			})
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
}

// The hot queries must find their rows by an index, however large the tables are.
func TestQueriesUseIndexes(t *testing.T) {
	db := open(t, storetest.SQLite(t))
	for _, name := range []string{
		"messageAt", "messageByID", "messageByClient", "messagePage", "messageUnreadIn", "messageStats", "messageLast",
		"outboxOf", "outboxDevices", "outboxDelete", "seenSelect", "eventSelect", "contactOf",
		"conversationSelect", "recordSelect", "unaddressedOf", "unaddressedAny", "requestOf", "heldIn", "heldOf", "heldDelete", "tombstoneSelect",
		"eventLast", "sessionByID", "sessionsWith", "secretOne", "secretsOf",
		"boxDoor", "boxKnown", "boxesFree", "boxesLease", "boxesRead", "boxesDelete", "boxesExpire", "laneSelect", "laneAny", "useEmpty", "mailboxLock",
	} {
		plan := explain(t, db, numbered(whole(name, queries(t)[name])))
		if regexp.MustCompile(`SCAN (message|outbox|event|unaddressed|held|mailbox\w*|[lm]);`).MatchString(plan) && name != "messageLast" {
			t.Errorf("%s reads a whole table: %s", name, plan)
		}
		if strings.Contains(plan, "TEMP B-TREE") {
			t.Errorf("%s sorts: %s", name, plan)
		}
	}
}

func explain(t *testing.T, db *DB, query string) string {
	t.Helper()
	var plan []string
	err := db.view(bg(), func(tx *tx) error {
		args := make([]any, len(parameters(query)))
		rows, err := tx.session.conn.QueryContext(bg(), "EXPLAIN QUERY PLAN "+query, args...)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var id, parent, unused int
			var detail string
			if err := rows.Scan(&id, &parent, &unused, &detail); err != nil {
				return err
			}
			plan = append(plan, detail)
		}
		return rows.Err()
	})
	if err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return strings.Join(plan, "; ") + ";"
}

// The states that the tables allow are the states that there are.
func TestStatesOfTheTables(t *testing.T) {
	bothEngines(t, func(t *testing.T, url string) {
		db := open(t, url)
		for n, s := range []chat.State{
			chat.StateQueued, chat.StateSent, chat.StateDelivered, chat.StateRead, chat.StateFailed, chat.StateReceived,
		} {
			m := benchMessage(uint64(n))
			m.State = s
			if err := db.Update(bg(), func(tx chat.Tx) error { return tx.InsertMessage(m) }); err != nil {
				t.Errorf("%s: %v", s, err)
			}
		}
		m := benchMessage(99)
		m.State = "lost"
		if err := db.Update(bg(), func(tx chat.Tx) error { return tx.InsertMessage(m) }); err == nil {
			t.Error("a message is lost")
		}
	})
}

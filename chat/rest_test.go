package chat_test

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib"
	_ "github.com/ncruces/go-sqlite3/driver"

	"parley/chat"
	"parley/chat/chattest"
	"parley/store"
	"parley/store/storetest"
)

// atRest is Alice with a real database, and what she has with Bob and Carol in it.
type atRest struct {
	*testing.T
	url               string
	raw               *sql.DB // the database as a thief has it
	scene             *chattest.Scene
	alice, bob, carol *chattest.Person
	dave              *chattest.Person // whom nobody can find
}

// cellColumns are all columns that hold cells, with the columns that name a row.
func cellColumns() [][3]string {
	return [][3]string{
		{"message", "cell", "row_id"},
		{"message", "trace", "row_id"},
		{"outbox", "holders", "row_id"},
		{"conversation", "cell", "id"},
		{"outbox", "cell", "row_id"},
		{"inbox_seen", "cell", "envelope_id"},
		{"event", "cell", "seq"},
		{"contact", "cell", "account"},
		{"record", "cell", "record_key"},
	}
}

// What nobody shall find in the database.
const (
	secretText   = "the tangerine penguins of Vladivostok"
	secretClient = "client-of-the-penguins"
	secretName   = "Tangerine Bob"
	secretReason = "because of the penguins"
)

func onEngines(t *testing.T, test func(a *atRest)) {
	for engine, database := range map[string]func(testing.TB) string{"sqlite": storetest.SQLite, "postgres": storetest.Postgres} {
		t.Run(engine, func(t *testing.T) { test(play(t, database(t))) })
	}
}

func openStore(t *testing.T, url string) *store.DB {
	t.Helper()
	db, err := store.Open(t.Context(), url, store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

func openRaw(t *testing.T, url string) *sql.DB {
	t.Helper()
	driver := "pgx"
	if path, ok := strings.CutPrefix(url, "sqlite:"); ok {
		driver, url = "sqlite3", "file:"+path+"?_pragma=busy_timeout(5000)&_pragma=synchronous(OFF)"
	}
	raw, err := sql.Open(driver, url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { raw.Close() })
	return raw
}

// play fills Alice's database with rows of every table.
func play(t *testing.T, url string) *atRest {
	t.Helper()
	s := chattest.NewScene(t, 20)
	a := &atRest{T: t, url: url, scene: s, raw: openRaw(t, url)}
	hostsOf(s, 1)
	a.alice, a.bob = s.Started("Alice", openStore(t, url)), s.Started("Bob", chattest.NewMemStore())
	a.carol, a.dave = s.Started("Carol", chattest.NewMemStore()), s.Person("Dave", chattest.NewMemStore())
	link, err := a.bob.ContactLink(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.alice.AddContact(t.Context(), link.Link, secretName); err != nil {
		t.Fatal(err)
	}
	a.bob.Adds(a.alice)
	a.alice.Befriend(a.carol)
	a.alice.Adds(a.dave)
	a.alice.Say(a.dave, secretText)
	for _, other := range []*chattest.Person{a.bob, a.carol} {
		for n := range 3 {
			m, err := a.alice.Send(t.Context(), chat.Draft{Conversation: a.alice.With(other), Text: fmt.Sprint(secretText, n), ClientID: fmt.Sprint(secretClient, n)})
			if err != nil {
				t.Fatal(err)
			}
			a.alice.Sees(m, chat.StateDelivered)
			other.Sees(other.Say(a.alice, "answer about "+secretText), chat.StateDelivered)
		}
	}
	a.bob.Stop()
	failed := a.alice.Sees(a.alice.Say(a.bob, "waits for Bob"), chat.StateSent)
	a.change(func(tx chat.Tx) error {
		row, _, err := tx.MessageByID(failed.ID)
		row.State, row.Trace = chat.StateFailed, chat.FailedTrace(secretReason)
		return errors.Join(err, tx.SetMessageState(row))
	})
	a.alice.Say(a.bob, "waits too")
	return a
}

func (a *atRest) change(fn func(chat.Tx) error) {
	a.Helper()
	if err := a.alice.Change(a.Context(), fn); err != nil {
		a.Fatal(err)
	}
}

// exec runs a statement on the raw database, with $1, $2 … as parameters.
func (a *atRest) exec(query string, args ...any) {
	a.Helper()
	if strings.HasPrefix(a.url, "sqlite:") {
		query = strings.ReplaceAll(query, "$", "?")
	}
	if r, err := a.raw.ExecContext(a.Context(), query, args...); err != nil {
		a.Fatal(err)
	} else if n, _ := r.RowsAffected(); n != 1 {
		a.Fatalf("%s changed %d rows", query, n)
	}
}

// cell is one cell in the raw database.
type cell struct {
	table, column, key string
	row                any
	value              []byte
}

func (c cell) String() string { return c.table + "." + c.column }

func (a *atRest) put(c cell, value []byte) {
	a.Helper()
	a.exec("UPDATE "+c.table+" SET "+c.column+" = $1 WHERE "+c.key+" = $2", value, c.row)
}

// cells returns every cell that is not empty.
func (a *atRest) cells() (all []cell) {
	a.Helper()
	for _, at := range cellColumns() {
		rows, err := a.raw.QueryContext(a.Context(), "SELECT "+at[2]+", "+at[1]+" FROM "+at[0]+" ORDER BY 1")
		if err != nil {
			a.Fatal(err)
		}
		defer rows.Close()
		found := 0
		for rows.Next() {
			c := cell{table: at[0], column: at[1], key: at[2]}
			if err := rows.Scan(&c.row, &c.value); err != nil {
				a.Fatal(err)
			}
			if len(c.value) > 0 {
				all, found = append(all, c), found+1
			}
		}
		if err := rows.Err(); err != nil {
			a.Fatal(err)
		}
		if found == 0 {
			a.Errorf("%s.%s holds no cell: nothing was tested", at[0], at[1])
		}
	}
	return all
}

// readable reads every row of a table that Alice's messenger has plain, and fails where one does not open or shows nothing.
func (a *atRest) readable(table string) (n int, err error) {
	err = a.alice.Look(a.Context(), func(tx chat.Tx) (err error) {
		n, err = a.read(tx, table)
		return err
	})
	return n, err
}

func (a *atRest) read(tx chat.Tx, table string) (n int, err error) {
	one := func(ok bool, err2 error) {
		err = errors.Join(err, err2)
		if ok {
			n++
		}
	}
	people := []*chattest.Person{a.bob, a.carol, a.dave}
	switch table {
	case "message":
		for _, who := range people {
			for _, kind := range []chat.Kind{chat.KindText, chat.KindReceipt, chat.KindCard} {
				rows, err2 := tx.Messages(a.alice.With(who), kind, chat.RowID{}, chat.MaxPage)
				n, err = n+len(rows), errors.Join(err, err2)
			}
		}
	case "conversation":
		for _, who := range people {
			_, ok, err := tx.Conversation(a.alice.With(who))
			one(ok, err)
		}
	case "contact":
		for _, who := range people {
			_, ok, err := tx.Contact(who.Identity.Account())
			one(ok, err)
		}
	case "outbox":
		for _, who := range people {
			rows, err2 := tx.OutboxOf(who.Identity.Device(), chat.RowID{}, chat.MaxPage)
			n, err = n+len(rows), errors.Join(err, err2)
		}
	case "inbox_seen":
		seen := map[chat.EnvelopeID]bool{}
		for _, envelope := range a.scene.Net.Envelopes() {
			if id := chat.EnvelopeIDOf(envelope); !seen[id] {
				seen[id] = true
				rows, err := tx.Seen(id)
				one(len(rows) > 0, err)
			}
		}
	case "event":
		events, err := tx.Events(0, chat.MaxPage)
		for _, e := range events {
			if e.Account.IsZero() {
				return 0, fmt.Errorf("event %d shows nothing: damaged", e.Seq)
			}
		}
		return len(events), err
	case "record":
		for i, who := range append(people, a.alice) {
			for k, key := range chat.RecordKeys(who.Identity.Account(), who.Identity.Device()) {
				if k < 2 || i == 0 { // the others are of the messenger itself
					_, ok, err := tx.Record(key)
					one(ok, err)
				}
			}
		}
	}
	return n, err
}

func (a *atRest) whole() {
	a.Helper()
	for _, at := range cellColumns() {
		var want int
		if err := a.raw.QueryRowContext(a.Context(), "SELECT COUNT(*) FROM "+at[0]).Scan(&want); err != nil {
			a.Fatal(err)
		}
		if n, err := a.readable(at[0]); err != nil || n != want {
			a.Fatalf("%s: %d of %d rows can be read, %v", at[0], n, want, err)
		}
	}
}

// wantDetected expects that a table with a bad cell is not read, and that the error shows nothing.
func (a *atRest) wantDetected(c cell, what string) {
	a.Helper()
	_, err := a.readable(c.table)
	if err == nil {
		a.Errorf("%s: %s was not noticed", c, what)
		return
	}
	if said := err.Error(); c.table != "event" && !strings.Contains(said, c.table+" row ") || strings.Contains(said, "penguins") {
		a.Errorf("%s: %s is told as %q", c, what, said)
	}
}

// flips is how many bits are flipped; every one of them must be noticed.
const flips = 1500

func TestEveryFlippedBitAtRestIsDetected(t *testing.T) {
	onEngines(t, func(a *atRest) {
		a.whole()
		all := a.cells()
		rng := rand.New(rand.NewPCG(1, 2))
		for i := range flips {
			c := all[i%len(all)]
			bad := slices.Clone(c.value)
			bad[rng.IntN(len(bad))] ^= 1 << rng.IntN(8)
			a.put(c, bad)
			a.wantDetected(c, "a flipped bit")
			a.put(c, c.value)
		}
		a.whole()
	})
}

func TestCellsOpenInTheirOwnRowAlone(t *testing.T) {
	onEngines(t, func(a *atRest) {
		all := a.cells()
		rng := rand.New(rand.NewPCG(3, 4))
		for i, c := range all {
			for range 5 {
				other := all[rng.IntN(len(all))]
				if other.table == c.table && other.column == c.column && bytes.Equal(other.value, c.value) {
					continue
				}
				a.put(c, other.value)
				a.wantDetected(c, "a cell of "+other.String())
			}
			if next := all[(i+1)%len(all)]; next.table == c.table && next.column == c.column { // the likeliest mistake
				a.put(c, next.value)
				a.wantDetected(c, "the next row's cell")
			}
			a.put(c, c.value)
		}
		a.whole()
	})
}

// The indexes of a row must be those of what is in it: a row that is found under another's id is not believed.
func TestRowsAreFoundUnderTheirOwnIdAlone(t *testing.T) {
	a := play(t, storetest.SQLite(t))
	for _, test := range []struct{ table, column, key string }{
		{"message", "conversation", "row_id"},
		{"contact", "account", "account"},
		{"outbox", "account", "row_id"},
		{"message", "message_id", "row_id"},
		{"event", "conversation", "seq"},
	} {
		var row any
		var was []byte
		query := "SELECT " + test.key + ", " + test.column + " FROM " + test.table + " ORDER BY 1 DESC LIMIT 1"
		if err := a.raw.QueryRowContext(t.Context(), query).Scan(&row, &was); err != nil {
			t.Fatal(err)
		}
		other := bytes.Repeat([]byte{7}, len(was))
		a.exec("UPDATE "+test.table+" SET "+test.column+" = $1 WHERE "+test.key+" = $2", other, row)
		n, err := a.readable(test.table)
		if test.key == test.column {
			row = other
		}
		a.exec("UPDATE "+test.table+" SET "+test.column+" = $1 WHERE "+test.key+" = $2", was, row)
		full, _ := a.readable(test.table)
		if err == nil && n >= full {
			t.Errorf("%s of %s was exchanged, and all %d rows read as before", test.column, test.table, n)
		}
	}
}

// One row that does not open keeps nobody from the rest, and status says so.
func TestTheNodeGoesOnWithADamagedRow(t *testing.T) {
	onEngines(t, func(a *atRest) {
		a.alice.Stop()
		for _, c := range a.cells() {
			if c.table == "contact" || c.table == "outbox" || c.table == "event" {
				continue // those of them are looked at below
			}
			bad := slices.Clone(c.value)
			bad[len(bad)-1] ^= 1
			if c.table == "message" && c.column == "cell" {
				a.put(c, bad) // all messages
			}
		}
		a.alice.Start(nil)
		if contacts, err := a.alice.Contacts(a.Context()); err != nil || len(contacts) != 3 {
			a.Errorf("contacts: %v, %v", contacts, err)
		}
		a.alice.Sees(a.alice.Say(a.carol, "I am still here"), chat.StateDelivered)
		if _, err := a.alice.History(a.Context(), a.alice.With(a.bob), chat.MessageID{}, 10); err == nil || strings.Contains(err.Error(), "penguin") {
			a.Errorf("the history with Bob: %v", err)
		}
		var seen int
		ctx, cancel := context.WithCancel(a.Context())
		err := a.alice.Follow(ctx, 0, func(e chat.Entry) error {
			if seen++; e.Message != nil && e.Message.Text == "I am still here" {
				cancel()
			}
			return nil
		})
		if !errors.Is(err, context.Canceled) || seen < 10 {
			a.Errorf("followed %d events: %v", seen, err)
		}
		if status, err := a.alice.Status(a.Context()); err != nil || !strings.Contains(status.Trouble, "the database is damaged") {
			a.Errorf("status says %q, %v", status.Trouble, err)
		}
	})
}

// secrets returns what must be in no column of Alice's database, in any form.
func (a *atRest) secrets() map[string][]byte {
	found := map[string][]byte{
		"a text": []byte("penguins"), "a client id": []byte(secretClient), "a contact's name": []byte("Tangerine"),
		"a reason": []byte(secretReason), "a device's name": []byte("'s device"), "our name": []byte("Alice"),
	}
	for _, p := range []*chattest.Person{a.bob, a.carol, a.dave} {
		account, c := p.Identity.Account(), a.alice.With(p)
		found[p.Name+"'s account"], found[p.Name+"'s device"] = account[:], []byte(p.Identity.Device())
		found["the conversation with "+p.Name] = c[1:]
		page, err := a.alice.History(a.Context(), c, chat.MessageID{}, chat.MaxPage)
		if err != nil {
			a.Fatal(err)
		}
		for _, m := range page {
			found["the id of "+m.Text] = m.ID[:]
		}
	}
	for i, envelope := range a.scene.Net.Envelopes() {
		id := chat.EnvelopeIDOf(envelope)
		found[fmt.Sprint("envelope id ", i)], found[fmt.Sprint("envelope ", i)] = id[:], envelope[10:42]
	}
	return found
}

func (a *atRest) searched(where string, data []byte, secrets map[string][]byte) {
	a.Helper()
	for name, secret := range secrets {
		for form, text := range map[string][]byte{"as it is": secret, "in hexadecimal": []byte(hex.EncodeToString(secret))} {
			if bytes.Contains(data, text) {
				a.Errorf("%s holds %s %s", where, name, form)
			}
		}
	}
}

func TestTheStoreLearnsNothing(t *testing.T) {
	onEngines(t, func(a *atRest) {
		secrets := a.secrets()
		for _, table := range []string{
			"conversation", "message", "outbox", "unaddressed", "inbox_seen", "tombstone", "event", "contact", "record", "peer",
		} {
			rows, err := a.raw.QueryContext(a.Context(), "SELECT * FROM "+table)
			if err != nil {
				a.Fatal(err)
			}
			defer rows.Close()
			columns, _ := rows.Columns()
			for rows.Next() {
				values, pointers := make([]any, len(columns)), make([]any, len(columns))
				for i := range values {
					pointers[i] = &values[i]
				}
				if err := rows.Scan(pointers...); err != nil {
					a.Fatal(err)
				}
				for i, v := range values {
					if b, ok := v.([]byte); ok {
						a.searched(table+"."+columns[i], b, secrets)
					} else {
						a.searched(table+"."+columns[i], fmt.Append(nil, v), secrets)
					}
				}
			}
			if err := rows.Err(); err != nil {
				a.Fatal(err)
			}
		}
		if path, ok := strings.CutPrefix(a.url, "sqlite:"); ok {
			size := 0
			for _, file := range []string{path, path + "-wal"} {
				data, err := os.ReadFile(file)
				if err != nil {
					a.Fatal(err)
				}
				a.searched(filepath.Base(file), data, secrets)
				size += len(data)
			}
			if size < 50_000 {
				a.Errorf("%d bytes were searched", size)
			}
		}
		plain := []byte("x the tangerine penguins x")
		if !bytes.Contains(plain, secrets["a text"]) {
			a.Error("the search finds nothing")
		}
	})
}

// copied returns a copy of a SQLite database, with its write-ahead log, as it is now.
func copied(t *testing.T, url string) string {
	t.Helper()
	from, to := strings.TrimPrefix(url, "sqlite:"), filepath.Join(t.TempDir(), "copy.db")
	for _, end := range []string{"", "-wal"} {
		data, err := os.ReadFile(from + end)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(to+end, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return "sqlite:" + to
}

// A copy of the database from before, with the keystore from after, tells nothing of a conversation that was forgotten.
func TestAForgottenConversationIsReadNowhere(t *testing.T) {
	a := play(t, storetest.SQLite(t))
	before := copied(t, a.url)
	var texts []chat.MessageRow
	a.change(func(tx chat.Tx) (err error) {
		texts, err = tx.Messages(a.alice.With(a.bob), chat.KindText, chat.RowID{}, chat.MaxPage)
		return err
	})
	bob := a.bob.Identity.Account()
	if err := a.alice.RemoveContact(t.Context(), bob); err != nil {
		t.Fatal(err)
	}

	thief := chat.New(chat.Config{Identity: a.alice.Identity, Network: a.scene.Network, Store: openStore(t, before), Keys: a.alice.Keys})
	if page, err := thief.History(t.Context(), a.alice.With(a.bob), chat.MessageID{}, 100); err == nil {
		t.Errorf("the copy shows %+v", page)
	}
	contacts, err := thief.Contacts(t.Context())
	if err != nil || len(contacts) != 2 {
		t.Errorf("contacts in the copy: %+v, %v", contacts, err)
	}
	err = thief.Look(t.Context(), func(tx chat.Tx) error {
		events, err := tx.Events(0, chat.MaxPage)
		for _, e := range events {
			if e.Conversation == a.alice.With(a.bob) || e.Account == bob {
				t.Errorf("the copy shows the event %+v", e)
			}
		}
		for _, row := range texts {
			if m, ok, err := tx.MessageByID(row.ID); err == nil {
				t.Errorf("the copy shows %+v, %v", m, ok)
			}
		}
		rows, err2 := tx.OutboxOf(a.bob.Identity.Device(), chat.RowID{}, 10)
		if err2 == nil {
			t.Errorf("the copy shows %d rows for Bob", len(rows))
		}
		_, _, err3 := tx.Conversation(a.alice.With(a.bob))
		_, _, err4 := tx.Contact(bob)
		if err3 == nil || err4 == nil {
			t.Errorf("conversation %v, contact %v", err3, err4)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if page, err := thief.History(t.Context(), a.alice.With(a.carol), chat.MessageID{}, 100); err != nil || len(page) != 6 {
		t.Errorf("Carol's conversation in the copy: %d messages, %v", len(page), err)
	}
}

func TestWhatWasForgottenIsNotShownAgainAndCanBeginAnew(t *testing.T) {
	a := play(t, storetest.SQLite(t))
	var late []chat.MessageRow
	a.change(func(tx chat.Tx) (err error) {
		late, err = tx.Messages(a.alice.With(a.bob), chat.KindText, chat.RowID{}, chat.MaxPage)
		return err
	})
	if err := a.alice.RemoveContact(t.Context(), a.bob.Identity.Account()); err != nil {
		t.Fatal(err)
	}
	for _, row := range late {
		if err := a.alice.AcceptAgain(t.Context(), row); err != nil {
			t.Fatal(err)
		}
	}
	if contacts, err := a.alice.Contacts(t.Context()); err != nil || len(contacts) != 2 {
		t.Errorf("late copies brought back %+v, %v", contacts, err)
	}
	a.alice.Sees(a.alice.Say(a.carol, "life goes on"), chat.StateDelivered)

	a.bob.Start(nil)
	a.bob.Befriend(a.alice)
	a.bob.Sees(a.bob.Say(a.alice, "hello again"), chat.StateDelivered)
	if texts := a.alice.Texts(a.bob); !slices.Equal(texts, []string{"hello again"}) {
		t.Errorf("the new conversation holds %q", texts)
	}
	a.alice.Stop()
	a.alice.Start(nil)
	if texts := a.alice.Texts(a.bob); !slices.Equal(texts, []string{"hello again"}) {
		t.Errorf("after a restart it holds %q", texts)
	}
}

// Where the keystore cannot be written, what was said is gone from the database, and its key goes at the next start.
func TestAKeyThatCouldNotBeDestroyedIsDestroyedLater(t *testing.T) {
	a := play(t, storetest.SQLite(t))
	before := copied(t, a.url)
	a.alice.Keys.Break(errors.New("no space"))
	if err := a.alice.RemoveContact(t.Context(), a.bob.Identity.Account()); err == nil || !strings.Contains(err.Error(), "no space") {
		t.Fatalf("it says %v", err)
	}
	if _, err := a.alice.AddContact(t.Context(), invitation(t, a.bob), ""); err == nil {
		t.Error("a conversation began without a durable key")
	}
	a.alice.Stop()
	a.alice.Keys.Break(nil)
	read := func() error {
		thief := chat.New(chat.Config{Identity: a.alice.Identity, Network: a.scene.Network, Store: openStore(t, copied(t, before)), Keys: a.alice.Keys})
		_, err := thief.History(t.Context(), a.alice.With(a.bob), chat.MessageID{}, 100)
		return err
	}
	if err := read(); err != nil {
		t.Fatalf("the key is gone too early: %v", err)
	}
	a.alice.Start(nil)
	if read() == nil {
		t.Error("the next start has not destroyed the key")
	}
	if page, err := a.alice.History(t.Context(), a.alice.With(a.carol), chat.MessageID{}, 100); err != nil || len(page) != 6 {
		t.Errorf("Carol's conversation: %d messages, %v", len(page), err)
	}
}

func invitation(t *testing.T, p *chattest.Person) string {
	t.Helper()
	link, err := p.ContactLink(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return link.Link
}

// A key is in the keystore before anything that it seals is in the database, and nothing else writes the keystore.
func TestKeysAreDurableBeforeTheyAreUsed(t *testing.T) {
	s := chattest.NewScene(t, 21)
	alice, bob := s.Person("Alice", chattest.NewMemStore()), s.Person("Bob", chattest.NewMemStore())
	alice.Keys.Break(errors.New("no space"))
	if _, err := alice.AddContact(t.Context(), invitation(t, bob), ""); err == nil {
		t.Fatal("a contact was added without a key")
	}
	alice.Keys.Break(nil)
	alice.Befriend(bob)
	made := alice.Keys.Replaced()
	for n := range 20 {
		alice.Say(bob, fmt.Sprint(n))
	}
	if alice.Keys.Replaced() != made || made != 1 {
		t.Errorf("the keystore was written %d times for one conversation, then %d times", made, alice.Keys.Replaced()-made)
	}
}

func TestAnotherKeystoreIsSaidCleanly(t *testing.T) {
	s := chattest.NewScene(t, 22)
	alice, bob := s.Person("Alice", chattest.NewMemStore()), s.Person("Bob", chattest.NewMemStore())
	alice.Befriend(bob)
	other, err := chattest.NewKeys()
	if err != nil {
		t.Fatal(err)
	}
	wrong := wrongKEK{alice.Keys, chat.NewSecret()}
	for name, keys := range map[string]chat.Keys{"another key": wrong, "none": nil, "another store's": other} {
		m := chat.New(chat.Config{Identity: alice.Identity, Network: s.Network, Store: alice.Store, Keys: keys})
		_, err := m.History(t.Context(), alice.With(bob), chat.MessageID{}, 10)
		contacts, err2 := m.Contacts(t.Context())
		if name == "another store's" { // nothing can tell it from a store that was damaged throughout
			if status, err := m.Status(t.Context()); err != nil || len(contacts) != 0 || !strings.Contains(status.Trouble, "damaged") {
				t.Errorf("%s: %v, %+v, %q", name, err, contacts, status.Trouble)
			}
			continue
		}
		if err == nil || err2 == nil || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v, %v", name, err, err2)
		}
	}
}

type wrongKEK struct {
	chat.Keys
	kek chat.Secret
}

func (w wrongKEK) KEK() chat.Secret { return w.kek }

// The note beside the database is at most a second behind while something happens, and not at all when the node has stopped.
func TestTheNoteOfTheLastEventIsKeptUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := chattest.NewScene(t, 23)
		alice, bob := s.Started("Alice", chattest.NewMemStore()), s.Person("Bob", chattest.NewMemStore())
		first := alice.Keys.Notes()
		alice.Befriend(bob)
		for n := range 100 {
			alice.Say(bob, fmt.Sprint(n))
			time.Sleep(20 * time.Millisecond)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if n := alice.Keys.Notes() - first; n < 2 || n > 4 {
			t.Errorf("%d notes in three seconds", n)
		}
		idle := alice.Keys.Notes()
		time.Sleep(time.Hour)
		if n := alice.Keys.Notes() - idle; n != 0 {
			t.Errorf("%d notes of nothing", n)
		}
		alice.Say(bob, "last")
		synctest.Wait()
		alice.Stop()
		if n := alice.Keys.Notes() - idle; n != 1 {
			t.Errorf("%d notes at the end", n)
		}
		alice.Start(nil)
		if status, err := alice.Status(t.Context()); err != nil || status.Restored {
			t.Errorf("restored: %v, %v", status.Restored, err)
		}
		alice.Stop()
	})
}

func TestARestoredDatabaseIsNoticed(t *testing.T) {
	a := play(t, storetest.SQLite(t))
	restored := func(p *chattest.Person) bool {
		t.Helper()
		status, err := p.Status(t.Context())
		if err != nil || status.Restored != strings.Contains(status.Trouble, "restored") {
			t.Fatalf("status %+v, %v", status, err)
		}
		return status.Restored
	}
	again := func(url string) bool {
		a.alice.Stop()
		a.alice.Store = openStore(t, url)
		a.alice.Start(nil)
		return restored(a.alice)
	}
	if restored(a.alice) {
		t.Error("the first start takes the database for restored")
	}
	a.alice.Stop()
	a.alice.Start(nil)
	if restored(a.alice) {
		t.Error("a restart takes the database for restored")
	}
	a.alice.Sees(a.alice.Say(a.carol, "before the copy"), chat.StateDelivered)
	a.alice.Stop()
	old := copied(t, a.url)
	a.alice.Start(nil)
	a.alice.Sees(a.alice.Say(a.carol, "after the copy"), chat.StateDelivered)
	if !again(old) {
		t.Error("an old copy is taken for the database")
	}
	a.alice.Stop()
	a.alice.Start(nil)
	if restored(a.alice) {
		t.Error("the copy, taken over, is taken for restored again")
	}
	if !again(storetest.SQLite(t)) {
		t.Error("a database that is empty is taken for the one that was there")
	}
	a.alice.Befriend(a.carol)
	a.alice.Stop()
	if err := a.alice.Keys.SaveInstance(nil); err != nil {
		t.Fatal(err)
	}
	a.alice.Start(nil)
	if !restored(a.alice) {
		t.Error("nobody misses the note")
	}
}

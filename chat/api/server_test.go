package api_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"parley/chat"
	"parley/chat/api"
)

func TestSendAnswersByWhatHappened(t *testing.T) {
	w := newTown(t)
	w.Part(w.alice, w.bob)
	r := serve(t, w.alice)
	hello := `{"text":"hello","from_the_future":1}`
	for _, step := range []struct {
		query, body string
		status      int
		state       chat.State
	}{
		{"", hello, http.StatusCreated, chat.StateQueued},
		{"?wait=delivered&timeout=0s", hello, http.StatusAccepted, chat.StateQueued},
		{"?wait=delivered&timeout=30ms", hello, http.StatusAccepted, chat.StateQueued},
		{"?wait=queued", hello, http.StatusOK, chat.StateQueued},
	} {
		resp, body := r.ask("PUT", w.path("c1")+step.query, step.body)
		var m struct {
			State        chat.State
			Text, Detail string
			ClientID     string `json:"client_id"`
		}
		if err := json.Unmarshal(body, &m); err != nil {
			t.Fatal(err)
		}
		if resp.StatusCode != step.status || m.State != step.state || m.Text != "hello" || m.ClientID != "c1" {
			t.Fatalf("PUT %s: %s %s, want %d %s", step.query, resp.Status, body, step.status, step.state)
		}
		if (resp.StatusCode == http.StatusAccepted) != (m.Detail != "") {
			t.Fatalf("PUT %s: %s with the detail %q", step.query, resp.Status, m.Detail)
		}
	}
	resp, body := r.ask("PUT", w.path("c1"), `{"text":"another"}`)
	r.refused(resp, body, http.StatusConflict, chat.CodeIDReused)
	w.Meet(w.alice, w.bob)
	resp, body = r.ask("PUT", w.path("c1")+"?wait=delivered", hello)
	if resp.StatusCode != http.StatusOK || !strings.Contains(string(body), `"state":"delivered"`) {
		t.Fatalf("PUT after delivery: %s %s", resp.Status, body)
	}
}

func TestARepeatIsNotANewMessage(t *testing.T) {
	w := newTown(t)
	r := serve(t, w.alice)
	if resp, _ := r.ask("PUT", w.path("c1"), `{"text":"hello"}`); resp.StatusCode != http.StatusCreated {
		t.Fatal("the first try:", resp.Status)
	}
	for first := time.Now(); time.Since(first) < 2*time.Millisecond; { // what is queued in the same millisecond cannot be told apart
	}
	if resp, _ := r.ask("PUT", w.path("c1"), `{"text":"hello"}`); resp.StatusCode != http.StatusOK {
		t.Fatal("the second try:", resp.Status)
	}
}

func TestAWaitEndsWhenTheMessageArrivesOrFails(t *testing.T) {
	w := newTown(t)
	w.Part(w.alice, w.bob)
	r := serve(t, w.alice)
	arrives, fails := w.says(t, "arrives"), w.says(t, "fails")
	var group sync.WaitGroup
	group.Go(func() {
		resp, body := r.ask("GET", "/api/v1/messages/"+arrives.ID.String()+"?wait=delivered", "")
		if resp.StatusCode != http.StatusOK {
			t.Errorf("the message that arrives: %s %s", resp.Status, body)
		}
	})
	group.Go(func() {
		resp, body := r.ask("GET", "/api/v1/messages/"+fails.ID.String()+"?wait=read", "")
		if p := r.refused(resp, body, http.StatusForbidden, chat.CodeRefused); !strings.Contains(string(body), fails.ID.String()) {
			t.Errorf("the message that fails is not with its problem: %+v", p)
		}
	})
	w.alice.Fail(fails.ID, "key refused")
	w.Meet(w.alice, w.bob)
	group.Wait()
	resp, body := r.ask("GET", "/api/v1/messages/"+fails.ID.String(), "")
	if resp.StatusCode != http.StatusOK || !strings.Contains(string(body), `"failed"`) {
		t.Fatalf("a look at what failed: %s %s", resp.Status, body)
	}
}

func TestAWaitMayTakeLongerThanTheRequestMay(t *testing.T) {
	w := newTown(t)
	w.Part(w.alice, w.bob)
	r := serve(t, w.alice, func(s *api.Server) { s.Hurry(30 * time.Millisecond) })
	began := time.Now()
	resp, body := r.ask("PUT", w.path("c1")+"?wait=sent&timeout=200ms", `{"text":"hello"}`)
	if took := time.Since(began); resp.StatusCode != http.StatusAccepted || took < 200*time.Millisecond {
		t.Fatalf("after %s: %s %s", took, resp.Status, body)
	}
}

func TestHostileRequestsAreRefused(t *testing.T) {
	w := newTown(t)
	r := serve(t, w.alice)
	path := w.path("c1")
	conversation := "/api/v1/conversations/" + w.with.String() + "/messages"
	for _, test := range []struct {
		name, method, path, body string
		headers                  []string
		status                   int
		code                     chat.Code
	}{
		{"a web page", "GET", "/api/v1/status", "", []string{"Origin: http://evil.example"}, 403, chat.CodeRefused},
		{"a web page that hides", "GET", "/api/v1/status", "", []string{"Origin: null"}, 403, chat.CodeRefused},
		{"a link on a web page", "GET", "/api/v1/events", "", []string{"Referer: http://parley/"}, 403, chat.CodeRefused},
		{"a form", "POST", "/api/v1/invites", "a=b", []string{"Content-Type: application/x-www-form-urlencoded"}, 415, chat.CodeInvalid},
		{"a text that says it is text", "PUT", path, `{"text":"x"}`, []string{"Content-Type: text/plain"}, 415, chat.CodeInvalid},
		{"no content type", "POST", "/api/v1/invites", "", nil, 415, chat.CodeInvalid},
		{"a broken content type", "PUT", path, "{}", []string{"Content-Type: application/json;;;="}, 415, chat.CodeInvalid},
		{"an oversize body", "PUT", path, `{"text":"` + strings.Repeat("x", api.MaxBody) + `"}`, nil, 413, chat.CodeLimit},
		{"a text over the limit", "PUT", path, `{"text":"` + strings.Repeat("x", chat.MaxText+1) + `"}`, nil, 413, chat.CodeLimit},
		{"a broken body", "PUT", path, `{"text":`, nil, 400, chat.CodeInvalid},
		{"two bodies", "PUT", path, `{"text":"a"}{"text":"b"}`, nil, 400, chat.CodeInvalid},
		{"another kind of body", "PUT", path, `{"text":7}`, nil, 400, chat.CodeInvalid},
		{"a body that is no text", "PUT", path, "{\"text\":\"caf\xe9\"}", nil, 400, chat.CodeInvalid},
		{"a body a thousand deep", "PUT", path, strings.Repeat("[", 20_000), nil, 400, chat.CodeInvalid},
		{"no text", "PUT", path, `{}`, nil, 400, chat.CodeInvalid},
		{"no body", "PUT", path, "", []string{"Content-Type: application/json"}, 400, chat.CodeInvalid},
		{"a client id that is too long", "PUT", w.path(strings.Repeat("x", chat.MaxClientID+1)), `{"text":"x"}`, nil, 400, chat.CodeInvalid},
		{"no client id", "PUT", w.path(""), `{"text":"x"}`, nil, 404, chat.CodeInvalid},
		{"a bad conversation", "GET", "/api/v1/conversations/dm:zz/messages", "", nil, 400, chat.CodeInvalid},
		{"a conversation of another kind", "PUT", "/api/v1/conversations/x/messages/1", "{}", nil, 400, chat.CodeInvalid},
		{"an unknown conversation", "PUT", "/api/v1/conversations/" + chat.ConversationID{1}.String() + "/messages/1", `{"text":"x"}`, nil, 404, chat.CodeTarget},
		{"a bad message id", "GET", "/api/v1/messages/%00%ff", "", nil, 400, chat.CodeInvalid},
		{"an unknown message", "GET", "/api/v1/messages/" + chat.MessageID{3}.String(), "", nil, 404, chat.CodeTarget},
		{"a wait for an unknown message", "GET", "/api/v1/messages/" + chat.MessageID{3}.String() + "?wait=sent", "", nil, 404, chat.CodeTarget},
		{"a bad state", "PUT", path + "?wait=eaten", `{"text":"x"}`, nil, 400, chat.CodeInvalid},
		{"a bad timeout", "PUT", path + "?wait=sent&timeout=soon", `{"text":"x"}`, nil, 400, chat.CodeInvalid},
		{"a timeout that is over", "PUT", path + "?wait=sent&timeout=-1s", `{"text":"x"}`, nil, 400, chat.CodeInvalid},
		{"a bad limit", "GET", conversation + "?limit=-1", "", nil, 400, chat.CodeInvalid},
		{"a limit that is no number", "GET", "/api/v1/messages/unread?limit=many", "", nil, 400, chat.CodeInvalid},
		{"a bad page", "GET", conversation + "?before=x", "", nil, 400, chat.CodeInvalid},
		{"unread of a bad conversation", "GET", "/api/v1/messages/unread?conversation=x", "", nil, 400, chat.CodeInvalid},
		{"a bad id to mark", "POST", "/api/v1/messages/read", `{"ids":["x"]}`, nil, 400, chat.CodeInvalid},
		{"too many ids to mark", "POST", "/api/v1/messages/read", `{"ids":[` + strings.Repeat(`"",`, api.MaxMarks) + `""]}`, nil, 413, chat.CodeLimit},
		{"a bad link", "POST", "/api/v1/contacts", `{"link":"x"}`, nil, 400, chat.CodeInvalid},
		{"a bad cursor", "GET", "/api/v1/events?after=-1", "", nil, 400, chat.CodeInvalid},
		{"a bad last event", "GET", "/api/v1/events", "", []string{"Last-Event-ID: x"}, 400, chat.CodeInvalid},
		{"a bad poll", "GET", "/api/v1/events?poll=0s", "", nil, 400, chat.CodeInvalid},
		{"an unknown route", "GET", "/api/v1/secrets", "", nil, 404, chat.CodeInvalid},
		{"an unknown version", "GET", "/api/v2/status", "", nil, 404, chat.CodeInvalid},
		{"nothing at all", "GET", "/", "", nil, 404, chat.CodeInvalid},
		{"a wrong method", "DELETE", "/api/v1/status", "", nil, 405, chat.CodeInvalid},
		{"a method where only DELETE is right", "PATCH", "/api/v1/contacts/" + strings.Repeat("0", 52), "{}", nil, 405, chat.CodeInvalid},
	} {
		t.Run(test.name, func(t *testing.T) {
			mine := &running{t: t, http: r.http}
			resp, body := mine.ask(test.method, test.path, test.body, test.headers...)
			mine.refused(resp, body, test.status, test.code)
			if test.status == 405 && resp.Header.Get("Allow") == "" {
				t.Error("405 without Allow")
			}
		})
	}
	if list, err := w.alice.History(t.Context(), w.with, chat.MessageID{}, 0); err != nil || len(list) != 0 {
		t.Fatalf("something was sent all the same: %v %v", list, err)
	}
	if resp := r.open("HEAD", "/api/v1/events", ""); resp.StatusCode != http.StatusMethodNotAllowed {
		t.Fatal("HEAD of the events:", resp.Status)
	}
}

func TestAHundredTriesAtOnceMakeOneMessage(t *testing.T) {
	w := newTown(t)
	r := serve(t, w.alice)
	var group sync.WaitGroup
	ids := make(chan string, 100)
	for range 100 {
		group.Go(func() {
			resp, body := r.ask("PUT", w.path("one"), `{"text":"once"}`)
			var m struct{ ID string }
			if err := json.Unmarshal(body, &m); err != nil || resp.StatusCode > 201 {
				t.Errorf("%s %s", resp.Status, body)
			}
			ids <- m.ID
		})
	}
	group.Wait()
	close(ids)
	first := <-ids
	for id := range ids {
		if id != first {
			t.Fatalf("two messages: %s and %s", first, id)
		}
	}
	if list, err := w.bob.Unread(t.Context(), w.with, 0); err != nil || len(list) != 1 {
		t.Fatalf("Bob has %v %v", list, err)
	}
}

func TestSlowClientsAreCutOff(t *testing.T) {
	w := newTown(t)
	r := serve(t, w.alice, func(s *api.Server) { s.Hurry(50 * time.Millisecond) })
	for name, opening := range map[string]string{
		"nothing":        "",
		"half a header":  "GET /api/v1/status HTTP/1.1\r\nHost: parley\r\nX-Slow: ",
		"half a body":    "PUT " + w.path("c1") + " HTTP/1.1\r\nHost: parley\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{",
		"a body of GET":  "GET /api/v1/status HTTP/1.1\r\nHost: parley\r\nContent-Length: 100\r\n\r\n{",
		"endless header": "GET /api/v1/status HTTP/1.1\r\nHost: parley\r\nX-Long: " + strings.Repeat("x", 64<<10),
	} {
		t.Run(name, func(t *testing.T) {
			c, err := net.Dial("unix", r.socket)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			_ = c.SetDeadline(time.Now().Add(10 * time.Second))
			_, _ = io.WriteString(c, opening) // the server may hang up before the end
			b, err := io.ReadAll(c)
			if n, ok := errors.AsType[net.Error](err); ok && n.Timeout() {
				t.Fatalf("still connected, after %q", b)
			}
			if strings.Contains(string(b), " 200 ") {
				t.Fatalf("answered %q", b)
			}
		})
	}
}

func TestTooManyConnectionsAreTurnedAway(t *testing.T) {
	w := newTown(t)
	r := serve(t, w.alice)
	var open []net.Conn
	for range api.MaxConnections {
		c, err := net.Dial("unix", r.socket)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		open = append(open, c)
	}
	one, err := net.Dial("unix", r.socket)
	if err != nil {
		t.Fatal(err)
	}
	defer one.Close()
	_ = one.SetReadDeadline(time.Now().Add(3 * time.Second)) // before the server would hang up on silence
	if _, err := one.Read(make([]byte, 1)); err == nil || !isHangup(err) {
		t.Fatalf("one connection too many: %v", err)
	}
	for _, c := range open {
		c.Close()
	}
	if _, err := r.dial().Status(soon(t)); err != nil {
		t.Fatalf("after the others have gone: %v", err)
	}
}

func isHangup(err error) bool {
	n, ok := errors.AsType[net.Error](err)
	return !ok || !n.Timeout()
}

// broken is a node whose every answer is the same error.
type broken struct {
	api.Backend
	err error
}

func (b broken) Status(context.Context) (chat.Status, error) { return chat.Status{}, b.err }

func (b broken) Follow(context.Context, uint64, func(chat.Entry) error) error { return b.err }

func TestErrorsCrossTheSocket(t *testing.T) {
	codes := []chat.Code{
		chat.CodeInternal, chat.CodeInvalid, chat.CodeConfig, chat.CodeUnavailable, chat.CodeTarget, chat.CodeIdentity,
		chat.CodeNotReached, chat.CodeRefused, chat.CodeLimit, chat.CodeLocked, chat.CodeIDReused, "newer_than_this",
	}
	for _, code := range codes {
		want := chat.Error{Code: code, Detail: "it went \"wrong\"", Try: "parley try <this> & that"}
		c := serve(t, broken{err: fmt.Errorf("deep inside: %w", &want)}).dial()
		_, err := c.Status(soon(t))
		for what, err := range map[string]error{
			"status": err,
			"follow": c.Follow(soon(t), 0, func(chat.Entry) error { return nil }),
		} {
			if got, ok := errors.AsType[*chat.Error](err); !ok || *got != want {
				t.Errorf("%s: got %#v, want %#v", what, err, want)
			}
		}
	}
}

func TestAnErrorOfNoKindIsInternal(t *testing.T) {
	r := serve(t, broken{err: errors.New("disk on fire")})
	resp, body := r.ask("GET", "/api/v1/status", "")
	if p := r.refused(resp, body, http.StatusInternalServerError, chat.CodeInternal); p.Detail != "disk on fire" || p.Remedy != "" {
		t.Fatalf("got %+v", p)
	}
}

// stuck is a node whose calls last until their context ends.
type stuck struct {
	api.Backend
	entered chan struct{}
	calls   atomic.Int32
}

func (s *stuck) Status(ctx context.Context) (chat.Status, error) {
	s.calls.Add(1)
	s.entered <- struct{}{}
	<-ctx.Done()
	return chat.Status{}, ctx.Err()
}

func TestAClientThatGoesEndsItsCall(t *testing.T) {
	b := &stuck{entered: make(chan struct{})}
	r := serve(t, b, (*api.Server).Linger) // stop would take the whole grace if the call went on
	c, err := net.Dial("unix", r.socket)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(c, "GET /api/v1/status HTTP/1.1\r\nHost: parley\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	<-b.entered
	c.Close()
	began := time.Now()
	r.stop()
	if took := time.Since(began); took > api.LongGrace/2 {
		t.Fatalf("stopping took %s", took)
	}
}

func TestStoppingCutsOffWhatDoesNotEnd(t *testing.T) {
	b := &stuck{entered: make(chan struct{})}
	r := serve(t, b, func(s *api.Server) { s.Hurry(100 * time.Millisecond) })
	c := r.dial()
	ended := make(chan error)
	go func() {
		_, err := c.Status(context.Background())
		ended <- err
	}()
	<-b.entered
	r.stop()
	if err := <-ended; chat.CodeOf(err) != chat.CodeUnavailable || b.calls.Load() != 1 {
		t.Fatalf("got %v after %d calls", err, b.calls.Load())
	}
}

func TestKeepAliveConnectionsServeManyRequests(t *testing.T) {
	r := serve(t, newTown(t).alice)
	c, err := net.Dial("unix", r.socket)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	in := bufio.NewReader(c)
	for range 3 {
		if _, err := io.WriteString(c, "GET /api/v1/version HTTP/1.1\r\nHost: parley\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		resp, err := http.ReadResponse(in, nil)
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(resp.Body)
		if err != nil || !strings.Contains(string(b), `"version":"1.2.3"`) || resp.Header.Get("X-Content-Type-Options") != "nosniff" {
			t.Fatalf("got %v %s %v", err, b, resp.Header)
		}
	}
}

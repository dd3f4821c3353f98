package api_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"parley/chat"
	"parley/chat/api"
	"parley/chat/api/apitest"
)

func TestClient(t *testing.T) {
	apitest.TestBackend(t, func(t *testing.T) apitest.World {
		w := newTown(t)
		return apitest.World{
			Alice: serve(t, w.alice).dial(), Bob: serve(t, w.bob).dial(), Carol: serve(t, w.carol).dial(),
			Part: func() { w.Part(w.alice, w.bob) }, Meet: func() { w.Meet(w.alice, w.bob) },
		}
	})
}

func TestDialSaysThatNoNodeRuns(t *testing.T) {
	dir := socketDir(t)
	for name, socket := range map[string]string{
		"no socket": filepath.Join(dir, "none.sock"), "no folder": filepath.Join(dir, "none", "api.sock"), "a dead node": deadSocket(t, dir),
	} {
		_, err := api.Dial(socket)
		e, ok := errors.AsType[*chat.Error](err)
		if !ok || e.Code != chat.CodeUnavailable || !strings.Contains(e.Detail, socket) || e.Try == "" {
			t.Errorf("%s: got %#v", name, err)
		}
	}
}

// deadSocket leaves a socket behind as a node does that was killed.
func deadSocket(t *testing.T, dir string) string {
	t.Helper()
	socket := filepath.Join(dir, "dead.sock")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: socket, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	l.Close()
	return socket
}

// flaky is a way to a socket on which connections break as decide says, by their number: 'n' before anything, 'q' after the
// request was handed on and before the answer, 'a' in the middle of the answer, 's' some way into a stream; '-' do not break.
func flaky(t *testing.T, to string, decide func(n int64) byte) (socket string, count *atomic.Int64) {
	t.Helper()
	socket, count = filepath.Join(socketDir(t), "flaky.sock"), new(atomic.Int64)
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	var group sync.WaitGroup
	group.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			fate := decide(count.Add(1))
			group.Go(func() { pass(c, to, fate) })
		}
	})
	t.Cleanup(func() { l.Close(); group.Wait() })
	return socket, count
}

// pass hands on one request and its answer, or less, and hangs up.
func pass(c net.Conn, to string, fate byte) {
	defer c.Close()
	if fate == 'n' {
		return
	}
	server, err := net.Dial("unix", to)
	if err != nil {
		return
	}
	defer server.Close()
	request := make([]byte, 4<<10) // each fits in one write
	n, err := c.Read(request)
	if err != nil {
		return
	}
	if _, err := server.Write(request[:n]); err != nil {
		return
	}
	answer := make([]byte, 4<<10)
	n, err = server.Read(answer)
	switch {
	case err != nil || fate == 'q':
	case fate == 'a':
		_, _ = c.Write(answer[:n-9])
	default:
		_, _ = c.Write(answer[:n])
		further := int64(1 << 62)
		if fate == 's' {
			further = 6000
		}
		go func() { _, _ = c.Read(make([]byte, 1)); server.Close() }() // the client hung up
		_, _ = io.CopyN(c, server, further)
	}
}

func TestNothingIsSentTwiceOverABadConnection(t *testing.T) {
	w := newTown(t)
	fates := "qn-aq--n-a-"
	socket, count := flaky(t, serve(t, w.alice).socket, func(n int64) byte { return fates[n%int64(len(fates))] })
	c, err := api.Dial(socket)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	ctx := soon(t)
	const messages = 60
	for i := range messages {
		if _, err := c.Send(ctx, chat.Draft{Conversation: w.with, Text: fmt.Sprint(i)}); err != nil {
			t.Fatalf("message %d: %v", i, err)
		}
		c.Close() // so that the next call gets a connection with a fate of its own
	}
	list, err := w.bob.Unread(ctx, w.with, chat.MaxPage)
	if err != nil || len(list) != messages {
		t.Fatalf("%d messages arrived, %v; want %d", len(list), err, messages)
	}
	for i, m := range list {
		if m.Text != fmt.Sprint(i) {
			t.Fatalf("message %d is %q", i, m.Text)
		}
	}
	if n := count.Load(); n < messages*3/2 {
		t.Fatalf("%d connections: hardly any broke", n)
	}
}

func TestFollowResumesOverABadConnection(t *testing.T) {
	w := newTown(t)
	socket, count := flaky(t, serve(t, w.bob).socket, func(n int64) byte { return "asnsqs"[n%6] })
	c, err := api.Dial(socket)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	const messages = 100
	for i := range messages {
		w.says(t, fmt.Sprint(i))
	}
	got := follow(t, c, 1, messages)
	for i, text := range got {
		if text != fmt.Sprint(i) {
			t.Fatalf("event %d is of %q", i, text)
		}
	}
	if n := count.Load(); n < 10 {
		t.Fatalf("%d connections: hardly any broke", n)
	}
}

var errEnough = errors.New("enough")

// follow returns the texts of the next n events.
func follow(t *testing.T, c *api.Client, after uint64, n int) (texts []string) {
	t.Helper()
	err := c.Follow(soon(t), after, func(e chat.Entry) error {
		if texts = append(texts, e.Message.Text); len(texts) == n {
			return errEnough
		}
		return nil
	})
	if !errors.Is(err, errEnough) {
		t.Fatalf("after %d of %d events: %v", len(texts), n, err)
	}
	return texts
}

func TestAStreamThatFallsSilentIsOpenedAgain(t *testing.T) {
	w := newTown(t)
	r := serve(t, w.bob) // says something every 15 s only
	socket, count := flaky(t, r.socket, func(int64) byte { return '-' })
	c, err := api.Dial(socket)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.Hurry(30 * time.Millisecond)
	ctx, cancel := context.WithCancel(soon(t))
	ended := make(chan error)
	go func() { ended <- c.Follow(ctx, 1, func(chat.Entry) error { return nil }) }()
	again := time.NewTicker(time.Millisecond)
	defer again.Stop()
	for count.Load() < 5 {
		select {
		case <-again.C:
		case err := <-ended:
			t.Fatalf("after %d connections: %v", count.Load(), err)
		}
	}
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Fatalf("ended with %v", err)
	}
}

func TestFollowEndsWhenTheNodeGoes(t *testing.T) {
	w := newTown(t)
	r := serve(t, w.bob)
	c := r.dial()
	w.says(t, "hello")
	err := c.Follow(soon(t), 0, func(e chat.Entry) error {
		if e.Type == chat.EventMessageReceived {
			go r.stop()
		}
		return nil
	})
	r.gone(err)
	_, err = c.Status(soon(t))
	r.gone(err)
	_, err = c.Wait(soon(t), chat.MessageID{1}, chat.StateRead)
	r.gone(err)
}

// gone checks that an error says that no node runs, and what to run.
func (r *running) gone(err error) {
	r.t.Helper()
	e, ok := errors.AsType[*chat.Error](err)
	if !ok || e.Code != chat.CodeUnavailable || e.Try != "parley up" || !strings.Contains(e.Detail, r.socket) {
		r.t.Fatalf("got %#v", err)
	}
}

func TestFollowGoesOnAfterARestart(t *testing.T) {
	w := newTown(t)
	socket := filepath.Join(socketDir(t), "api.sock")
	first := serveOn(t, socket, w.bob)
	c := first.dial()
	w.says(t, "before")
	follow(t, c, 1, 1)
	first.stop()
	serveOn(t, socket, w.bob)
	w.says(t, "after")
	if got := follow(t, c, 2, 1); got[0] != "after" {
		t.Fatalf("got %q", got)
	}
}

// stranger listens like a node and answers everything with the same bytes.
func stranger(t *testing.T, answer string) *api.Client {
	t.Helper()
	socket := filepath.Join(socketDir(t), "api.sock")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	var group sync.WaitGroup
	group.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = c.Read(make([]byte, 4<<10))
			_, _ = io.WriteString(c, answer)
			c.Close()
		}
	})
	t.Cleanup(func() { l.Close(); group.Wait() })
	c, err := api.Dial(socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func TestAnswersThatMakeNoSenseAreErrors(t *testing.T) {
	const ok = "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"
	for name, test := range map[string]struct {
		answer string
		want   chat.Code
	}{
		"no HTTP":         {"SSH-2.0-OpenSSH\r\n", chat.CodeUnavailable},
		"nothing":         {"", chat.CodeUnavailable},
		"half an answer":  {"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{", chat.CodeUnavailable},
		"no JSON":         {ok + "<html>", chat.CodeInternal},
		"a bad id":        {ok + `{"account":"zz"}`, chat.CodeInternal},
		"a bad time":      {ok + `{"since":"yesterday"}`, chat.CodeInternal},
		"a plain error":   {"HTTP/1.1 431 Too Large\r\nConnection: close\r\n\r\ntoo large", chat.CodeInternal},
		"another problem": {"HTTP/1.1 400 Bad\r\nConnection: close\r\n\r\n{\"detail\":\"x\"}", chat.CodeInternal},
	} {
		_, err := stranger(t, test.answer).Status(soon(t))
		if err == nil || chat.CodeOf(err) != test.want {
			t.Errorf("%s: got %v, want the code %s", name, err, test.want)
		}
	}
}

func TestEventsThatMakeNoSenseEndFollowing(t *testing.T) {
	const head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"
	for name, frame := range map[string]string{
		"no JSON":     "data: hello\n\n",
		"a bad id":    "data: {\"seq\":1,\"conversation\":\"x\"}\n\n",
		"a bad event": "data: {\"seq\":1,\"message\":{\"author\":\"x\"}}\n\n",
		"too long":    "data: " + strings.Repeat("x", 1<<20) + "\n\n",
	} {
		err := stranger(t, head+frame).Follow(soon(t), 0, func(e chat.Entry) error {
			t.Errorf("%s: became %+v", name, e)
			return nil
		})
		if chat.CodeOf(err) != chat.CodeInternal {
			t.Errorf("%s: got %v", name, err)
		}
	}
	unknown := head + "event: new\r\nretry: 5\nid: 1\n: hm\n\ndata: {\"seq\":1,\ndata: \"type\":\"brand.new\"}\n\n"
	err := stranger(t, unknown).Follow(soon(t), 0, func(e chat.Entry) error {
		if e.Seq != 1 || e.Type != "brand.new" || e.Message != nil {
			t.Errorf("became %+v", e)
		}
		return errEnough
	})
	if !errors.Is(err, errEnough) {
		t.Errorf("an event of a newer node: %v", err)
	}
}

func TestManyCallersShareAClient(t *testing.T) {
	w := newTown(t)
	c := serve(t, w.alice).dial()
	ctx := soon(t)
	var group sync.WaitGroup
	for i := range 500 { // more than the node takes connections
		group.Go(func() {
			if _, err := c.Send(ctx, chat.Draft{Conversation: w.with, Text: fmt.Sprint(i)}); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	if st, err := w.bob.Status(ctx); err != nil || st.LastEvent != 501 {
		t.Fatalf("Bob has %d events, %v", st.LastEvent, err)
	}
}

func TestMarkReadSplitsLongLists(t *testing.T) {
	w := newTown(t)
	m := w.says(t, "the last of many")
	ids := make([]chat.MessageID, 2*api.MaxMarks+1)
	ids[len(ids)-1] = m.ID
	if err := serve(t, w.bob).dial().MarkRead(soon(t), ids); err != nil {
		t.Fatal(err)
	}
	if list, err := w.bob.Unread(t.Context(), w.with, 0); err != nil || len(list) != 0 {
		t.Fatalf("still unread: %v %v", list, err)
	}
}

func TestAFailedMessageComesWithItsError(t *testing.T) {
	w := newTown(t)
	w.Part(w.alice, w.bob)
	c := serve(t, w.alice).dial()
	m := w.says(t, "lost")
	w.alice.Fail(m.ID, "key refused")
	m, err := c.Wait(soon(t), m.ID, chat.StateDelivered)
	if chat.CodeOf(err) != chat.CodeRefused || m.State != chat.StateFailed || m.Reason != "key refused" || m.Text != "lost" {
		t.Fatalf("got %v and %+v", err, m)
	}
}

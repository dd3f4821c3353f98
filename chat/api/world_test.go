package api_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"parley/chat"
	"parley/chat/api"
	"parley/chat/api/apitest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// socketDir is a folder with a short path: t.TempDir's are too long for sockets.
func socketDir(t testing.TB) string {
	dir, err := os.MkdirTemp("", "api")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// running is a server under way.
type running struct {
	t      testing.TB
	socket string
	stop   func() // and wait until it has
	http   *http.Client
}

// serve runs a server of b until the test ends. change may alter it first.
func serve(t testing.TB, b api.Backend, change ...func(*api.Server)) *running {
	t.Helper()
	return serveOn(t, filepath.Join(socketDir(t), "api.sock"), b, change...)
}

func serveOn(t testing.TB, socket string, b api.Backend, change ...func(*api.Server)) *running {
	t.Helper()
	s := api.NewServer(b, api.ServerOptions{Socket: socket, Version: "1.2.3"})
	for _, f := range change {
		f(s)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	select {
	case <-s.Ready():
	case err := <-done:
		cancel()
		t.Fatalf("the server did not start: %v", err)
	}
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", socket)
	}}
	r := &running{t: t, socket: socket, http: &http.Client{Transport: transport}}
	var stopped bool
	r.stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-done; err != nil {
			t.Errorf("the server ended with %v", err)
		}
	}
	t.Cleanup(func() { transport.CloseIdleConnections(); r.stop() })
	return r
}

// dial returns a client, closed in the end.
func (r *running) dial() *api.Client {
	r.t.Helper()
	c, err := api.Dial(r.socket)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(c.Close)
	return c
}

// ask makes a request with a JSON body ("" for none) and the given headers ("Name: value"), and returns the answer with its body read.
func (r *running) ask(method, path, body string, headers ...string) (*http.Response, []byte) {
	r.t.Helper()
	resp := r.open(method, path, body, headers...)
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		r.t.Fatalf("%s %s: %v", method, path, err)
	}
	return resp, b
}

// open makes a request and leaves the body to the caller.
func (r *running) open(method, path, body string, headers ...string) *http.Response {
	r.t.Helper()
	req, err := http.NewRequestWithContext(r.t.Context(), method, "http://parley"+path, strings.NewReader(body))
	if err != nil {
		r.t.Fatal(err)
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		req.Header.Set(name, value)
	}
	resp, err := r.http.Do(req)
	if err != nil {
		r.t.Fatalf("%s %s: %v", method, path, err)
	}
	return resp
}

// problem is what an error says.
type problem struct {
	Status               int
	Code, Detail, Remedy string
}

// refused checks that an answer is a problem of that kind.
func (r *running) refused(resp *http.Response, body []byte, status int, code chat.Code) problem {
	r.t.Helper()
	var p problem
	if err := json.Unmarshal(body, &p); err != nil {
		r.t.Fatalf("%s: no problem in %.200q: %v", resp.Status, body, err)
	}
	media := resp.Header.Get("Content-Type")
	if resp.StatusCode != status || p.Status != status || p.Code != string(code) || p.Detail == "" || media != "application/problem+json" {
		r.t.Fatalf("got %s %s %s, want %d %s", resp.Status, media, body, status, code)
	}
	return p
}

// frames reads a stream of events frame by frame, without comments.
func frames(t testing.TB, body io.Reader) func() string {
	r := bufio.NewReader(body)
	return func() string {
		t.Helper()
		var frame bytes.Buffer
		for {
			line, err := r.ReadString('\n')
			switch {
			case err != nil:
				return "end"
			case line == "\n" && frame.Len() > 0:
				return frame.String()
			case line != "\n" && !strings.HasPrefix(line, ":"):
				frame.WriteString(line)
			}
		}
	}
}

// town is Alice and Bob, who are contacts, and Carol.
type town struct {
	*apitest.Town
	alice, bob, carol *apitest.Node
	with              chat.ConversationID
}

func newTown(t testing.TB) town {
	t.Helper()
	w := town{Town: apitest.NewTown()}
	w.alice, w.bob, w.carol = w.Node("Alice"), w.Node("Bob"), w.Node("Carol")
	w.Befriend(w.alice, w.bob)
	w.with = chat.DirectConversation(w.alice.Account(), w.bob.Account())
	return w
}

// says sends a text from Alice to Bob, past the API.
func (w town) says(t testing.TB, text string) chat.Message {
	t.Helper()
	m, err := w.alice.Send(t.Context(), chat.Draft{Conversation: w.with, Text: text})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// path is where Alice's messages to Bob are.
func (w town) path(clientID string) string {
	return "/api/v1/conversations/" + w.with.String() + "/messages/" + clientID
}

// soon ends a test that hangs.
func soon(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// until waits for a condition.
func until(ctx context.Context, t testing.TB, holds func() bool) {
	t.Helper()
	again := time.NewTicker(time.Millisecond)
	defer again.Stop()
	for !holds() {
		select {
		case <-again.C:
		case <-ctx.Done():
			t.Fatal("not in time")
		}
	}
}

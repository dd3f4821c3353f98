package api_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"parley/chat"
	"parley/chat/api"
)

func TestEventsStreamFromWhereTheClientWas(t *testing.T) {
	w := newTown(t)
	r := serve(t, w.bob)
	for i := range 3 {
		w.says(t, fmt.Sprint("m", i))
	}
	for _, test := range []struct {
		query, last string // of ?after= and Last-Event-ID
		want        string // the first frame begins so; Bob's first event is that Alice became a contact
	}{
		{"", "", "id: 1\n"},
		{"?after=0", "", "id: 1\n"},
		{"?after=2", "", "id: 3\n"},
		{"?after=1", "3", "id: 4\n"},
	} {
		var headers []string
		if test.last != "" {
			headers = []string{"Last-Event-ID: " + test.last}
		}
		resp := r.open("GET", "/api/v1/events"+test.query, "", headers...)
		if resp.Header.Get("Content-Type") != "text/event-stream" {
			t.Fatal(resp.Status, resp.Header)
		}
		frame := frames(t, resp.Body)()
		resp.Body.Close()
		if !strings.HasPrefix(frame, test.want) {
			t.Errorf("after %q and %q: %q, want %q", test.query, test.last, frame, test.want)
		}
	}
}

func TestEventsGoOnWithWhatHappens(t *testing.T) {
	w := newTown(t)
	resp := serve(t, w.bob).open("GET", "/api/v1/events?after=1", "")
	defer resp.Body.Close()
	next := frames(t, resp.Body)
	for i := range 100 {
		text := fmt.Sprintf("line %d\nand another", i)
		w.says(t, text)
		frame := next()
		id, data, ok := strings.Cut(frame, "\ndata: ")
		var e struct {
			Seq     uint64
			Type    string
			Message struct{ Text string }
		}
		if err := json.Unmarshal([]byte(data), &e); err != nil || !ok {
			t.Fatalf("frame %q: %v", frame, err)
		}
		if id != fmt.Sprint("id: ", e.Seq) || e.Type != "message.received" || e.Message.Text != text {
			t.Fatalf("frame %q, want the event of %q", frame, text)
		}
	}
}

func TestAQuietStreamSaysThatItLives(t *testing.T) {
	r := serve(t, newTown(t).bob, func(s *api.Server) { s.Hurry(20 * time.Millisecond) })
	resp := r.open("GET", "/api/v1/events?after=1", "")
	defer resp.Body.Close()
	want := ": the events follow\n\n: still here\n\n: still here\n\n"
	b := make([]byte, len(want))
	if _, err := io.ReadFull(resp.Body, b); err != nil || string(b) != want {
		t.Fatalf("got %q, %v", b, err)
	}
}

func TestStoppingEndsStreamsPollsAndWaitsAtOnce(t *testing.T) {
	w := newTown(t)
	w.Part(w.alice, w.bob)
	m := w.says(t, "waits")
	r := serve(t, w.alice, (*api.Server).Linger)
	stream := r.open("GET", "/api/v1/events?after=99", "")
	defer stream.Body.Close()
	ended := make(chan string, 2)
	for _, path := range []string{"/api/v1/events?after=99&poll=50s", "/api/v1/messages/" + m.ID.String() + "?wait=read&timeout=50s"} {
		go func() {
			resp, body := r.ask("GET", path, "")
			ended <- resp.Status + " " + strings.TrimSpace(string(body))
		}()
	}
	spare, err := net.Dial("unix", r.socket) // a connection that asks nothing
	if err != nil {
		t.Fatal(err)
	}
	defer spare.Close()
	until(soon(t), t, func() bool { return w.alice.Waiting() == 3 })
	began := time.Now()
	r.stop()
	if took := time.Since(began); took > api.LongGrace/2 {
		t.Errorf("stopping took %s", took)
	}
	if frame := frames(t, stream.Body)(); frame != "end" {
		t.Errorf("the stream went on with %q", frame)
	}
	for range 2 {
		if got := <-ended; got != "200 OK []" && !strings.HasPrefix(got, "202 Accepted {") {
			t.Errorf("got %s", got)
		}
	}
}

func TestPollAnswersWithABurst(t *testing.T) {
	w := newTown(t)
	r := serve(t, w.bob)
	poll := func(after uint64, d string) (texts []string, last uint64) {
		resp, body := r.ask("GET", fmt.Sprintf("/api/v1/events?after=%d&poll=%s", after, d), "")
		var list []struct {
			Seq     uint64
			Message struct{ Text string }
		}
		if err := json.Unmarshal(body, &list); err != nil || resp.StatusCode != http.StatusOK {
			t.Fatalf("poll: %s %s", resp.Status, body)
		}
		for _, e := range list {
			texts, last = append(texts, e.Message.Text), e.Seq
		}
		return texts, last
	}
	if list, _ := poll(1, "20ms"); len(list) != 0 {
		t.Fatalf("before anything: %v", list)
	}
	go func() { // while the poll waits
		for i := range 3 {
			if _, err := w.alice.Send(context.Background(), chat.Draft{Conversation: w.with, Text: fmt.Sprint(i)}); err != nil {
				t.Error(err)
			}
		}
	}()
	var all []string
	for after := uint64(1); len(all) < 3; {
		list, last := poll(after, "10s")
		all, after = append(all, list...), last
	}
	if strings.Join(all, " ") != "0 1 2" {
		t.Fatalf("polled %v", all)
	}
	for range chat.MaxPage {
		w.says(t, "flood")
	}
	polls := 0
	for after, left := uint64(1), 3+chat.MaxPage; left > 0; polls++ {
		list, last := poll(after, "10s")
		if len(list) == 0 || len(list) > min(left, chat.MaxPage) {
			t.Fatalf("a poll brought %d events of %d", len(list), left)
		}
		after, left = last, left-len(list)
	}
	if polls > chat.MaxPage/2 {
		t.Errorf("%d polls brought a burst of %d events", polls, chat.MaxPage)
	}
}

func TestTooManyStreamsAreTurnedAway(t *testing.T) {
	r := serve(t, newTown(t).bob)
	var open []io.Closer
	for range api.MaxStreams {
		resp := r.open("GET", "/api/v1/events?after=9", "")
		open = append(open, resp.Body)
	}
	resp, body := r.ask("GET", "/api/v1/events", "")
	r.refused(resp, body, http.StatusTooManyRequests, chat.CodeLimit)
	for _, c := range open {
		c.Close()
	}
	if resp, body := r.ask("GET", "/api/v1/status", ""); resp.StatusCode != http.StatusOK {
		t.Fatalf("%s %s", resp.Status, body)
	}
}

// watched tells when a Follow ends.
type watched struct {
	api.Backend
	ended chan error
}

func (w watched) Follow(ctx context.Context, after uint64, fn func(chat.Entry) error) error {
	err := w.Backend.Follow(ctx, after, fn)
	w.ended <- err
	return err
}

func TestAReaderThatDoesNotReadIsCutOff(t *testing.T) {
	w := newTown(t)
	b := watched{w.bob, make(chan error, 1)}
	r := serve(t, b, func(s *api.Server) { s.Hurry(100 * time.Millisecond) })
	for range 100 { // more than the buffers of a socket hold
		w.says(t, strings.Repeat("x", chat.MaxText))
	}
	lazy, err := net.Dial("unix", r.socket)
	if err != nil {
		t.Fatal(err)
	}
	defer lazy.Close()
	if _, err := io.WriteString(lazy, "GET /api/v1/events HTTP/1.1\r\nHost: parley\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-b.ended:
		if err == nil {
			t.Fatal("the feed ended by itself")
		}
	case <-soon(t).Done():
		t.Fatal("the reader is still there")
	}
	if n, err := io.Copy(io.Discard, lazy); err != nil || n > 50*chat.MaxText {
		t.Fatalf("read %d bytes, %v", n, err)
	}
}

func TestASlowReaderGetsEverythingOnce(t *testing.T) {
	w := newTown(t)
	b := watched{w.bob, make(chan error, 100)}
	r := serve(t, b, func(s *api.Server) { s.Hurry(20 * time.Millisecond) })
	const messages = 100
	for range messages {
		w.says(t, strings.Repeat("x", chat.MaxText))
	}
	var seen int
	err := r.dial().Follow(soon(t), 1, func(e chat.Entry) error {
		if seen++; e.Seq != uint64(seen+1) {
			return fmt.Errorf("event %d as the %dth", e.Seq, seen)
		}
		if seen%10 == 0 {
			<-time.After(60 * time.Millisecond) // longer than the server bears
		}
		if seen == messages {
			return errEnough
		}
		return nil
	})
	if !errors.Is(err, errEnough) {
		t.Fatalf("after %d of %d: %v", seen, messages, err)
	}
	if len(b.ended) == 0 {
		t.Fatal("it was never cut off: nothing was tried")
	}
}

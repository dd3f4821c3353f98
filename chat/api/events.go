package api

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"parley/chat"
)

// getEvents follows the log for a client: as a stream of server-sent events, or with ?poll= for the next few as an array.
func (s *Server) getEvents(w http.ResponseWriter, r *http.Request) {
	after, err := cursorOf(r)
	if err != nil {
		s.writeProblem(w, err)
		return
	}
	select {
	case s.streams <- struct{}{}:
		defer func() { <-s.streams }()
	default:
		s.writeProblem(w, refuse(http.StatusTooManyRequests, chat.CodeLimit, "%d clients follow the events already", maxStreams))
		return
	}
	if r.URL.Query().Has("poll") {
		s.answer(func(r *http.Request) (reply, error) { return s.poll(r, after) })(w, r)
		return
	}
	s.stream(w, r, after)
}

// cursorOf says where to go on. A browser that reconnects repeats its URL, so what it saw last comes first.
func cursorOf(r *http.Request) (uint64, error) {
	last := r.Header.Get("Last-Event-ID")
	if last == "" {
		last = r.URL.Query().Get("after")
	}
	if last == "" {
		return 0, nil
	}
	after, err := strconv.ParseUint(last, 10, 64)
	if err != nil {
		return 0, invalid("after=%.40q: want the sequence number of an event", last)
	}
	return after, nil
}

// feed is a Follow under way.
type feed struct {
	entries chan chat.Entry // closed when Follow has returned
	err     error           // what it returned; read it after entries is closed
}

// follow starts a feed. Whoever starts one ends it: cancel ctx, then drain.
func (s *Server) follow(ctx context.Context, after uint64) *feed {
	f := &feed{entries: make(chan chat.Entry, streamBuffer)}
	go func() {
		defer close(f.entries)
		f.err = s.backend.Follow(ctx, after, func(e chat.Entry) error {
			select {
			case f.entries <- e:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		})
	}()
	return f
}

// drain waits until Follow has returned.
func (f *feed) drain() {
	for range f.entries {
	}
}

// stream writes events as they come until the client, the node or the backend ends it.
func (s *Server) stream(w http.ResponseWriter, r *http.Request, after uint64) {
	ctx, cancel := s.untilStop(r.Context())
	defer cancel()
	f := s.follow(ctx, after)
	defer f.drain()
	defer cancel()
	w.Header().Set("Content-Type", "text/event-stream")
	out := eventWriter{w: w, c: http.NewResponseController(w), pace: s.pace}
	err := out.flush(": the events follow\n\n")
	quiet := time.NewTicker(s.pace.keepAlive)
	defer quiet.Stop()
	for err == nil {
		select {
		case e, open := <-f.entries:
			if !open {
				out.end(ctx, f.err)
				return
			}
			err = out.entry(e, len(f.entries) > 0)
		case <-quiet.C:
			err = out.flush(": still here\n\n")
		}
	}
}

// eventWriter writes server-sent events: "id: SEQ", "data: JSON", and an empty line. An error means that the client is gone or
// does not read; it comes back with the last id it saw.
type eventWriter struct {
	w    http.ResponseWriter
	c    *http.ResponseController
	pace pace
}

// entry writes one event, and leaves the flush to the next one where more are waiting.
func (o eventWriter) entry(e chat.Entry, more bool) error {
	b, err := encode(shapeEvent(e))
	if err != nil {
		return fmt.Errorf("encode event %d: %w", e.Seq, err)
	}
	frame := fmt.Sprintf("id: %d\ndata: %s\n", e.Seq, b)
	if !more {
		return o.flush(frame)
	}
	return o.write(frame)
}

// end says that the events end, and why, unless we or the client wanted it: "event: problem" with the error as data.
func (o eventWriter) end(ctx context.Context, err error) {
	frame := ": the end\n\n"
	if ctx.Err() == nil && err != nil {
		if b, err := encode(problemOf(err)); err == nil {
			frame = fmt.Sprintf("event: problem\ndata: %s\n", b)
		}
	}
	_ = o.flush(frame) // it ends either way
}

func (o eventWriter) write(frame string) error {
	if err := o.c.SetWriteDeadline(time.Now().Add(o.pace.write)); err != nil {
		return err
	}
	_, err := o.w.Write([]byte(frame))
	return err
}

func (o eventWriter) flush(frame string) error {
	if err := o.write(frame); err != nil {
		return err
	}
	return o.c.Flush()
}

// poll waits for the next event and answers with the burst that it is part of, at most a page; with none when the time is up.
func (s *Server) poll(r *http.Request, after uint64) (reply, error) {
	d, err := durationOf(r.URL.Query(), "poll", 0)
	if err != nil {
		return reply{}, err
	}
	if d == 0 {
		return reply{}, invalid("poll=%.40q: want a time like 30s", r.URL.Query().Get("poll"))
	}
	ctx, cancel := s.untilStop(r.Context())
	defer cancel()
	timer := time.AfterFunc(d, cancel)
	defer timer.Stop()
	f := s.follow(ctx, after)
	burst := collect(f.entries)
	ended := ctx.Err() != nil
	cancel()
	f.drain()
	if len(burst) == 0 && !ended && f.err != nil {
		return reply{}, f.err
	}
	return reply{body: listOf(burst, shapeEvent).Items}, nil
}

// collect takes entries until a page is full, none follows within pollLinger of the last, or there are no more.
func collect(entries <-chan chat.Entry) (burst []chat.Entry) {
	var linger <-chan time.Time
	for len(burst) < chat.MaxPage {
		select {
		case e, open := <-entries:
			if !open {
				return burst
			}
			burst = append(burst, e)
			linger = time.After(pollLinger)
		case <-linger:
			return burst
		}
	}
	return burst
}

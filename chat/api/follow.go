package api

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"parley/chat"
)

// Follow implements Backend over a stream of server-sent events. When the stream drops it is opened again after the last event
// that fn was given, so fn sees each event once.
func (c *Client) Follow(ctx context.Context, after uint64, fn func(chat.Entry) error) error {
	f := follower{client: c, after: after, fn: fn}
	for failures := 1; ; failures++ {
		err := f.open(ctx)
		cut, isCut := errors.AsType[*dropped](err)
		if f.opened {
			failures = 1
		}
		switch {
		case f.failed != nil:
			return f.failed
		case ctx.Err() != nil:
			return ctx.Err()
		case !isCut:
			return err
		case isGone(cut.error) || failures == attempts:
			return c.unavailable(cut.error)
		}
		pause(ctx, retryPause<<(failures-1))
	}
}

// follower is one call of Follow, over as many streams as it takes.
type follower struct {
	client *Client
	after  uint64 // the last event that fn was given
	fn     func(chat.Entry) error
	opened bool  // the node answered with a stream, the last time
	failed error // what fn returned
}

// dropped is the end of a stream that is worth another one.
type dropped struct{ error }

func (d *dropped) Unwrap() error { return d.error }

// open follows one stream to its end.
func (f *follower) open(ctx context.Context) error {
	f.opened = false
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	watchdog := time.AfterFunc(f.client.silence, cancel)
	defer watchdog.Stop()
	q := call{method: "GET", path: "/events", query: url.Values{"after": {strconv.FormatUint(f.after, 10)}}}
	req, err := q.request(ctx, nil)
	if err != nil {
		return fmt.Errorf("follow the events: %w", err)
	}
	resp, err := f.client.http.Do(req)
	if err != nil {
		return &dropped{err}
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		answer, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
		if err != nil {
			return &dropped{err}
		}
		return parseProblem(resp.StatusCode, answer)
	}
	f.opened = true
	return readStream(resp.Body, func() { watchdog.Reset(f.client.silence) }, f.take)
}

// take handles one server-sent event.
func (f *follower) take(event, data string) error {
	if event == "problem" {
		return parseProblem(http.StatusOK, []byte(data))
	}
	var shape eventShape
	if err := json.Unmarshal([]byte(data), &shape); err != nil {
		return f.client.unreadable(err)
	}
	e, err := shape.parse()
	if err != nil {
		return f.client.unreadable(err)
	}
	f.after = e.Seq
	f.failed = f.fn(e)
	return f.failed
}

// readStream reads server-sent events and calls take for each that is whole, and alive for each line. It always returns an
// error: take's, or a *dropped at the end of the stream.
func readStream(r io.Reader, alive func(), take func(event, data string) error) error {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, maxEntry)
	var event, data string
	for lines.Scan() {
		alive()
		field, value, _ := strings.Cut(lines.Text(), ":")
		value = strings.TrimPrefix(value, " ")
		switch {
		case field == "event":
			event = value
		case field == "data":
			data += value // our data is one line; what is split is joined as JSON may be
		case lines.Text() == "" && data != "":
			if err := take(event, data); err != nil {
				return err
			}
			event, data = "", ""
		}
	}
	switch err := lines.Err(); {
	case errors.Is(err, bufio.ErrTooLong):
		return fmt.Errorf("read an event: longer than %d bytes", maxEntry)
	case err != nil:
		return &dropped{err}
	}
	return &dropped{io.ErrUnexpectedEOF}
}

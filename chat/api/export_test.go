package api

import (
	"context"
	"net"
	"time"
)

// What tests may see and shorten.

const (
	MaxBody        = maxBody
	MaxConnections = maxConnections
	MaxStreams     = maxStreams
	MaxMarks       = maxMarks
	MaxSocketPath  = maxSocketPath
)

// Hurry shortens a server's times.
func (s *Server) Hurry(d time.Duration) {
	s.pace = pace{header: d, body: d, write: d, keepAlive: d, grace: d}
}

// Linger makes a server's grace so long that nobody takes it for the time that a busy machine needs.
func (s *Server) Linger() { s.pace.grace = LongGrace }

// LongGrace is that grace.
const LongGrace = time.Minute

// Hurry shortens how long the client bears a silent stream.
func (c *Client) Hurry(d time.Duration) { c.silence = d }

// Bind makes a socket as listen does, and stops at the moment when it exists.
func Bind(ctx context.Context, path string) (net.Listener, error) {
	c := net.ListenConfig{Control: beforeBind}
	return c.Listen(ctx, "unix", path)
}

// Routes lists method and path of all routes.
func Routes() (list [][2]string) {
	for _, r := range new(Server).routes() {
		list = append(list, [2]string{r.method, r.path})
	}
	return list
}

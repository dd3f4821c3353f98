// Package scrape shows the figures of a node to a Prometheus that runs on the same machine, in its text format, at /metrics.
//
// Figures say how many messages wait and who was refused how often, and name nobody. Still they are nobody else's business: [Listen] takes a loopback
// address or a unix socket and nothing else, and a page in a browser of the same machine gets no answer.
package scrape

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/expfmt"
)

const (
	// headerTimeout is how long a request may take to come in; it is a few hundred bytes on one machine.
	headerTimeout = 5 * time.Second
	// answerTimeout is how long an answer may take to be made and read: figures come out of a database that may be busy.
	answerTimeout = 20 * time.Second
	// maxHeader bounds a request, in bytes.
	maxHeader = 16 << 10
	// maxScrapes is how many answers are made at the same time: one Prometheus, and somebody who looks.
	maxScrapes = 2
	// graceful is how long an answer may go on when the node ends.
	graceful = time.Second
)

// Server answers at one address.
type Server struct {
	listener net.Listener
	figures  prometheus.Gatherer
	turn     chan struct{} // one in it for each answer that is being made
}

// Check reports what is wrong with an address: it has to be host:port, where the host is a loopback address, or unix:PATH.
func Check(address string) error {
	if path, ok := strings.CutPrefix(address, "unix:"); ok {
		if path == "" {
			return errors.New("unix: needs a path")
		}
		return nil
	}
	at, err := netip.ParseAddrPort(address)
	if err != nil {
		return fmt.Errorf("%s is neither ADDRESS:PORT nor unix:PATH", address)
	}
	if !at.Addr().IsLoopback() {
		return fmt.Errorf("%s can be reached from elsewhere, and figures are for this machine alone", address)
	}
	return nil
}

// Listen takes an address, and returns who answers there with what the collectors collect. No address is no server: nil, which Run takes too.
func Listen(ctx context.Context, address string, collectors ...prometheus.Collector) (*Server, error) {
	if address == "" {
		return nil, nil //nolint:nilnil // there is nothing to serve, and nothing is wrong
	}
	if err := Check(address); err != nil {
		return nil, err
	}
	registry := prometheus.NewRegistry()
	for _, c := range collectors {
		if err := registry.Register(c); err != nil {
			return nil, fmt.Errorf("register figures: %w", err)
		}
	}
	l, err := listen(ctx, address)
	if err != nil {
		return nil, fmt.Errorf("listen on %q: %w", address, reason(err))
	}
	return &Server{listener: l, figures: registry, turn: make(chan struct{}, maxScrapes)}, nil
}

// listen binds an address. A socket that nobody listens on is of an earlier run, and is replaced; only its owner may connect to ours.
func listen(ctx context.Context, address string) (net.Listener, error) {
	var config net.ListenConfig
	path, ok := strings.CutPrefix(address, "unix:")
	if !ok {
		return config.Listen(ctx, "tcp", address)
	}
	if c, err := new(net.Dialer).DialContext(ctx, "unix", path); err == nil {
		_ = c.Close() // it was only to see
		return nil, fmt.Errorf("somebody listens on %s already", path)
	}
	if info, err := os.Lstat(path); err == nil && info.Mode().Type() == os.ModeSocket {
		if err := os.Remove(path); err != nil {
			return nil, err
		}
	}
	l, err := config.Listen(ctx, "unix", path)
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(path, 0o600); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

// reason is why an address could not be bound, without the calls of the system that say so.
func reason(err error) error {
	var number syscall.Errno
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return errors.New("something is there already")
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return errors.New("this machine has no such address")
	case errors.Is(err, fs.ErrNotExist):
		return errors.New("there is no such folder")
	case errors.Is(err, fs.ErrPermission):
		return errors.New("this user may not")
	case errors.As(err, &number):
		return number
	}
	return err
}

// Run answers until ctx ends. It runs once.
func (s *Server) Run(ctx context.Context) error {
	if s == nil {
		<-ctx.Done()
		return nil
	}
	srv := &http.Server{
		Handler: http.HandlerFunc(s.answer), ReadHeaderTimeout: headerTimeout, WriteTimeout: answerTimeout + headerTimeout, MaxHeaderBytes: maxHeader,
	}
	stopped := make(chan struct{})
	unhook := context.AfterFunc(ctx, func() {
		defer close(stopped)
		ctx, cancel := context.WithTimeout(context.Background(), graceful)
		defer cancel()
		if srv.Shutdown(ctx) != nil {
			_ = srv.Close() // its error is the listener's, which Shutdown has closed
		}
	})
	if err := srv.Serve(s.listener); !errors.Is(err, http.ErrServerClosed) {
		unhook()
		return errors.Join(fmt.Errorf("show figures: %w", err), srv.Close())
	}
	<-stopped
	return nil
}

// answer refuses what comes from web pages, and under a name that is not this machine's: a page elsewhere may have got its name to lead here.
func (s *Server) answer(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	switch {
	case r.Header.Get("Origin") != "" || r.Header.Get("Referer") != "" || !s.addressed(r.Host):
		http.Error(w, "figures are for programs of this machine", http.StatusForbidden)
	case r.URL.Path != "/metrics":
		http.Error(w, "the figures are at /metrics", http.StatusNotFound)
	case r.Method != http.MethodGet:
		h.Set("Allow", http.MethodGet)
		http.Error(w, "there is nothing to do but look", http.StatusMethodNotAllowed)
	default:
		s.show(w)
	}
}

// show writes all figures, unless others are being shown them. (The handler of the library brings compression along, which one machine does
// not need.)
func (s *Server) show(w http.ResponseWriter) {
	select {
	case s.turn <- struct{}{}:
	default:
		http.Error(w, "too many ask at the same time", http.StatusServiceUnavailable)
		return
	}
	defer func() { <-s.turn }()
	all, err := s.figures.Gather()
	if err != nil {
		http.Error(w, "figures cannot be told", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", string(expfmt.NewFormat(expfmt.TypeTextPlain)))
	for _, family := range all {
		if _, err := expfmt.MetricFamilyToText(w, family); err != nil {
			return // who has asked is gone
		}
	}
}

// addressed reports whether a request was meant for us: for the address that we listen on, or by any name on a socket, where no browser comes.
func (s *Server) addressed(host string) bool {
	at, ok := s.listener.Addr().(*net.TCPAddr)
	if !ok {
		return true
	}
	port := fmt.Sprint(at.Port)
	return host == at.String() || host == net.JoinHostPort("localhost", port)
}

// Address returns where it listens, as it was bound.
func (s *Server) Address() string { return s.listener.Addr().String() }

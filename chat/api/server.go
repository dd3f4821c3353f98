package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strings"
	"time"

	"go.uber.org/zap"

	"parley/chat"
)

// ServerOptions says where a server listens and what it says of itself.
type ServerOptions struct {
	Socket   string      // path of the unix socket, in a folder of our own
	Version  string      // of the program, for GET /version
	Shutdown func()      // ends the node, and does not wait for that; nil: POST /shutdown is refused
	Logger   *zap.Logger // nil: no log
}

// Server answers for a Backend on a unix socket.
type Server struct {
	backend Backend
	options ServerOptions
	pace    pace
	ready   chan struct{}
	streams chan struct{} // one token for each event reader
	// stopping ends when Run is asked to stop: streams and waits end with it, other requests get shutdownGrace.
	stopping context.Context
	stop     context.CancelFunc
}

// pace holds the times of limits.go that tests shorten.
type pace struct{ header, body, write, keepAlive, grace time.Duration }

// NewServer returns a server of b; Run makes it listen.
func NewServer(b Backend, o ServerOptions) *Server {
	if o.Logger == nil {
		o.Logger = zap.NewNop()
	}
	stopping, stop := context.WithCancel(context.Background())
	return &Server{
		backend: b, options: o, ready: make(chan struct{}), streams: make(chan struct{}, maxStreams),
		pace:     pace{header: headerTimeout, body: bodyTimeout, write: writeTimeout, keepAlive: keepAlive, grace: shutdownGrace},
		stopping: stopping, stop: stop,
	}
}

// Ready is closed once the socket takes connections.
func (s *Server) Ready() <-chan struct{} { return s.ready }

// Run listens and answers until ctx ends, and removes the socket. Then event streams and waits end at once, other requests may
// finish within a few seconds. It is an error, and nothing is touched, when another node listens on the socket already.
// A server runs once.
func (s *Server) Run(ctx context.Context) error {
	defer s.stop()
	l, err := listen(ctx, s.options.Socket)
	if err != nil {
		return err
	}
	door := newDoor(s.options.Logger)
	srv := &http.Server{
		Handler: s.handler(), ConnState: door.watch, ErrorLog: zap.NewStdLog(s.options.Logger),
		ReadHeaderTimeout: s.pace.header, IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeader,
		ReadTimeout:  s.pace.body,  // ends with the body: a stream or a wait may last
		WriteTimeout: s.pace.write, // for what net/http writes by itself; our own writes get as long, each
	}
	stopped := make(chan struct{})
	unhook := context.AfterFunc(ctx, func() {
		defer close(stopped)
		s.shutdown(srv, door)
	})
	close(s.ready)
	if err := srv.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		unhook()
		return errors.Join(fmt.Errorf("serve %s: %w", s.options.Socket, err), srv.Close())
	}
	<-stopped
	return nil
}

// shutdown lets requests finish for as long as the grace lasts, then cuts what is left.
func (s *Server) shutdown(srv *http.Server, door *door) {
	s.stop()
	door.closeUnused()
	ctx, cancel := context.WithTimeout(context.Background(), s.pace.grace)
	defer cancel()
	if err := srv.Shutdown(ctx); err != nil {
		s.options.Logger.Warn("requests cut off at shutdown", zap.Error(err))
		_ = srv.Close() // its error is the listener's, which Shutdown has closed
	}
}

// untilStop returns a context that ends with parent or when the server stops.
func (s *Server) untilStop(parent context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(parent)
	unhook := context.AfterFunc(s.stopping, cancel)
	return ctx, func() { unhook(); cancel() }
}

// handler is the whole HTTP side: first what holds for every request, then the routes.
func (s *Server) handler() http.Handler {
	mux := http.NewServeMux()
	for _, r := range s.routes() {
		mux.HandleFunc(r.method+" "+prefix+r.path, r.serve)
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Cache-Control", "no-store")
		h.Set("X-Content-Type-Options", "nosniff")
		err := s.admit(w, r)
		if err == nil {
			err = s.known(mux, w, r)
		}
		if err != nil {
			s.writeProblem(w, err)
			return
		}
		mux.ServeHTTP(w, r)
	})
}

// admit refuses requests of web pages, and reads the body within its limits.
func (s *Server) admit(w http.ResponseWriter, r *http.Request) error {
	for _, h := range []string{"Origin", "Referer"} {
		if _, ok := r.Header[h]; ok {
			return refuse(http.StatusForbidden, chat.CodeRefused, "requests with the header %s come from web pages and are refused", h)
		}
	}
	if isWrite(r.Method) && !isJSON(r.Header.Get("Content-Type")) {
		return refuse(http.StatusUnsupportedMediaType, chat.CodeInvalid, "%s needs the header Content-Type: application/json", r.Method)
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if _, tooLong := errors.AsType[*http.MaxBytesError](err); tooLong {
		return refuse(http.StatusRequestEntityTooLarge, chat.CodeLimit, "the request is longer than %d bytes", maxBody)
	}
	if err != nil {
		w.Header().Set("Connection", "close")
		return refuse(http.StatusRequestTimeout, chat.CodeInvalid, "the request's body did not arrive: %s", err)
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	return nil
}

func isWrite(method string) bool { return method == http.MethodPut || method == http.MethodPost }

func isJSON(contentType string) bool {
	media, _, err := mime.ParseMediaType(contentType)
	return err == nil && media == "application/json"
}

// known refuses what no route serves, in our own words instead of ServeMux's plain text.
func (s *Server) known(mux *http.ServeMux, w http.ResponseWriter, r *http.Request) error {
	if _, pattern := mux.Handler(r); pattern != "" && r.Method != http.MethodHead {
		return nil
	}
	var allowed []string
	for _, method := range []string{http.MethodGet, http.MethodPut, http.MethodPost, http.MethodDelete} {
		other := *r
		other.Method = method
		if _, pattern := mux.Handler(&other); pattern != "" {
			allowed = append(allowed, method)
		}
	}
	if len(allowed) == 0 {
		return refuse(http.StatusNotFound, chat.CodeInvalid, "no such route: %.200q (see %s/openapi.json)", r.URL.Path, prefix)
	}
	w.Header().Set("Allow", strings.Join(allowed, ", "))
	return refuse(http.StatusMethodNotAllowed, chat.CodeInvalid, "%.20q is not for %.200q", r.Method, r.URL.Path)
}

// reply is what a handler answers; status 0 is 200.
type reply struct {
	status int
	body   any
}

// answer makes an http.HandlerFunc of a function that returns its reply or its error.
func (s *Server) answer(h func(*http.Request) (reply, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		a, err := h(r)
		if err != nil {
			s.writeProblem(w, err)
			return
		}
		s.write(w, max(a.status, http.StatusOK), "application/json", a.body)
	}
}

func (s *Server) writeProblem(w http.ResponseWriter, err error) {
	p := problemOf(err)
	s.write(w, p.Status, problemType, p)
}

// write sends v as JSON. What goes wrong while it is written concerns nobody but the client, who sees the connection drop.
func (s *Server) write(w http.ResponseWriter, status int, media string, v any) {
	b, err := encode(v)
	if err != nil {
		s.options.Logger.Error("answer not encodable", zap.Error(err))
		status, b = http.StatusInternalServerError, nil
	}
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(s.pace.write))
	w.Header().Set("Content-Type", media)
	w.WriteHeader(status)
	_, _ = w.Write(b)
}

// encode writes v as one line of JSON, without escaping for HTML.
func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	err := e.Encode(v)
	return b.Bytes(), err
}

//go:build linux

package road

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"
	"golang.org/x/sys/unix"
)

func webHost(t *testing.T) host.Host {
	t.Helper()
	h, err := libp2p.New(libp2p.Transport(NewWebSocket), libp2p.ListenAddrStrings("/ip4/127.0.0.1/tcp/0/ws"), libp2p.DisableMetrics(), libp2p.DisableRelay())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = h.Close() })
	return h
}

// Alice calls Bob over WebSocket, and both know the other's address by its whole name.
func TestTheyMeetOverWebSocket(t *testing.T) {
	alice, bob := webHost(t), webHost(t)
	if err := alice.Connect(context.Background(), peer.AddrInfo{ID: bob.ID(), Addrs: bob.Addrs()}); err != nil {
		t.Fatal(err)
	}
	for _, c := range []ma.Multiaddr{alice.Network().ConnsToPeer(bob.ID())[0].RemoteMultiaddr(), bob.Network().ConnsToPeer(alice.ID())[0].RemoteMultiaddr()} {
		if !strings.HasSuffix(c.String(), "/ws") {
			t.Errorf("connected to %s", c)
		}
	}
}

// Somebody who asks for a page, or asks at length, or for HTTP/2, is told that there is nothing, and hung up on.
func TestThereIsNoPage(t *testing.T) {
	t.Parallel() // the tale takes HandshakeTimeout
	bob := webHost(t)
	for name, c := range map[string]struct{ request, answer string }{
		"a browser":          {"GET / HTTP/1.1\r\nHost: bob\r\n\r\n", "404 Not Found"},
		"a long question":    {"GET / HTTP/1.1\r\nHost: bob\r\nCookie: " + strings.Repeat("x", 2*MaxHeader) + "\r\n\r\n", "431 Request Header Fields Too Large"},
		"a long tale":        {"POST / HTTP/1.1\r\nHost: bob\r\nContent-Length: 1000\r\n\r\n", "404 Not Found"},
		"a client of HTTP/2": {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00", "404 Not Found"},
	} {
		caller, err := net.Dial("tcp", net.JoinHostPort("127.0.0.1", port(t, bob.Addrs()[0])))
		if err != nil {
			t.Fatal(err)
		}
		defer caller.Close()
		if err := caller.SetDeadline(time.Now().Add(time.Minute)); err != nil {
			t.Fatal(err)
		}
		go func() { _, _ = io.WriteString(caller, c.request) }() // the answer may come first
		answer, err := http.ReadResponse(bufio.NewReader(caller), nil)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if answer.Status != c.answer || !answer.Close && answer.ProtoMajor == 1 {
			t.Errorf("%s is answered %q, and hung up on: %t", name, answer.Status, answer.Close)
		}
		if rest, err := io.ReadAll(caller); err != nil && !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("%s hears %q, and then %v", name, rest, err)
		}
	}
}

// Sockets under WebSockets are as narrow and as patient as others of ours, on both sides.
func TestWebSocketsAreOnOurSockets(t *testing.T) {
	alice, bob := webHost(t), webHost(t)
	if err := alice.Connect(context.Background(), peer.AddrInfo{ID: bob.ID(), Addrs: bob.Addrs()}); err != nil {
		t.Fatal(err)
	}
	dialled, ok := lineOf(alice.Network().ConnsToPeer(bob.ID())[0]).Conn.(*webConn)
	if !ok {
		t.Fatal("it is not ours")
	}
	listener, err := manet.Listen(ma.StringCast("/ip4/127.0.0.1/tcp/0"))
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	caller, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer caller.Close()
	accepted, _, err := persisting{gated{listener}}.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer accepted.Close()
	for who, c := range map[string]net.Conn{"who dials": dialled.NetConn(), "who listens": accepted} {
		if option(t, c, unix.TCP_THIN_LINEAR_TIMEOUTS) != 1 {
			t.Errorf("%s waits ever longer", who)
		}
	}
	if got := option(t, dialled.NetConn(), unix.TCP_MAXSEG); got > MaxSegment {
		t.Errorf("who dials sends segments of %d bytes", got)
	}
}

// gated is a listener that nobody guards.
type gated struct{ manet.Listener }

func (g gated) Accept() (manet.Conn, network.ConnManagementScope, error) {
	c, err := g.Listener.Accept()
	return c, nil, err
}

// Nobody answers at the address of a web server: the dial ends when its time is over, by whatever name it is called.
func TestADeafWebServerIsNotWaitedFor(t *testing.T) {
	deaf, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer deaf.Close()
	_, port, err := net.SplitHostPort(deaf.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	for _, ending := range []string{"/ws", "/wss", "/tls/sni/example.org/ws"} {
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		_, err := dialWeb(ctx, ma.StringCast("/ip4/127.0.0.1/tcp/"+port+ending))
		if late := net.Error(nil); !errors.As(err, &late) || !late.Timeout() {
			t.Errorf("%s: %v", ending, err)
		}
		cancel()
	}
}

// A web server that is none of ours says so.
func TestAnotherWebServer(t *testing.T) {
	other := httptest.NewServer(http.NotFoundHandler())
	defer other.Close()
	_, port, err := net.SplitHostPort(other.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := dialWeb(t.Context(), ma.StringCast("/ip4/127.0.0.1/tcp/"+port+"/ws")); err == nil || err.Error() != `the web server answers "404 Not Found"` {
		t.Errorf("%v", err)
	}
}

// Whatever is written arrives as it is, however it is cut, until the one who writes hangs up.
func TestAWebSocketIsAStream(t *testing.T) {
	said, heard := bytes.Repeat([]byte("once upon a time "), 10_000), make(chan []byte, 1)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, err := (&websocket.Upgrader{}).Upgrade(w, r, nil)
		if err != nil {
			return
		}
		all, _ := io.ReadAll(newWebConn(c, ma.StringCast("/ip4/127.0.0.1/tcp/1/ws")))
		heard <- all
	}))
	defer server.Close()
	_, port, err := net.SplitHostPort(server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	c, err := dialWeb(t.Context(), ma.StringCast("/ip4/127.0.0.1/tcp/"+port+"/ws"))
	if err != nil {
		t.Fatal(err)
	}
	for rest, size := said, 1; len(rest) > 0; size *= 3 {
		n, err := c.Write(rest[:min(size, len(rest))])
		if err != nil {
			t.Fatal(err)
		}
		rest = rest[n:]
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	if all := <-heard; !bytes.Equal(all, said) {
		t.Errorf("%d bytes arrive, of %d", len(all), len(said))
	}
}

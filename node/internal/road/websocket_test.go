//go:build linux

package road

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"
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
	bob := webHost(t)
	for name, c := range map[string]struct{ request, answer string }{
		"a browser":          {"GET / HTTP/1.1\r\nHost: bob\r\n\r\n", "404 Not Found"},
		"a long question":    {"GET / HTTP/1.1\r\nHost: bob\r\nCookie: " + strings.Repeat("x", 2*MaxHeader) + "\r\n\r\n", "431 Request Header Fields Too Large"},
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
		if rest, err := io.ReadAll(caller); err != nil && !strings.Contains(err.Error(), "reset") {
			t.Errorf("%s hears %q, and then %v", name, rest, err)
		}
	}
}

// What was lost is repeated as on other connections of ours, by the socket below WebSocket.
func TestWebSocketsPersist(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	caller, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer caller.Close()
	if option(t, caller, unix.TCP_THIN_LINEAR_TIMEOUTS) != 0 {
		t.Fatal("the system does so by itself, so that nothing is shown here")
	}
	prepare(wrapped{wrapped{caller}})
	if option(t, caller, unix.TCP_THIN_LINEAR_TIMEOUTS) != 1 {
		t.Error("it waits ever longer")
	}
}

// wrapped is a connection within another.
type wrapped struct{ net.Conn }

// NetConn returns the one below.
func (w wrapped) NetConn() net.Conn { return w.Conn }

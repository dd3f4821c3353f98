package e2e

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"math/big"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// webServer is a web server with a name and a certificate, of which only those know who are told in file, and with a node behind it.
type webServer struct {
	port int
	file string
}

// webServer starts one that hands on all that it is asked to a port.
func (w *world) webServer(behind int) webServer {
	w.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		w.Fatal(err)
	}
	says := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{"localhost"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	certificate, err := x509.CreateCertificate(rand.Reader, says, says, key.Public(), key)
	if err != nil {
		w.Fatal(err)
	}
	file := filepath.Join(w.dir, "authority.pem")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate}), 0o600); err != nil {
		w.Fatal(err)
	}
	target := &url.URL{Scheme: "http", Host: fmt.Sprintf("127.0.0.1:%d", behind)}
	server := httptest.NewUnstartedServer(&httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target) }})
	server.TLS = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{certificate}, PrivateKey: key}}}
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // those who do not trust it
	server.StartTLS()
	w.Cleanup(server.Close)
	at, err := url.Parse(server.URL)
	if err != nil {
		w.Fatal(err)
	}
	var port int
	if _, err := fmt.Sscan(at.Port(), &port); err != nil {
		w.Fatal(err)
	}
	return webServer{port, file}
}

// The seed is behind a web server, and Alice and Bob, who can do nothing but the web, meet there: in either kind of network. Carol does not trust the web
// server, and is told so.
func TestOverTheWeb(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"", "--no-psk"} {
		t.Run("network"+kind, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			seed := w.person("Seed")
			server := w.webServer(seed.port)
			name := fmt.Sprintf("/dns/localhost/tcp/%d/wss", server.port)
			seed.environ = []string{fmt.Sprintf("PARLEY_NODE_LISTEN=/ip4/127.0.0.1/tcp/%d/ws", seed.port)}
			seed.options = []string{"--seed", "--announce", name}
			seed.ok(strings.Fields("init --name Seed --network home --no-passphrase " + kind)...)
			seed.start()
			alice, bob := w.person("Alice"), w.person("Bob")
			for _, p := range []*person{alice, bob} {
				p.environ = []string{"SSL_CERT_FILE=" + server.file, fmt.Sprintf("PARLEY_NODE_LISTEN=/ip4/127.0.0.1/tcp/%d/ws", p.port)}
			}
			alice.joins(seed.invite()).start()
			bob.joins(alice.invite()).start()
			alice.knows("Bob")
			for _, p := range []*person{alice, bob} {
				await(t, patience, p.name+" reaches the seed by its name", func() bool {
					_, at := p.wayTo(seed.status().Device)
					return strings.HasSuffix(at, fmt.Sprintf("/tcp/%d/tls/sni/localhost/ws", server.port))
				})
			}
			alice.ok("send", "bob", "by way of the web", "--wait", "delivered")
			await(t, patience, "Alice reaches Bob over the web", func() bool {
				_, at := alice.wayTo(bob.status().Device)
				return strings.HasSuffix(at, "/ws")
			})
			bob.node.kill()
			alice.ok("send", "bob", "for later", "--wait", "sent")
			bob.start()
			await(t, patience, "Bob has what was kept for him", func() bool { return strings.Contains(bob.ok("history", "alice"), "for later") })

			carol := w.person("Carol")
			node := carol.joins(seed.invite()).up()
			node.says(node.stderr, "certificate")
		})
	}
}

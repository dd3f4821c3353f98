package scrape_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"parley/chat/scrape"
)

// letters is a node that has sent three letters.
func letters() prometheus.Collector {
	return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "parley_test_letters", Help: "Letters."}, func() float64 { return 3 })
}

// show serves figures at an address until the test ends.
func show(t *testing.T, address string, of ...prometheus.Collector) *scrape.Server {
	t.Helper()
	s, err := scrape.Listen(t.Context(), address, of...)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return s
}

// ask sends one request, as it is written, and returns the answer.
func ask(t *testing.T, network, address, request string) (*http.Response, string) {
	t.Helper()
	c, err := new(net.Dialer).DialContext(t.Context(), network, address)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(c, request); err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(body)
}

// TestAPrometheusReadsTheFigures in the format that it knows.
func TestAPrometheusReadsTheFigures(t *testing.T) {
	s := show(t, "127.0.0.1:0", letters())
	resp, body := ask(t, "tcp", s.Address(), "GET /metrics HTTP/1.1\r\nHost: "+s.Address()+"\r\n\r\n")
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(body))
	if resp.StatusCode != http.StatusOK || err != nil || families["parley_test_letters"].GetMetric()[0].GetGauge().GetValue() != 3 {
		t.Errorf("%s, %v: %s", resp.Status, err, body)
	}
	if kind := resp.Header.Get("Content-Type"); !strings.HasPrefix(kind, "text/plain; version=0.0.4") {
		t.Errorf("it is called %q", kind)
	}
}

// TestNobodyElseReadsThem refuses pages in a browser, names that are not this machine's, and what is no look.
func TestNobodyElseReadsThem(t *testing.T) {
	s := show(t, "127.0.0.1:0", letters())
	here := "Host: " + s.Address() + "\r\n"
	_, port, _ := net.SplitHostPort(s.Address())
	for request, want := range map[string]int{
		"GET /metrics HTTP/1.1\r\nHost: localhost:" + port + "\r\n":                       http.StatusOK,
		"GET /metrics HTTP/1.1\r\n" + here + "Origin: https://example.org\r\n":            http.StatusForbidden,
		"GET /metrics HTTP/1.1\r\n" + here + "Referer: https://example.org/\r\n":          http.StatusForbidden,
		"GET /metrics HTTP/1.1\r\nHost: example.org:" + port + "\r\n":                     http.StatusForbidden,
		"GET /metrics HTTP/1.1\r\nHost: localhost\r\n":                                    http.StatusForbidden,
		"POST /metrics HTTP/1.1\r\n" + here + "Content-Length: 0\r\n":                     http.StatusMethodNotAllowed,
		"GET /debug/pprof/ HTTP/1.1\r\n" + here:                                           http.StatusNotFound,
		"GET /metrics HTTP/1.1\r\n" + here + "X: " + strings.Repeat("x", 64<<10) + "\r\n": http.StatusRequestHeaderFieldsTooLarge,
	} {
		if resp, body := ask(t, "tcp", s.Address(), request+"\r\n"); resp.StatusCode != want || want != http.StatusOK && strings.Contains(body, "letters") {
			t.Errorf("%.80q: %s, want %d: %.100s", request, resp.Status, want, body)
		}
	}
}

// TestASocketIsForItsOwnerAlone replaces one that nobody listens on, and nothing else.
func TestASocketIsForItsOwnerAlone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "figures.sock")
	left, err := new(net.ListenConfig).Listen(t.Context(), "unix", path)
	if err != nil {
		t.Fatal(err)
	}
	left.(*net.UnixListener).SetUnlinkOnClose(false)
	_ = left.Close() // a run that ended badly
	show(t, "unix:"+path, letters())
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	if resp, body := ask(t, "unix", path, "GET /metrics HTTP/1.1\r\nHost: figures\r\n\r\n"); resp.StatusCode != http.StatusOK || !strings.Contains(body, "parley_test_letters 3") {
		t.Errorf("%s: %s", resp.Status, body)
	}
	if _, err := scrape.Listen(t.Context(), "unix:"+path); err == nil {
		t.Error("two answer at one socket")
	}
	precious := filepath.Join(t.TempDir(), "precious")
	if err := os.WriteFile(precious, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := scrape.Listen(t.Context(), "unix:"+precious); err == nil {
		t.Error("a file was replaced")
	}
	if _, err := os.Stat(precious); err != nil {
		t.Error(err)
	}
}

// TestFiguresStayOnThisMachine refuses every address that others can reach, and names, which may lead anywhere.
func TestFiguresStayOnThisMachine(t *testing.T) {
	for address, fine := range map[string]bool{
		"127.0.0.1:9464": true, "[::1]:9464": true, "127.1.2.3:1": true, "unix:/run/parley.sock": true,
		"0.0.0.0:9464": false, "[::]:9464": false, "192.168.1.2:9464": false, "5.5.5.5:9464": false, "localhost:9464": false, ":9464": false,
		"9464": false, "127.0.0.1": false, "unix:": false, "": false, "http://127.0.0.1:9464": false,
	} {
		if err := scrape.Check(address); (err == nil) != fine {
			t.Errorf("%q: %v", address, err)
		}
	}
	if _, err := scrape.Listen(t.Context(), "0.0.0.0:0"); err == nil {
		t.Error("it listens for everybody")
	}
}

// Whoever names a place where nobody can listen is told which, and why, in one line of plain words.
func TestWhereNobodyCanListen(t *testing.T) {
	taken, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	folder := t.TempDir()
	file := filepath.Join(folder, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for address, why := range map[string]string{
		taken.Addr().String(): "something is there already", "unix:" + file: "something is there already", "unix:" + filepath.Join(folder, "none", "x"): "there is no such folder",
		"unix:" + filepath.Join(file, "x"): "not a directory", "unix:/" + strings.Repeat("x", 200): "invalid argument",
	} {
		if _, err := scrape.Listen(t.Context(), address, letters()); err == nil || err.Error() != fmt.Sprintf("listen on %q: %s", address, why) {
			t.Errorf("%s: %v; want %s", address, err, why)
		}
	}
}

// TestNoAddressIsNoServer runs until it is called off, and answers nobody.
func TestNoAddressIsNoServer(t *testing.T) {
	s, err := scrape.Listen(t.Context(), "", letters())
	if s != nil || err != nil {
		t.Fatalf("%v, %v", s, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Run(ctx); err != nil {
		t.Error(err)
	}
}

// TestACrowdWaits has a figure that takes its time, and too many who ask for it.
func TestACrowdWaits(t *testing.T) {
	entered, release := make(chan struct{}, 8), make(chan struct{})
	slow := prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "parley_test_slow", Help: "Slow."}, func() float64 { entered <- struct{}{}; <-release; return 1 })
	s := show(t, "127.0.0.1:0", slow)
	request := "GET /metrics HTTP/1.1\r\nHost: " + s.Address() + "\r\n\r\n"
	answers := make(chan int, 2)
	for range 2 {
		go func() { resp, _ := ask(t, "tcp", s.Address(), request); answers <- resp.StatusCode }()
		<-entered
	}
	if resp, _ := ask(t, "tcp", s.Address(), request); resp.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("the third: %s", resp.Status)
	}
	close(release)
	for range 2 {
		if code := <-answers; code != http.StatusOK {
			t.Errorf("one of two: %d", code)
		}
	}
}

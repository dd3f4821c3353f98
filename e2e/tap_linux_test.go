package e2e

import (
	"encoding/binary"
	"errors"
	"os"
	"sync"
	"syscall"
	"testing"
	"time"
)

// tap records the payload of every TCP packet on the loopback interface that comes from or goes to one of some ports.
type tap struct {
	socket int
	ports  map[uint16]bool
	stop   chan struct{}
	reader sync.WaitGroup

	mu   sync.Mutex
	seen []byte
}

// listenToWire starts a tap. Only root may listen to a wire: for others the test is skipped.
func listenToWire(t testing.TB, ports ...int) *tap {
	t.Helper()
	socket, err := syscall.Socket(syscall.AF_PACKET, syscall.SOCK_DGRAM|syscall.SOCK_CLOEXEC, int(swap(syscall.ETH_P_ALL)))
	if errors.Is(err, os.ErrPermission) {
		t.Skip("listening to packets needs root (CAP_NET_RAW)")
	}
	if err != nil {
		t.Fatal(err)
	}
	w := &tap{socket: socket, ports: map[uint16]bool{}, stop: make(chan struct{})}
	for _, p := range ports {
		w.ports[uint16(p)] = true
	}
	timeout := syscall.NsecToTimeval(int64(50 * time.Millisecond))
	if err := syscall.SetsockoptTimeval(socket, syscall.SOL_SOCKET, syscall.SO_RCVTIMEO, &timeout); err != nil {
		t.Fatal(err)
	}
	if err := syscall.SetsockoptInt(socket, syscall.SOL_SOCKET, syscall.SO_RCVBUFFORCE, 32<<20); err != nil {
		t.Fatal(err)
	}
	w.reader.Go(w.read)
	t.Cleanup(func() {
		close(w.stop)
		w.reader.Wait()
		_ = syscall.Close(socket)
	})
	return w
}

func (w *tap) read() {
	packet := make([]byte, 1<<16)
	for {
		select {
		case <-w.stop:
			return
		default:
		}
		if n, _, err := syscall.Recvfrom(w.socket, packet, 0); err == nil {
			w.note(packet[:n])
		}
	}
}

// note keeps the payload of an IPv4 packet that is TCP on one of our ports.
func (w *tap) note(packet []byte) {
	const tcp, shortest = 6, 20
	if len(packet) < shortest || packet[0]>>4 != 4 || packet[9] != tcp {
		return
	}
	segment := packet[min(len(packet), int(packet[0]&0xf)*4):]
	if len(segment) < shortest || !w.ports[binary.BigEndian.Uint16(segment)] && !w.ports[binary.BigEndian.Uint16(segment[2:])] {
		return
	}
	payload := segment[min(len(segment), int(segment[12]>>4)*4):]
	w.mu.Lock()
	defer w.mu.Unlock()
	w.seen = append(w.seen, payload...)
}

// recorded returns everything so far.
func (w *tap) recorded() []byte {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.seen[:len(w.seen):len(w.seen)]
}

// swap turns a number into network byte order.
func swap(n uint16) uint16 { return n<<8 | n>>8 }

package e2e

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

const (
	// diskSize is how large the disk of somebody is who has a small one, in bytes: a home, the log at its usual length (16 MiB) and some minutes of
	// talk. talkSize is for what is said between two fills.
	diskSize = 24 << 20
	talkSize = 2 << 20
	// fills is how often it runs full on every day.
	fills = 3
)

var fillCount = flag.Int("fills", fills, "how often TestFullDiskIsSaidAndLosesNothing fills the disk, and TestBrokenDiskIsSaidAndLosesNothing breaks it")

// onSmallDisk gives somebody a home on a disk of its own. That takes a mount, and so privileges.
func (p *person) onSmallDisk() {
	p.Helper()
	if err := os.Mkdir(p.home, 0o700); err != nil {
		p.Fatal(err)
	}
	err := syscall.Mount("tmpfs", p.home, "tmpfs", 0, fmt.Sprintf("size=%d,mode=0700", diskSize+*fillCount*talkSize))
	if errors.Is(err, syscall.EPERM) || errors.Is(err, syscall.EACCES) {
		p.Skipf("a small disk is a mount, which this user may not make: %v", err)
	}
	if err != nil {
		p.Fatal(err)
	}
	p.Cleanup(func() { // after the node has ended: what starts later is ended earlier
		if err := syscall.Unmount(p.home, syscall.MNT_DETACH); err != nil {
			p.Error(err)
		}
	})
}

// fill takes all the room on somebody's disk, and returns what gives it back.
func (p *person) fill() (empty func()) {
	p.Helper()
	path := filepath.Join(p.home, "filler")
	f, err := os.Create(path)
	if err != nil {
		p.Fatal(err)
	}
	defer f.Close()
	for block := make([]byte, 64<<10); len(block) > 0; {
		if _, err := f.Write(block); errors.Is(err, syscall.ENOSPC) {
			block = block[:len(block)/2]
		} else if err != nil {
			p.Fatal(err)
		}
	}
	return func() {
		if err := os.Remove(path); err != nil {
			p.Error(err)
		}
	}
}

// Alice's disk runs full while both talk, and has room again later. Her node says so, promises nothing that it cannot keep, and goes on by
// itself.
func TestFullDiskIsSaidAndLosesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	seed := w.seed()
	alice, bob := w.person("Alice"), w.person("Bob")
	alice.onSmallDisk()
	alice.joins(seed.invite()).start()
	bob.joins(alice.invite()).start()
	alice.knows("Bob")
	c := listen(t, alice, bob)
	enough := make(chan struct{})
	c.chatters(longestSilence, enough)
	for range *fillCount {
		empty := alice.fill()
		await(t, patience, "Alice's node says that its disk is full", func() bool {
			s, err := c.alice.client.Status(c.ctx)
			return err == nil && strings.Contains(s.Trouble, "no space left")
		})
		empty()
		said, heard := c.fromAlice.acceptedCount(), c.fromBob.shownCount()
		await(t, restTime, "both are heard again", func() bool {
			return c.fromAlice.acceptedCount() >= said+20 && c.fromBob.shownCount() >= heard+20
		})
	}
	close(enough)
	c.finish(restTime)
	if said := strings.Count(alice.node.stderr.String(), "the note beside the database is behind"); said > *fillCount {
		t.Errorf("the log says %d times that the disk is full", said)
	}
	t.Logf("full %d times, %d messages", *fillCount, c.fromAlice.acceptedCount()+c.fromBob.acceptedCount())
	if s := alice.status(); s.Trouble != "" || !alice.node.running() {
		t.Errorf("with room again the node says %q", s.Trouble)
	}
}

// Syncs and writes of Alice's database fail for a while, again and again. Her node says so, promises nothing that it cannot keep, and goes on by
// itself with files that it has opened anew.
func TestBrokenDiskIsSaidAndLosesNothing(t *testing.T) {
	needsTracer(t)
	t.Parallel()
	_, alice, bob := newWorld(t).aliceAndBob(engines()["sqlite"])
	c := listen(t, alice, bob)
	enough := make(chan struct{})
	c.chatters(longestSilence, enough)
	faults := [][2]string{{"fdatasync", "error=EIO"}, {"pwrite64", "error=EIO"}, {"fdatasync", "error=EIO:when=1"}, {"pwrite64", "error=ENOSPC"}}
	for n := range *fillCount + 1 {
		fault := faults[n%len(faults)]
		tracer := alice.inject(fault[0], fault[1], alice.log()...)
		await(t, patience, "a call fails", func() bool { return strings.Contains(tracer.stderr.String(), "INJECTED") })
		if !strings.Contains(fault[1], "when") {
			await(t, patience, "Alice's node says that its database fails", func() bool {
				s, err := c.alice.client.Status(c.ctx)
				return err == nil && s.Trouble != ""
			})
		}
		tracer.stop()
		said, heard := c.fromAlice.acceptedCount(), c.fromBob.shownCount()
		await(t, restTime, "both are heard again", func() bool {
			return c.fromAlice.acceptedCount() >= said+20 && c.fromBob.shownCount() >= heard+20
		})
	}
	close(enough)
	c.finish(restTime)
	t.Logf("broken %d times, %d messages", *fillCount+1, c.fromAlice.acceptedCount()+c.fromBob.acceptedCount())
	if s := alice.status(); s.Trouble != "" || !alice.node.running() {
		t.Errorf("with a whole disk the node says %q", s.Trouble)
	}
}

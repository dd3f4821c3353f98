package harden_test

import (
	"os"
	"os/exec"
	"testing"

	"golang.org/x/sys/unix"

	"parley/chat/cli/harden"
)

// TestMain hardens a copy of this program, and not the one that runs the tests.
func TestMain(m *testing.M) {
	if os.Getenv("PARLEY_TEST_HARDEN") != "" {
		os.Exit(hardened())
	}
	os.Exit(m.Run())
}

func hardened() int {
	if err := harden.Process(); err != nil {
		return 2
	}
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_CORE, &limit); err != nil || limit.Cur != 0 || limit.Max != 0 {
		return 3
	}
	if dumpable, err := unix.PrctlRetInt(unix.PR_GET_DUMPABLE, 0, 0, 0, 0); err != nil || dumpable != 0 {
		return 4
	}
	return 0
}

func TestAHardenedProcessLeavesNoCore(t *testing.T) {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "PARLEY_TEST_HARDEN=1")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
}

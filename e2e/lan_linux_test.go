package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestNodesOnALANFindEachOtherByThemselves needs machines of its own: namespaces, which need root.
func TestNodesOnALANFindEachOtherByThemselves(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	if os.Geteuid() != 0 {
		t.Skip("a LAN is made of network namespaces, which need root")
	}
	if out, err := exec.Command("unshare", "-m", "-n", "ip", "link", "add", "name", "probe", "type", "bridge").CombinedOutput(); err != nil {
		t.Skipf("no network namespaces with bridges here (%v): %s", err, out)
	}
	script, err := filepath.Abs("testdata/lan.sh")
	if err != nil {
		t.Fatal(err)
	}
	var env []string
	for _, e := range w.env() {
		if !strings.HasPrefix(e, "PARLEY_NODE_") { // nothing of what keeps other scenes on loopback
			env = append(env, e)
		}
	}
	play := launch(t, env, "unshare", "-m", "-n", "--propagation", "private", "sh", script, w.parley, w.dir)
	if code := play.wait(); code != 0 {
		t.Fatalf("the scene ended with %d", code)
	}
	if out := play.stdout.String(); !strings.Contains(out, "/ip4/192.168.77.9/tcp/") || !strings.Contains(out, "Not joined yet") {
		t.Errorf("Bob did not start in vain, or did not find Alice where she went: %s", out)
	}
}

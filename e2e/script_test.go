package e2e

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// TestScripts plays testdata/script/*.txtar: the command line as people use it. Besides testscript's own commands there are
//
//	parley ARGS…      run the program; "! parley" must fail
//	exits N ARGS…     run the program, which must end with this exit code
//	until TEXT ARGS…  run the program until it prints a text
//	up HOME FLAGS…    start the node of a home in the background, and return when it is ready
//	down HOME         end it again
//	capture VAR       keep what was printed in an environment variable
//
// Every home keeps to loopback and to its own port.
func TestScripts(t *testing.T) {
	t.Parallel()
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(e *testscript.Env) error {
			e.Setenv("PARLEY_NODE_MDNS", "false")
			e.Setenv("XDG_RUNTIME_DIR", os.TempDir())
			e.Setenv("HOME", e.WorkDir)
			e.Setenv("TZ", "UTC")
			e.Setenv("GORACE", "atexit_sleep_ms=0")
			e.Values[nodesKey{}] = map[string]*process{}
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"parley": func(ts *testscript.TestScript, neg bool, args []string) {
				if code := runInScript(t, ts, args); (code == 0) == neg {
					ts.Fatalf("parley %s: exit code %d", strings.Join(args, " "), code)
				}
			},
			"exits": func(ts *testscript.TestScript, _ bool, args []string) {
				want, err := strconv.Atoi(args[0])
				ts.Check(err)
				if code := runInScript(t, ts, args[1:]); code != want {
					ts.Fatalf("parley %s: exit code %d, want %d", strings.Join(args[1:], " "), code, want)
				}
			},
			"until": func(ts *testscript.TestScript, _ bool, args []string) {
				await(t, patience, fmt.Sprintf("parley %q prints %q", args[1:], args[0]), func() bool {
					return runInScript(t, ts, args[1:]) == 0 && strings.Contains(ts.ReadFile("stdout"), args[0])
				})
			},
			"up":   func(ts *testscript.TestScript, _ bool, args []string) { upInScript(t, ts, ts.MkAbs(args[0]), args[1:]) },
			"down": func(ts *testscript.TestScript, _ bool, args []string) { downInScript(ts, ts.MkAbs(args[0])) },
			"move": func(ts *testscript.TestScript, _ bool, args []string) { moveInScript(t, ts, ts.MkAbs(args[0])) },
			"capture": func(ts *testscript.TestScript, _ bool, args []string) {
				ts.Setenv(args[0], strings.TrimSpace(ts.ReadFile("stdout")))
			},
		},
	})
}

// nodesKey is where a script keeps its nodes, by home.
type nodesKey struct{}

func upInScript(t testing.TB, ts *testscript.TestScript, home string, flags []string) {
	keepToLoopback(ts, home)
	node := launch(t, scriptEnv(ts), program(t), slices.Concat([]string{"--home", home, "up"}, flags)...)
	ts.Defer(node.kill)
	node.says(node.stderr, "parley: ready")
	ts.Value(nodesKey{}).(map[string]*process)[home] = node
}

func downInScript(ts *testscript.TestScript, home string) {
	node := ts.Value(nodesKey{}).(map[string]*process)[home]
	if code, _ := node.stop(); code != 0 {
		ts.Fatalf("the node of %s ended with %d", home, code)
	}
}

// moveInScript gives a home another port, as if its machine had another address.
func moveInScript(t testing.TB, ts *testscript.TestScript, home string) {
	file := filepath.Join(home, "node.json")
	node, err := os.ReadFile(file)
	ts.Check(err)
	ts.Check(os.WriteFile(file, portInHome.ReplaceAll(node, fmt.Appendf(nil, `"port": %d`, freePort(t))), 0o600))
}

// runInScript runs the program, and returns its exit code.
func runInScript(t testing.TB, ts *testscript.TestScript, args []string) int {
	if at := slices.Index(args, "--home"); at >= 0 && at+1 < len(args) {
		keepToLoopback(ts, ts.MkAbs(args[at+1]))
	}
	err := ts.Exec(program(t), args...)
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return exit.ExitCode()
	}
	ts.Check(err)
	return 0
}

var portInHome = regexp.MustCompile(`"port":\s*(\d+)`)

// keepToLoopback makes nodes that are started from now on listen on the port of a home, on loopback only.
func keepToLoopback(ts *testscript.TestScript, home string) {
	port := "0"
	if node, err := os.ReadFile(filepath.Join(home, "node.json")); err == nil {
		if found := portInHome.FindSubmatch(node); found != nil {
			port = string(found[1])
		}
	}
	ts.Setenv("PARLEY_NODE_LISTEN", fmt.Sprintf("/ip4/127.0.0.1/tcp/%s", port))
}

// scriptEnv returns the environment of a script, as far as nodes look at it.
func scriptEnv(ts *testscript.TestScript) (env []string) {
	for _, name := range []string{"PATH", "HOME", "TMPDIR", "TZ", "GORACE", "XDG_RUNTIME_DIR", "PARLEY_NODE_MDNS", "PARLEY_NODE_LISTEN"} {
		env = append(env, name+"="+ts.Getenv(name))
	}
	return env
}

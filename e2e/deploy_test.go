package e2e

import (
	"bytes"
	"debug/elf"
	"errors"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"parley/store/storetest"
)

const deployFolder = "../deploy"

// compose is what the tests read of compose.yaml. An unknown key of a service is fine: Docker checks those.
type compose struct {
	Services map[string]service `yaml:"services"`
	Secrets  map[string]struct {
		File string `yaml:"file"`
	} `yaml:"secrets"`
	Volumes map[string]any `yaml:"volumes"`
}

type service struct {
	Image       string            `yaml:"image"`
	Build       map[string]string `yaml:"build"`
	Command     []string          `yaml:"command"`
	EnvFile     []string          `yaml:"env_file"`
	Environment map[string]string `yaml:"environment"`
	Secrets     []string          `yaml:"secrets"`
	Volumes     []string          `yaml:"volumes"`
	DependsOn   map[string]struct {
		Condition string `yaml:"condition"`
	} `yaml:"depends_on"`
	Healthcheck map[string]any `yaml:"healthcheck"`
}

func readCompose(t *testing.T) (c compose) {
	t.Helper()
	if err := yaml.Unmarshal([]byte(readDeploy(t, "compose.yaml")), &c); err != nil {
		t.Fatal(err)
	}
	if len(c.Services) == 0 {
		t.Fatal("compose.yaml has no services")
	}
	return c
}

func readDeploy(t testing.TB, name string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(deployFolder, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// What compose.yaml speaks of must be there, since Docker says so only when somebody starts it.
func TestComposeFileIsWhole(t *testing.T) {
	c := readCompose(t)
	for name, s := range c.Services {
		for _, secret := range s.Secrets {
			if file := c.Secrets[secret].File; !strings.HasPrefix(file, "./secrets/") {
				t.Errorf("%s: the secret %s is in %q, and not in ./secrets", name, secret, file)
			}
		}
		for _, volume := range s.Volumes {
			if from, _, _ := strings.Cut(volume, ":"); !hasKey(c.Volumes, from) {
				t.Errorf("%s: the volume %s is not declared", name, from)
			}
		}
		for key, value := range s.Environment {
			if secret, ok := strings.CutPrefix(value, "/run/secrets/"); ok && !slices.Contains(s.Secrets, secret) {
				t.Errorf("%s: %s names the secret %s, which the service does not get", name, key, secret)
			}
		}
		for other, on := range s.DependsOn {
			if on.Condition == "service_healthy" && c.Services[other].Healthcheck == nil {
				t.Errorf("%s waits until %s is healthy, which says nothing of its health", name, other)
			}
		}
		if _, tag, _ := strings.Cut(s.Image, ":"); tag == "" || tag == "latest" {
			t.Errorf("%s: the image %q has no version", name, s.Image)
		}
	}
	build := c.Services["node"].Build
	if _, err := os.Stat(filepath.Join(deployFolder, build["context"], build["dockerfile"])); err != nil {
		t.Error(err)
	}
}

func hasKey(m map[string]any, key string) bool { _, ok := m[key]; return ok }

// instruction returns the arguments of the last instruction of a kind in the Dockerfile.
func instruction(t testing.TB, pattern string) string {
	t.Helper()
	all := regexp.MustCompile(`(?m)^`+pattern+`$`).FindAllStringSubmatch(readDeploy(t, "Dockerfile"), -1)
	if len(all) == 0 {
		t.Fatalf("the Dockerfile has no %s", pattern)
	}
	return all[len(all)-1][1]
}

// words reads the JSON form of an instruction, which needs no shell.
func words(t *testing.T, list string) (w []string) {
	t.Helper()
	if err := yaml.Unmarshal([]byte(list), &w); err != nil || len(w) == 0 {
		t.Fatalf("%s is no list of words: %v", list, err)
	}
	return w
}

// imageBinary runs the build command of the Dockerfile and returns the program that it makes.
func imageBinary(t *testing.T) string {
	t.Helper()
	root, err := moduleRoot()
	if err != nil {
		t.Fatal(err)
	}
	built := filepath.Join(t.TempDir(), "parley")
	script := strings.ReplaceAll(instruction(t, `RUN (.*go build.*)`), "/out/parley", built)
	cmd := exec.Command("/bin/sh", "-c", script)
	cmd.Dir = root
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", script, err, out)
	}
	return built
}

// The image has no dynamic linker, so that a program which asks for one would not even start.
func checkStatic(t *testing.T, program string) {
	t.Helper()
	f, err := elf.Open(program)
	if err != nil {
		t.Skipf("not a Linux program: %v", err)
	}
	defer f.Close()
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP {
			t.Errorf("%s asks for a dynamic linker", program)
		}
	}
}

// A new operator follows deploy/README.md. All but the container engine is real: the image's program, its settings, the secrets that
// the README makes, and PostgreSQL.
func TestOperatorFollowsTheDeployReadme(t *testing.T) {
	if testing.Short() {
		t.Skip("builds the program for the image")
	}
	c := newContainer(t)
	checkStatic(t, c.parley)
	for _, block := range shellBlocks(readDeploy(t, "README.md")) {
		if strings.Contains(block, "docker") {
			c.play(block)
		} else {
			c.setUp(block)
		}
	}
	if c.node == nil {
		t.Fatal("the README starts no node")
	}
	health := words(t, instruction(t, `HEALTHCHECK .* CMD (.*)`))
	if r := c.run(health[1:]...); r.code != 0 {
		t.Errorf("HEALTHCHECK while the node runs: %s", r)
	}
	if code, took := c.node.stop(); code != 0 {
		t.Errorf("SIGTERM: exit code %d after %v", code, took)
	}
	if r := c.run(health[1:]...); r.code == 0 {
		t.Errorf("HEALTHCHECK of a stopped node: %s", r)
	}
	if c.invites == 0 {
		t.Error("the README makes no invite")
	}
}

// container is the service "node" of compose.yaml without an engine: the same program, arguments and environment.
type container struct {
	*world
	service
	folder  string // stands for deploy/
	port    int
	node    *process
	invites int
}

func newContainer(t *testing.T) *container {
	w := newWorld(t)
	w.parley = imageBinary(t)
	folder := filepath.Join(w.dir, "deploy")
	if err := os.MkdirAll(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(folder, ".env.example"), []byte(readDeploy(t, ".env.example")), 0o600); err != nil {
		t.Fatal(err)
	}
	return &container{world: w, service: readCompose(t).Services["node"], folder: folder, port: freePort(t)}
}

// shellBlocks returns the blocks of a document that are meant to be run.
func shellBlocks(text string) (blocks []string) {
	for _, m := range regexp.MustCompile("(?s)```sh\n(.*?)```").FindAllStringSubmatch(text, -1) {
		blocks = append(blocks, m[1])
	}
	return blocks
}

// setUp runs a block in the folder, and puts our PostgreSQL in the place of the one that compose.yaml would start.
func (c *container) setUp(block string) {
	c.Helper()
	cmd := exec.Command("/bin/sh", "-eu", "-c", block)
	cmd.Dir = c.folder
	if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
		c.Fatalf("%v: %s\n%s", err, out, block)
	}
	secret := filepath.Join(c.folder, "secrets", "database_url")
	made, err := os.ReadFile(secret)
	if err != nil {
		c.Fatal(err)
	}
	password, err := os.ReadFile(filepath.Join(c.folder, "secrets", "postgres_password"))
	if err != nil {
		c.Fatal(err)
	}
	u, err := url.Parse(string(made))
	if err != nil {
		c.Fatal(err)
	}
	if given, _ := u.User.Password(); given != string(password) || len(given) < 32 {
		c.Errorf("the URL has the password %q, PostgreSQL %q", given, password)
	}
	if err := errors.Join(os.Remove(secret), os.WriteFile(secret, []byte(storetest.Postgres(c)), 0o600)); err != nil {
		c.Fatal(err)
	}
}

// play carries out what a block asks the engine for.
func (c *container) play(block string) {
	c.Helper()
	for line := range strings.Lines(block) {
		args := strings.Fields(line)
		if len(args) < 3 || args[0] != "docker" || args[1] != "compose" {
			c.Fatalf("%q is no docker compose command", line)
		}
		switch verb, rest := args[2], args[3:]; verb {
		case "run":
			c.follow(rest[slices.Index(rest, "node")+1:])
		case "exec":
			c.follow(rest[slices.Index(rest, "/parley")+1:])
		case "up":
			c.up()
		}
	}
}

// follow runs a command of the README, which has to succeed.
func (c *container) follow(args []string) {
	c.Helper()
	r := c.run(args...)
	if r.code != 0 {
		c.Fatal(r)
	}
	if slices.Equal(args, []string{"net", "invite"}) {
		c.invites++
		if !strings.HasPrefix(r.stdout, "parley:") {
			c.Errorf("no link: %s", r)
		}
	}
}

func (c *container) up() {
	c.Helper()
	c.node = launch(c, c.env(), c.parley, c.Command...)
	c.node.says(c.node.stderr, "parley: ready")
}

func (c *container) run(args ...string) result {
	c.Helper()
	return command(c, c.env(), nil, c.parley, args...)
}

// env is the environment of the container: the image's, then .env, then compose.yaml's; paths and port are moved to where the test
// may use them.
func (c *container) env() []string {
	c.Helper()
	image := strings.Fields(instruction(c, `ENV (.*)`))
	var file bytes.Buffer
	for _, name := range c.EnvFile {
		data, err := os.ReadFile(filepath.Join(c.folder, name))
		if err != nil {
			c.Fatal(err)
		}
		file.Write(data)
	}
	env := slices.Concat(c.world.env(), image, regexp.MustCompile(`(?m)^[A-Z_]+=.*$`).FindAllString(file.String(), -1))
	for key, value := range c.Environment {
		env = append(env, key+"="+value)
	}
	moved := strings.NewReplacer("=/data", "="+filepath.Join(c.dir, "data"), "=/run/secrets/", "="+filepath.Join(c.folder, "secrets")+"/")
	for i := range env {
		env[i] = moved.Replace(env[i])
	}
	return append(env, "PARLEY_NODE_LISTEN=/ip4/127.0.0.1/tcp/"+strconv.Itoa(c.port))
}

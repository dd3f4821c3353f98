package argv

import (
	"fmt"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"parley/chat"
)

// Completing reports whether a shell's completion of the library calls us. It would run the command.
func Completing(args []string) bool {
	return len(args) > 0 && args[len(args)-1] == "--generate-bash-completion"
}

// Arrange puts a command line into the order that the library understands: flags of the program, command, its flags, "--", and
// the rest; and "send --help" and "net help send" into "help -- send" and "help -- net send". So flags may stand anywhere before a "--" of the person's own, and what begins with a dash is a flag of the command,
// or an error, and never part of a message. A time is checked, and days, which the library does not know, become hours. The errors are usage errors.
func Arrange(root *cli.App, args []string) ([]string, error) {
	w := &walk{root: root, commands: root.Commands, flags: root.Flags}
	for i := 1; i < len(args); i++ {
		if args[i] == "--" {
			w.words = append(w.words, args[i+1:]...)
			break
		}
		used, err := w.take(args[i], args[i+1:])
		if err != nil {
			return nil, err
		}
		i += used
	}
	if len(w.commands) > 0 && len(w.words) > 0 && !w.help {
		return nil, w.unknownCommand(w.words[0])
	}
	return w.line(args), nil
}

// walk is how far Arrange has come.
type walk struct {
	root     *cli.App
	commands []*cli.Command // that may follow
	flags    []cli.Flag     // of the command so far
	path     []string
	global   []string
	local    []string
	words    []string
	help     bool // asked for, instead of what the line says
}

func (w *walk) line(args []string) []string {
	if w.help {
		w.path, w.local, w.words = []string{"help"}, nil, w.path
	}
	line := slices.Concat(args[:min(1, len(args))], w.global, w.path, w.local)
	if len(w.words) > 0 {
		line = append(append(line, "--"), w.words...)
	}
	return line
}

// take handles one argument, and says how many of the rest belong to it.
func (w *walk) take(arg string, rest []string) (used int, err error) {
	if arg == "-" || !strings.HasPrefix(arg, "-") {
		return 0, w.word(arg)
	}
	if arg == "-h" || arg == "--help" {
		w.help = true
		return 0, nil
	}
	name, value, assigned := strings.Cut(arg, "=")
	flag, global := w.find(name)
	switch {
	case flag == nil:
		return 0, w.unknownFlag(name)
	case !assigned && takesValue(flag):
		if len(rest) == 0 || strings.HasPrefix(rest[0], "--") {
			return 0, Usage(name+" needs a value", w.helpCommand())
		}
		value, assigned, used = rest[0], true, 1
	}
	arg = "--" + flag.Names()[0]
	if _, ok := flag.(*cli.DurationFlag); ok {
		d, err := span(value)
		if err != nil {
			return 0, Usage(fmt.Sprintf("%s is %.40q: want a time like 30m, 24h or 7d", arg, value), w.helpCommand())
		}
		value = d.String()
	}
	if assigned {
		arg += "=" + value
	}
	if global {
		w.global = append(w.global, arg)
	} else {
		w.local = append(w.local, arg)
	}
	return used, nil
}

func (w *walk) word(arg string) error {
	if len(w.commands) == 0 {
		w.words = append(w.words, arg)
		return nil
	}
	for _, c := range w.commands {
		if c.HasName(arg) {
			w.path, w.commands, w.flags = append(w.path, c.Name), c.Subcommands, c.Flags
			return nil
		}
	}
	if arg == "help" { // of a group: the program has a command of that name
		w.help = true
		return nil
	}
	return w.unknownCommand(arg)
}

// find looks a flag up among those of the command, and then of the program. One dash goes with one letter, two with more.
func (w *walk) find(name string) (f cli.Flag, global bool) {
	bare := strings.TrimLeft(name, "-")
	if dashes := len(name) - len(bare); bare == "" || dashes != 1+min(1, len(bare)-1) {
		return nil, false
	}
	named := func(f cli.Flag) bool { return slices.Contains(f.Names(), bare) }
	if i := slices.IndexFunc(w.flags, named); i >= 0 && len(w.path) > 0 {
		return w.flags[i], false
	}
	if i := slices.IndexFunc(w.root.Flags, named); i >= 0 {
		return w.root.Flags[i], true
	}
	return nil, false
}

func takesValue(f cli.Flag) bool {
	v, ok := f.(cli.DocGenerationFlag)
	return ok && v.TakesValue()
}

func (w *walk) unknownFlag(name string) error {
	if len(w.path) > 0 && len(w.commands) == 0 && (w.takesText() || !strings.HasPrefix(name, "--")) {
		return Usage(fmt.Sprintf("%s is no flag of %s%s; a text that begins with a dash goes after --",
			name, w.name(), Suggest(name, w.flagNames())), w.helpCommand())
	}
	return Usage(fmt.Sprintf("%s is no flag of %s%s", name, w.name(), Suggest(name, w.flagNames())), w.helpCommand())
}

func (w *walk) takesText() bool { return w.path[len(w.path)-1] == "send" }

func (w *walk) unknownCommand(name string) error {
	var names []string
	for _, c := range w.commands {
		names = append(names, c.Name)
	}
	return Usage(fmt.Sprintf("%q is no command of %s%s", name, w.name(), Suggest(name, names)), w.helpCommand())
}

func (w *walk) name() string { return strings.Join(append([]string{"parley"}, w.path...), " ") }

func (w *walk) helpCommand() string { return w.name() + " --help" }

func (w *walk) flagNames() []string {
	var names []string
	for _, f := range slices.Concat(w.flags, w.root.Flags) {
		names = append(names, "--"+f.Names()[0])
	}
	return names
}

// Usage returns the error of a command line that cannot be run.
func Usage(detail, try string) error {
	return &chat.Error{Code: chat.CodeInvalid, Detail: detail, Try: try}
}

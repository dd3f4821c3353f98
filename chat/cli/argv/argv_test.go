package argv_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/urfave/cli/v2"

	"parley/chat"
	"parley/chat/cli/argv"
)

// program has the shapes that parley has: flags of its own, commands that take text, groups.
func program() *cli.App {
	json := &cli.BoolFlag{Name: "json"}
	return &cli.App{
		Flags: []cli.Flag{&cli.StringFlag{Name: "home"}},
		Commands: []*cli.Command{
			{Name: "send", Flags: []cli.Flag{json, &cli.DurationFlag{Name: "timeout"}, &cli.StringFlag{Name: "wait"}}},
			{Name: "init", Flags: []cli.Flag{&cli.StringFlag{Name: "join"}, &cli.BoolFlag{Name: "yes", Aliases: []string{"y"}}}},
			{Name: "help"},
			{Name: "status", Flags: []cli.Flag{json}},
			{Name: "contact", Subcommands: []*cli.Command{
				{Name: "add", Flags: []cli.Flag{json, &cli.StringFlag{Name: "as"}}},
				{Name: "list", Flags: []cli.Flag{json}},
			}},
		},
	}
}

func TestCommandLinesAreArranged(t *testing.T) {
	for line, want := range map[string]string{
		"send bob hi":                       "send -- bob hi",
		"send bob hi --json":                "send --json -- bob hi",
		"send --json bob hi":                "send --json -- bob hi",
		"send bob --json hi":                "send --json -- bob hi",
		"send bob --timeout 5s hi":          "send --timeout=5s -- bob hi",
		"send bob --timeout=5s hi":          "send --timeout=5s -- bob hi",
		"send bob -- --json":                "send -- bob --json",
		"send bob --json -- -- x":           "send --json -- bob -- x",
		"send -- bob --wait read":           "send -- bob --wait read",
		"send bob -":                        "send -- bob -",
		"send bob --timeout 7d hi":          "send --timeout=168h0m0s -- bob hi",
		"send bob --timeout=1h30m hi":       "send --timeout=1h30m0s -- bob hi",
		"send bob --timeout 0 hi":           "send --timeout=0s -- bob hi",
		"send bob a=b":                      "send -- bob a=b",
		"--home /x send bob hi":             "--home=/x send -- bob hi",
		"send bob hi --home /x":             "--home=/x send -- bob hi",
		"send --home=/x --json bob hi":      "--home=/x send --json -- bob hi",
		"send bob --json=false hi":          "send --json=false -- bob hi",
		"init -y --join -":                  "init --yes --join=-",
		"init --join parley:J1ABC --yes":    "init --join=parley:J1ABC --yes",
		"contact add parley:C1 --as Bob":    "contact add --as=Bob -- parley:C1",
		"contact --home /x add --json LINK": "--home=/x contact add --json -- LINK",
		"contact add -h":                    "help -- contact add",
		"contact help":                      "help -- contact",
		"contact help add":                  "help -- contact add",
		"contact add help":                  "contact add -- help",
		"send help":                         "send -- help",
		"help send":                         "help -- send",
		"contact":                           "contact",
		"--help":                            "help",
		"send bob -h --json":                "help -- send",
		"--home /x contact --help":          "--home=/x help -- contact",
		"":                                  "",
	} {
		got, err := argv.Arrange(program(), append([]string{"parley"}, strings.Fields(line)...))
		if err != nil {
			t.Errorf("%s: %v", line, err)
		} else if rest := strings.Join(got[1:], " "); got[0] != "parley" || rest != want {
			t.Errorf("%s\n  became %s\n  want   %s", line, rest, want)
		}
	}
}

func TestWrongCommandLinesAreUsageErrors(t *testing.T) {
	for line, says := range map[string]string{
		"send bob --urgent":           "--urgent is no flag of parley send",
		"send bob --jsno":             "did you mean --json?",
		"send bob hi --Wait read":     "did you mean --wait?",
		"send bob -5":                 "a text that begins with a dash goes after --",
		"send bob --- rule":           "--- is no flag",
		"send bob -json":              "-json is no flag",
		"send bob --timeout soon hi":  `--timeout is "soon": want a time like 30m, 24h or 7d`,
		"send bob --timeout 1.5d hi":  "want a time",
		"send bob --timeout= hi":      "want a time",
		"send bob --timeout -1d hi":   "want a time",
		"send bob --timeout 99999d x": "want a time",
		"send bob --timeout":          "--timeout needs a value",
		"send bob --wait --json":      "--wait needs a value",
		"status -v":                   "-v is no flag of parley status",
		"--json status":               "--json is no flag of parley",
		"sned bob hi":                 `"sned" is no command of parley; did you mean send?`,
		"xyzzy":                       `"xyzzy" is no command of parley`,
		"contact remove bob":          `"remove" is no command of parley contact`,
		"contact lsit":                "did you mean list?",
		"contact -- add":              `"add" is no command of parley contact`,
		"-- send bob":                 `"send" is no command of parley`,
		"send bob \u001b[2J --\u001b": "is no flag",
	} {
		_, err := argv.Arrange(program(), append([]string{"parley"}, strings.Fields(line)...))
		var e *chat.Error
		if !errors.As(err, &e) || e.Code != chat.CodeInvalid || !strings.Contains(e.Detail, says) || !strings.HasSuffix(e.Try, "--help") {
			t.Errorf("%s: want it to say %q, got %v", line, says, err)
		}
	}
}

func TestArrangeLeavesTheArgumentsAlone(t *testing.T) {
	args := []string{"parley", "send", "bob", "hi", "--json"}
	before := slices.Clone(args)
	if _, err := argv.Arrange(program(), args); err != nil || !slices.Equal(args, before) {
		t.Fatalf("%v became %v (%v)", before, args, err)
	}
}

func TestCompletionOfTheLibraryIsSeen(t *testing.T) {
	if !argv.Completing([]string{"parley", "send", "bob", "--generate-bash-completion"}) || argv.Completing([]string{"parley"}) || argv.Completing(nil) {
		t.Fatal("a shell that completes a command would run it")
	}
}

// Whatever is typed, a word of the message that begins with two dashes stood behind a "--" of the person's own.
func FuzzNoFlagIsEverText(f *testing.F) {
	for _, line := range []string{
		"send bob hi", "send bob --urgent", "send bob -- --urgent", "send --wait read bob --json=true x", "send -- -- --", "send bob --wait -- --x",
		"--home x send bob --home --y", "contact add --as -- x", "send bob - -5 --timeout 5", "init --join - -y", "help --x", "send --help --x",
	} {
		f.Add(line)
	}
	f.Fuzz(func(t *testing.T, line string) {
		args := append([]string{"parley"}, strings.Split(line, " ")...)
		own := slices.Index(args, "--")
		if own < 0 {
			own = len(args)
		}
		got, err := argv.Arrange(program(), args)
		if err != nil {
			return
		}
		words := []string(nil)
		if i := slices.Index(got, "--"); i >= 0 {
			words = got[i+1:]
		}
		behind := args[min(own+1, len(args)):]
		for i, word := range words {
			isOwn := len(words)-i <= len(behind)
			if strings.HasPrefix(word, "-") && word != "-" && !isOwn {
				t.Fatalf("%q became %q: %q is text now", args, got, word)
			}
		}
		if len(behind) > 0 && !slices.Equal(words[len(words)-len(behind):], behind) {
			t.Fatalf("%q became %q: what stood behind -- changed", args, got)
		}
	})
}

func TestSuggestionsAreNearOrNone(t *testing.T) {
	names := []string{"history", "status", "send", "recv", "net"}
	for typed, want := range map[string]string{
		"histroy": "history", "HISTORY": "history", "stauts": "status", "sen": "send", "resv": "recv", "nte": "net",
		"xyzzy": "", "": "", "s": "", "everything": "",
	} {
		got := argv.Suggest(typed, names)
		if want == "" && got != "" || want != "" && got != "; did you mean "+want+"?" {
			t.Errorf("%q: got %q, want %q", typed, got, want)
		}
	}
}

func TestTextsThatNobodyWouldTake(t *testing.T) {
	for name, c := range map[string]struct {
		text string
		code chat.Code
	}{
		"empty": {"", chat.CodeInvalid}, "blank": {" \n\t", chat.CodeInvalid}, "bytes": {"\xff", chat.CodeInvalid},
		"long": {strings.Repeat("x", chat.MaxText+1), chat.CodeLimit},
	} {
		err := argv.CheckText(c.text)
		if chat.CodeOf(err) != c.code || !strings.Contains(err.Error(), "nothing was sent") {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, text := range []string{"hi", "--flag", strings.Repeat("x", chat.MaxText), "日本"} {
		if err := argv.CheckText(text); err != nil {
			t.Errorf("%.20q: %v", text, err)
		}
	}
}

func contact(t *testing.T, name string) chat.Contact {
	t.Helper()
	id, err := chat.NewIdentity("phone")
	if err != nil {
		t.Fatal(err)
	}
	return chat.Contact{Account: id.Account(), Name: name}
}

func TestTargetsNameOneContact(t *testing.T) {
	bob, carol, upper := contact(t, "bob"), contact(t, "Carol"), contact(t, "CAROL")
	all := []chat.Contact{bob, carol, upper}
	for target, want := range map[string]chat.Contact{
		"bob": bob, "@bob": bob, "BOB": bob, "Carol": carol, "CAROL": upper, "@CAROL": upper,
		bob.Account.String(): bob, bob.Account.Short(): bob, strings.ToUpper(bob.Account.Short()): bob,
		strings.ReplaceAll(carol.Account.Short(), "-", ""): carol,
		bob.Account.Short()[:9]:                            bob, strings.ToUpper(carol.Account.Short()[:14]): carol,
	} {
		if got, err := argv.Resolve(all, target); err != nil || got.Account != want.Account {
			t.Errorf("%s: got %s (%v), want %s", target, got.Name, err, want.Name)
		}
	}
}

func TestTargetIsNeverGuessed(t *testing.T) {
	bob, carol, upper := contact(t, "bob"), contact(t, "Carol"), contact(t, "CAROL")
	all := []chat.Contact{bob, carol, upper}
	for target, says := range map[string]string{
		"bobb": `no contact "bobb"; did you mean bob?`, "zoe": `no contact "zoe"`, "": `no contact ""`,
		"carol": `"carol" is more than one contact: Carol (` + carol.Account.Short(), bob.Account.Short()[:4]: "no contact",
	} {
		_, err := argv.Resolve(all, target)
		if chat.CodeOf(err) != chat.CodeTarget || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: want it to say %q, got %v", target, says, err)
		}
	}
}

// Mallory's node tells Bob's that her name is how Alice's id begins.
func TestTheBeginningOfAnIDIsAmbiguousWhereItIsSomebodysName(t *testing.T) {
	alice := contact(t, "Alice")
	begin := alice.Account.Short()[:9]
	_, err := argv.Resolve([]chat.Contact{contact(t, begin), alice}, begin)
	if chat.CodeOf(err) != chat.CodeTarget || !strings.Contains(err.Error(), "more than one contact") {
		t.Errorf("got %v", err)
	}
}

// Mallory's node tells Bob's that her name is Alice's id.
func TestAnIDNeverLeadsToWhoeverIsNamedLikeIt(t *testing.T) {
	alice, mallory := chat.AccountID{1}, chat.AccountID{2}
	contacts := []chat.Contact{{Account: mallory, Name: alice.Short()}, {Account: alice, Name: "Alice"}}
	for _, target := range []string{alice.Short(), "@" + strings.ToUpper(alice.Short()), strings.ReplaceAll(alice.Short(), "-", ""), alice.String()} {
		if got, err := argv.Resolve(contacts, target); err != nil || got.Account != alice {
			t.Errorf("%s leads to %s, %v", target, got.Name, err)
		}
	}
}

func TestRequestsAreNamedLikeContacts(t *testing.T) {
	bob, carol, gone := contact(t, "Bob"), contact(t, "Carol"), contact(t, "Dave")
	requests := []chat.Request{
		{Account: bob.Account, Name: "Bob", State: chat.RequestPending},
		{Account: carol.Account, Name: "Carol", State: chat.RequestPending},
		{Account: gone.Account, Name: "Dave", State: chat.RequestRejected},
		{Account: chat.AccountID{1}, Name: "bob", State: chat.RequestPending},
	}
	for _, target := range []string{"carol", "@Carol", carol.Account.Short(), carol.Account.Short()[:9], carol.Account.String()} {
		if r, err := argv.ResolveRequest(requests, chat.RequestPending, target); err != nil || r.Account != carol.Account {
			t.Errorf("%q is %v, %v", target, r.Account.Short(), err)
		}
	}
	if r, err := argv.ResolveRequest(requests, chat.RequestRejected, "dave"); err != nil || r.Account != gone.Account {
		t.Errorf("who was turned away is %v, %v", r, err)
	}
	for _, target := range []string{"BOB", "dave", "zoe", ""} {
		var e *chat.Error
		if _, err := argv.ResolveRequest(requests, chat.RequestPending, target); !errors.As(err, &e) || e.Code != chat.CodeTarget || e.Try != "parley contact requests" {
			t.Errorf("%q: %v", target, err)
		}
	}
}

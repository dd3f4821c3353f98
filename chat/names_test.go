package chat

import (
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

func TestCleanTextShowsTextAndNothingElse(t *testing.T) {
	for in, want := range map[string]string{
		"hello":                            "hello",
		"two\nlines":                       "two\nlines",
		"a\tb\rc\x00d\x7f":                 "a bcd",
		"\x1b[31mred\x1b[0m":               "red",
		"\x1b]0;title\x07after":            "after",
		"\x1b]8;;http://x\x1b\\link":       "link",
		"\x1bP1$r\x1b\\x":                  "x",
		"\u009b31mred":                     "red",
		"\u009d0;t\u009cx":                 "x",
		"\x1b[31\nnext":                    "\nnext",
		"\x1b]52;never ends\nnext":         "\nnext",
		"\x1b":                             "",
		"\x1bc\x1b(Bx":                     "Bx",
		"日本 é 🙂":                           "日本 é 🙂",
		"👩\u200d👩\u200d👧":                  "👩\u200d👩\u200d👧",
		"a\u200bb\ufeffc\u200dd":           "a·b·c·d",
		"\ue000":                           "·",
		"\u202egnp.exe":                    "\u2068\u202egnp.exe\u2069",
		"\u2069\u2069x\u2067y":             "\u2068x\u2067y\u2069\u2069",
		"\xff\xfe":                         "\uFFFD",
		"e" + strings.Repeat("\u0301", 20): "e" + strings.Repeat("\u0301", 8),
	} {
		if got := CleanText(in); got != want {
			t.Errorf("CleanText(%+q) = %+q, want %+q", in, got, want)
		}
	}
}

func TestNamesThatCannotBeUsed(t *testing.T) {
	for _, good := range []string{"Bob", "Bob Builder", "böb", "日本", "o'neil", "x", strings.Repeat("x", MaxName), "7q3k-m2fd"} {
		if err := CheckName("name", good); err != nil {
			t.Errorf("%q: %v", good, err)
		}
	}
	for _, bad := range []string{
		"", " ", " bob", "bob ", "a\nb", "a\x1b[2Jb", "\x00", "-bob", "@bob", "#bob", "/bob", "bob✔", "me", "ME", "\u202ebob", "b\u200dob",
		"a\u200bb", "\xff", "Bob\ufe0f", "Bob\U000e0101", "Bob\u17b4", "Bob\u2065", "Al\u00a0ice", "\ufe0f\ufe0f", "Bob\ufffe",
		"7q3k-m2fd-9xwa-tt5c", "7Q3KM2FD9XWATT5C", "7q3k-m2fd9xwa-tt5c", strings.Repeat("x", MaxName+1),
	} {
		err := CheckName("name", bad)
		if CodeOf(err) != CodeInvalid || strings.ContainsAny(err.Error(), "\n\x1b\x00") {
			t.Errorf("%q: %v, want one clean line", bad, err)
		}
	}
}

func TestMarksAreCappedWhateverStandsBetween(t *testing.T) {
	storm := "a" + strings.Repeat(strings.Repeat("\u0301", 8)+"\u200d\u200e", 50)
	if n := strings.Count(CleanText(storm), "\u0301"); n > maxMarks {
		t.Errorf("%d marks on one letter", n)
	}
}

func TestTwoSpellingsAreOneName(t *testing.T) {
	for _, twin := range []string{"JOSÉ", "jose\u0301", "Ｊｏｓé"} {
		if nameKey(twin) != nameKey("José") {
			t.Errorf("%q and José are two names", twin)
		}
	}
}

func TestTruncateCutsBetweenCharacters(t *testing.T) {
	for n := range 12 {
		got := truncate("日本 é", n)
		if len(got) > n || !utf8.ValidString(got) || !strings.HasPrefix("日本 é", got) {
			t.Errorf("truncate to %d = %q", n, got)
		}
	}
}

func FuzzCleanText(f *testing.F) {
	for _, s := range []string{"hello", "\x1b[31m", "\u202e\u2069", "\x9b", "e\u0301\u0301", "\u200d\u200c"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got := CleanText(s)
		if !utf8.ValidString(got) || strings.Count(got, "\n") != strings.Count(s, "\n") {
			t.Fatalf("CleanText(%q) = %q: not text, or other lines", s, got)
		}
		for _, line := range strings.Split(got, "\n") {
			depth := 0
			for _, r := range line {
				switch {
				case unicode.IsControl(r):
					t.Fatalf("CleanText(%q) keeps %U", s, r)
				case r == pdi:
					depth--
				case r >= '\u2066' && r <= '\u2068':
					depth++
				}
				if depth < 0 {
					t.Fatalf("CleanText(%q) = %q: closes what it did not open", s, got)
				}
			}
			if depth != 0 {
				t.Fatalf("CleanText(%q) = %q: leaves an isolate open", s, got)
			}
		}
		if again := CleanText(got); !strings.ContainsFunc(got, isDirection) && again != got {
			t.Fatalf("CleanText(%q) = %q, cleaned again %q", s, got, again)
		}
	})
}

package line

import (
	"bytes"
	"strings"
	"sync"
)

const (
	pasteStart = "\x1b[200~"
	pasteEnd   = "\x1b[201~"
	focusIn    = "\x1b[I"
	focusOut   = "\x1b[O"
	altEnter   = "\x1b\r"
	escape     = 0x1b
	suspend    = 0x1a // ^Z: the shell would get a terminal in raw mode
)

// Signs that stand in the edited line for what cannot stand there. They are from a private plane that nobody types.
const (
	signNewline   = '\U0010F00A'
	signTab       = '\U0010F009'
	signPaste     = '\U0010F100' // and the maxPastes-1 after it: one long paste each
	signPasteLast = signPaste + maxPastes - 1
)

// keys turns what a terminal sends into what the line editor may see: pastes become signs, and what the terminal reports about
// itself is taken out.
type keys struct {
	in      *input
	turn    *turn
	onKey   func()
	onFocus func(bool)

	held  []byte // the beginning of an escape sequence that may be one of ours
	paste []byte // the paste that is coming in
	inner bool   // a paste is coming in
	out   bytes.Buffer
	read  [readSize]byte

	mu      sync.Mutex // guards the rest
	pastes  [maxPastes]string
	next    int
	answers []byte
}

// Read implements io.Reader for the line editor. It hands over one byte at a time, so that the editor asks again after each key;
// but an answer whole and before any key, because the editor waits for it where nobody else may have their turn.
func (k *keys) Read(p []byte) (int, error) {
	k.turn.end()
	for {
		if n := k.answer(p); n > 0 {
			return n, nil
		}
		if k.out.Len() > 0 {
			k.turn.begin()
			return k.out.Read(p[:1])
		}
		n, err := k.in.Read(k.read[:])
		for _, b := range k.read[:n] {
			k.take(b)
		}
		if err != nil {
			return 0, err
		}
	}
}

// inject makes text, which nobody typed, the next that the line editor reads.
func (k *keys) inject(text string) {
	k.mu.Lock()
	k.answers = append(k.answers, text...)
	k.mu.Unlock()
	k.in.wakeUp()
}

func (k *keys) answer(p []byte) int {
	k.mu.Lock()
	defer k.mu.Unlock()
	n := copy(p, k.answers)
	k.answers = k.answers[n:]
	return n
}

func (k *keys) take(b byte) {
	k.held = append(k.held, b)
	if k.inner {
		k.takePasted()
		return
	}
	switch s := string(k.held); s {
	case pasteStart:
		k.inner, k.paste = true, nil
	case focusIn, focusOut:
		k.onFocus(s == focusIn)
	case altEnter:
		k.out.WriteRune(signNewline)
	default:
		if strings.HasPrefix(pasteStart, s) || strings.HasPrefix(focusIn, s) || strings.HasPrefix(focusOut, s) || strings.HasPrefix(altEnter, s) {
			return
		}
		k.typed()
		return
	}
	k.held = k.held[:0]
}

// typed passes on what is held, but for an Escape at the end: it may begin one of our sequences.
func (k *keys) typed() {
	n := len(k.held)
	if n > 1 && k.held[n-1] == escape {
		n--
	}
	for _, b := range k.held[:n] {
		if b != suspend {
			k.out.WriteByte(b)
		}
	}
	k.held = append(k.held[:0], k.held[n:]...)
	k.onKey()
}

func (k *keys) takePasted() {
	if strings.HasPrefix(pasteEnd, string(k.held)) {
		if len(k.held) == len(pasteEnd) {
			k.endPaste()
			k.inner, k.held = false, k.held[:0]
		}
		return
	}
	k.keep(k.held[0])
	rest := k.held[1:]
	k.held = nil
	for _, b := range rest { // what looked like the end was not: look again from its second byte
		k.take(b)
	}
}

func (k *keys) keep(b byte) {
	if len(k.paste) < maxPaste {
		k.paste = append(k.paste, b)
	}
}

func (k *keys) endPaste() {
	text := cleanPaste(string(k.paste))
	if text == "" {
		return
	}
	k.onKey()
	if len(text) <= maxInline && strings.Count(text, "\n") < maxInlineLines {
		k.out.WriteString(signs().Replace(text))
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.pastes[k.next%maxPastes] = text
	k.out.WriteRune(signPaste + rune(k.next%maxPastes))
	k.next++
}

// cleanPaste returns the text of a paste: one kind of line end, none after the last line, and nothing that controls a terminal.
func cleanPaste(text string) string {
	text = strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(strings.ToValidUTF8(text, "\uFFFD"))
	text = strings.Map(func(r rune) rune {
		if r < 0x20 && r != '\n' && r != '\t' || r == 0x7f {
			return -1
		}
		return r
	}, text)
	return strings.TrimSuffix(text, "\n")
}

func signs() *strings.Replacer {
	return strings.NewReplacer("\n", string(signNewline), "\t", string(signTab))
}

// expand returns the line with what the signs stand for.
func (k *keys) expand(line string) string {
	k.mu.Lock()
	defer k.mu.Unlock()
	var b strings.Builder
	for _, r := range line {
		switch {
		case r == signNewline:
			b.WriteByte('\n')
		case r == signTab:
			b.WriteByte('\t')
		case r >= signPaste && r <= signPasteLast:
			b.WriteString(k.pastes[r-signPaste])
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

// paint returns the line as it is drawn: one visible sign for each of ours, so that the editor's widths stay right.
func paint(ascii bool) func([]rune, int) []rune {
	newline, paste := '⏎', '▤'
	if ascii {
		newline, paste = '|', '#'
	}
	return func(line []rune, _ int) []rune {
		shown := make([]rune, len(line))
		for i, r := range line {
			switch {
			case r == signNewline:
				r = newline
			case r == signTab:
				r = ' '
			case r >= signPaste && r <= signPasteLast:
				r = paste
			}
			shown[i] = r
		}
		return shown
	}
}

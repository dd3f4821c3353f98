package line

import (
	"bytes"
	"errors"
	"io"
	"strings"

	"parley/chat"
)

// Asker asks a person questions.
type Asker struct{ editor Editor }

// NewAsker asks at an editor that is open.
func NewAsker(e Editor) *Asker { return &Asker{e} }

// Ask returns the answer to a question, without blanks around it, and ErrInterrupt where ^C is the answer.
func (q *Asker) Ask(question string) (string, error) {
	q.editor.SetPrompt(question)
	answer, err := q.editor.Readline()
	if errors.Is(err, io.EOF) {
		return "", &chat.Error{Code: chat.CodeInvalid, Detail: "no answer; nothing was changed"}
	}
	return strings.TrimSpace(answer), err
}

// Secret is Ask without showing the answer.
func (q *Asker) Secret(question string) ([]byte, error) {
	q.editor.Hide(true)
	defer q.editor.Hide(false)
	answer, err := q.Ask(question)
	return []byte(answer), err
}

// Say prints a line.
func (q *Asker) Say(text string) { q.editor.Print(text) }

// Confirm asks a question whose answer is yes unless it is no.
func (q *Asker) Confirm(question string) (bool, error) {
	for {
		answer, err := q.Ask(question + " [Y/n] ")
		if err != nil {
			return false, err
		}
		switch strings.ToLower(answer) {
		case "", "y", "yes":
			return true, nil
		case "n", "no":
			return false, nil
		}
	}
}

// NewPassphrase asks for a passphrase twice. The empty one means none.
func (q *Asker) NewPassphrase() ([]byte, error) {
	for {
		first, err := q.Secret("Passphrase for your key (empty = none): ")
		if err != nil || len(first) == 0 {
			return nil, err
		}
		again, err := q.Secret("again: ")
		if err != nil {
			return nil, err
		}
		if bytes.Equal(first, again) {
			return first, nil
		}
		q.editor.Print("They differ.")
	}
}

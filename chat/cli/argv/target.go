package argv

import (
	"fmt"
	"strings"

	"parley/chat"
)

// Resolve finds the contact that a target names: "@name", "name", an account id, or its short form with or without dashes. An
// id wins, so that nobody is reached under somebody else's; then an exact name; otherwise case is forgiven where that leaves one. It never picks: none, and more than one, are errors with
// CodeTarget.
func Resolve(contacts []chat.Contact, target string) (chat.Contact, error) {
	wanted := strings.TrimPrefix(target, "@")
	for _, c := range contacts {
		if isID(c.Account, wanted) {
			return c, nil
		}
	}
	var near []chat.Contact
	for _, c := range contacts {
		if c.Name == wanted {
			return c, nil
		}
		if strings.EqualFold(c.Name, wanted) {
			near = append(near, c)
		}
	}
	switch len(near) {
	case 1:
		return near[0], nil
	case 0:
		return chat.Contact{}, unknownTarget(contacts, wanted)
	}
	return chat.Contact{}, ambiguous(wanted, near)
}

func isID(a chat.AccountID, wanted string) bool {
	wanted = strings.ToLower(wanted)
	short := a.Short()
	return wanted == short || wanted == strings.ReplaceAll(short, "-", "") || wanted == a.String()
}

func unknownTarget(contacts []chat.Contact, wanted string) error {
	var names []string
	for _, c := range contacts {
		names = append(names, c.Name)
	}
	return &chat.Error{
		Code:   chat.CodeTarget,
		Detail: fmt.Sprintf("no contact %q%s", wanted, Suggest(wanted, names)),
		Try:    "parley contact list",
	}
}

func ambiguous(wanted string, near []chat.Contact) error {
	var list []string
	for _, c := range near {
		list = append(list, fmt.Sprintf("%s (%s)", c.Name, c.Account.Short()))
	}
	return &chat.Error{
		Code:   chat.CodeTarget,
		Detail: fmt.Sprintf("%q is more than one contact: %s", wanted, strings.Join(list, ", ")),
		Try:    "parley contact list",
	}
}

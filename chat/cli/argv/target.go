package argv

import (
	"fmt"
	"slices"
	"strings"

	"parley/chat"
)

// Resolve finds the contact that a target names: "@name" or "name" in any case, an account id, its short form with or without dashes,
// or the first two or three groups of that. A whole id wins, so that nobody is reached under somebody else's; among names an exact one
// does. It never picks: none, and more than one, are errors with CodeTarget.
func Resolve(contacts []chat.Contact, target string) (chat.Contact, error) {
	wanted := strings.TrimPrefix(target, "@")
	near := find(contacts, wanted)
	switch len(near) {
	case 1:
		return near[0], nil
	case 0:
		return chat.Contact{}, unknownTarget(contacts, wanted)
	}
	return chat.Contact{}, ambiguous("contact", wanted, near, "parley contact list")
}

// ResolveRequest is Resolve among those in one state who asked to be contacts.
func ResolveRequest(requests []chat.Request, state chat.RequestState, target string) (chat.Request, error) {
	wanted := strings.TrimPrefix(target, "@")
	var asking []chat.Contact
	for _, r := range requests {
		if r.State == state {
			asking = append(asking, chat.Contact{Account: r.Account, Name: r.Name})
		}
	}
	near := find(asking, wanted)
	switch len(near) {
	case 1:
		i := slices.IndexFunc(requests, func(r chat.Request) bool { return r.Account == near[0].Account })
		return requests[i], nil
	case 0:
		return chat.Request{}, &chat.Error{
			Code: chat.CodeTarget, Detail: fmt.Sprintf("nobody called %q waits for an answer", wanted), Try: "parley contact requests",
		}
	}
	return chat.Request{}, ambiguous("request", wanted, near, "parley contact requests")
}

// find returns everybody whom a target may mean.
func find(contacts []chat.Contact, wanted string) []chat.Contact {
	var exact, folded, begun []chat.Contact
	for _, c := range contacts {
		switch {
		case isID(c.Account, wanted):
			return []chat.Contact{c}
		case c.Name == wanted:
			exact = append(exact, c)
		case strings.EqualFold(c.Name, wanted):
			folded = append(folded, c)
		case beginsID(c.Account, wanted):
			begun = append(begun, c)
		}
	}
	if len(exact) == 0 {
		return append(folded, begun...)
	}
	return append(exact, begun...)
}

func isID(a chat.AccountID, wanted string) bool {
	wanted = strings.ToLower(wanted)
	short := a.Short()
	return wanted == short || wanted == strings.ReplaceAll(short, "-", "") || wanted == a.String()
}

// beginsID reports whether wanted is the first two or three groups of the short form.
func beginsID(a chat.AccountID, wanted string) bool {
	const two, three = len("7q3k-m2fd"), len("7q3k-m2fd-9xwa")
	return (len(wanted) == two || len(wanted) == three) && strings.HasPrefix(a.Short(), strings.ToLower(wanted))
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

func ambiguous(what, wanted string, near []chat.Contact, try string) error {
	var list []string
	for _, c := range near {
		list = append(list, fmt.Sprintf("%s (%s)", c.Name, c.Account.Short()))
	}
	return &chat.Error{
		Code:   chat.CodeTarget,
		Detail: fmt.Sprintf("%q is more than one %s: %s", wanted, what, strings.Join(list, ", ")),
		Try:    try,
	}
}

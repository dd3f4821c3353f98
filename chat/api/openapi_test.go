package api_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"parley/chat"
	"parley/chat/api"
)

// document is openapi.json as a node serves it.
type document struct{ root map[string]any }

func (r *running) document() document {
	r.t.Helper()
	resp, body := r.ask("GET", "/api/v1/openapi.json", "")
	var d document
	if err := json.Unmarshal(body, &d.root); err != nil || resp.StatusCode != http.StatusOK {
		r.t.Fatalf("%s %v", resp.Status, err)
	}
	return d
}

// at walks into the document, through references.
func (d document) at(node map[string]any, path ...string) map[string]any {
	for _, key := range path {
		node, _ = node[key].(map[string]any)
		if ref, ok := node["$ref"].(string); ok {
			node = d.at(d.root, strings.Split(strings.TrimPrefix(ref, "#/"), "/")...)
		}
	}
	return node
}

func TestEveryRouteIsInTheDocumentAndTheReverse(t *testing.T) {
	d := serve(t, newTown(t).alice).document()
	var documented, served []string
	ids := map[string]bool{}
	for path, operations := range d.at(d.root, "paths") {
		for method, operation := range operations.(map[string]any) {
			documented = append(documented, strings.ToUpper(method)+" "+path)
			ids[operation.(map[string]any)["operationId"].(string)] = true
		}
	}
	for _, r := range api.Routes() {
		served = append(served, r[0]+" "+r[1])
	}
	slices.Sort(documented)
	slices.Sort(served)
	if !slices.Equal(documented, served) {
		t.Errorf("documented:\n%s\nserved:\n%s", strings.Join(documented, "\n"), strings.Join(served, "\n"))
	}
	if len(ids) != len(served) {
		t.Errorf("%d operation ids for %d routes", len(ids), len(served))
	}
}

func TestEveryReferenceLeadsSomewhere(t *testing.T) {
	d := serve(t, newTown(t).alice).document()
	used := map[string]bool{}
	var walk func(any)
	walk = func(v any) {
		switch v := v.(type) {
		case []any:
			for _, item := range v {
				walk(item)
			}
		case map[string]any:
			if ref, ok := v["$ref"].(string); ok {
				used[ref] = true
				if d.at(map[string]any{"x": v}, "x") == nil {
					t.Errorf("%s leads nowhere", ref)
				}
			}
			for _, item := range v {
				walk(item)
			}
		}
	}
	walk(d.root)
	for kind, named := range d.at(d.root, "components") {
		for name := range named.(map[string]any) {
			if ref := "#/components/" + kind + "/" + name; !used[ref] {
				t.Errorf("%s is used nowhere", ref)
			}
		}
	}
}

// asked is one question to Alice's node, and the status of its answer.
type asked struct {
	method, route, path, body string
	status                    int
}

// aboutTheNetwork asks for everything about invites, members and the network's key.
func (w town) aboutTheNetwork() []asked {
	return []asked{
		{"POST", "/invites", "/invites", "{}", 201},
		{"POST", "/invites", "/invites", `{"for":"Dave","uses":2,"ttl":"1h"}`, 201},
		{"POST", "/invites", "/invites", `{"ttl":"soon"}`, 400},
		{"POST", "/invites", "/invites", `{"ttl":"0s"}`, 400},
		{"GET", "/invites", "/invites", "", 200},
		{"DELETE", "/invites/{id}", "/invites/01010200", "", 200},
		{"DELETE", "/invites/{id}", "/invites/ffff", "", 404},
		{"GET", "/members", "/members", "", 200},
		{"GET", "/network/key", "/network/key", "", 200},
		{"POST", "/network/key/end", "/network/key/end", "{}", 403},
		{"POST", "/network/key/rotate", "/network/key/rotate", `{"grace":"soon"}`, 400},
		{"POST", "/network/key/rotate", "/network/key/rotate", `{"grace":"0s"}`, 400},
		{"POST", "/network/key/rotate", "/network/key/rotate", `{"grace":"1h"}`, 200},
		{"POST", "/network/key/rotate", "/network/key/rotate", `{}`, 403},
		{"GET", "/network/key", "/network/key", "", 200},
		{"POST", "/network/key/end", "/network/key/end", "{}", 200},
		{"POST", "/members/{account}/revoke", "/members/" + w.carol.Account().String() + "/revoke", `{"with_invited":true}`, 200},
		{"POST", "/members/{account}/revoke", "/members/carol/revoke", `{}`, 400},
		{"GET", "/members", "/members", "", 200},
	}
}

func TestAnswersAreAsDocumented(t *testing.T) {
	w := newTown(t)
	w.says(t, "one")
	w.Part(w.alice, w.bob)
	stuck, failed := w.says(t, "two"), w.says(t, "three")
	w.alice.Fail(failed.ID, "key refused")
	w.alice.Lose(1)
	back, err := w.bob.Send(t.Context(), chat.Draft{Conversation: w.with, Text: "four"})
	if err != nil {
		t.Fatal(err)
	}
	w.Meet(w.alice, w.bob)
	w.Part(w.alice, w.bob)
	people := w.aboutPeople(t)
	r := serve(t, w.alice)
	d := r.document()
	waits := w.says(t, "five")
	history, message := "/conversations/"+w.with.String()+"/messages", "/messages/"+stuck.ID.String()
	r.answersAreDocumented(d, append(append(people, w.aboutTheNetwork()...), []asked{
		{"GET", "/openapi.json", "/openapi.json", "", 200},
		{"GET", "/version", "/version", "", 200},
		{"GET", "/status", "/status", "", 200},
		{"GET", "/peers", "/peers", "", 200},
		{"GET", "/conversations", "/conversations", "", 200},
		{"GET", "/conversations/{conversation}/messages", history + "?limit=2", "", 200},
		{"GET", "/conversations/{conversation}/messages", history, "", 200},
		{"PUT", "/conversations/{conversation}/messages/{client_id}", history + "/c1", `{"text":"x"}`, 201},
		{"PUT", "/conversations/{conversation}/messages/{client_id}", history + "/c1?wait=sent&timeout=0s", `{"text":"x"}`, 202},
		{"PUT", "/conversations/{conversation}/messages/{client_id}", history + "/c1?wait=queued", `{"text":"x"}`, 200},
		{"PUT", "/conversations/{conversation}/messages/{client_id}", history + "/c1", `{"text":"y"}`, 409},
		{"POST", "/conversations/{conversation}/messages", history, `{"items":[{"text":"x","client_id":"c1"},{"text":"z"}]}`, 201},
		{"POST", "/conversations/{conversation}/messages", history, `{"items":[{"text":"y","client_id":"c1"}]}`, 409},
		{"POST", "/conversations/{conversation}/messages", "/conversations/x/messages", `{"items":[]}`, 400},
		{"PUT", "/mailboxes", "/mailboxes", `{"hosts":["` + w.bobDevice(t) + `"]}`, 200},
		{"GET", "/mailboxes", "/mailboxes", "", 200},
		{"GET", "/status", "/status", "", 200},
		{"PUT", "/mailboxes", "/mailboxes", `{}`, 400},
		{"PUT", "/mailboxes", "/mailboxes", `{"hosts":["bob"]}`, 400},
		{"PUT", "/mailboxes", "/mailboxes", `{"hosts":[],"automatic":true}`, 400},
		{"PUT", "/mailboxes", "/mailboxes", `{"automatic":true}`, 200},
		{"GET", "/messages/{id}/info", message + "/info", "", 200},
		{"GET", "/messages/{id}/info", "/messages/" + back.ID.String() + "/info", "", 200},
		{"GET", "/messages/{id}/info", "/messages/x/info", "", 400},
		{"GET", "/messages/unread", "/messages/unread", "", 200},
		{"POST", "/messages/read", "/messages/read", `{"ids":["` + back.ID.String() + `"]}`, 200},
		{"GET", "/messages/{id}", message, "", 200},
		{"GET", "/messages/{id}", "/messages/" + waits.ID.String() + "?wait=read&timeout=0s", "", 202},
		{"GET", "/messages/{id}", "/messages/" + failed.ID.String() + "?wait=read", "", 403},
		{"GET", "/events", "/events?poll=5s", "", 200},
		{"DELETE", "/contacts/{account}", "/contacts/" + w.bob.Account().String(), "", 200},
		{"DELETE", "/contacts/{account}", "/contacts/" + w.bob.Account().String(), "", 404},
		{"DELETE", "/contacts/{account}", "/contacts/bob", "", 400},
		{"GET", "/events", "/events?poll=5s", "", 200},
		{"POST", "/shutdown", "/shutdown", "{}", 403},
	}...))
}

// bobDevice returns the id of Bob's device.
func (w town) bobDevice(t *testing.T) string {
	t.Helper()
	st, err := w.bob.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return st.Device.String()
}

// aboutPeople returns questions about Alice's contacts, and about Dave and Erin, who want to be some.
func (w town) aboutPeople(t *testing.T) []asked {
	t.Helper()
	dave, erin := w.Node("Dave"), w.Node("Erin")
	own, err1 := w.alice.ContactLink(t.Context())
	link, err2 := w.carol.ContactLink(t.Context())
	_, err3 := dave.AddContact(t.Context(), own.Link, "")
	_, err4 := erin.AddContact(t.Context(), own.Link, "")
	if err := errors.Join(err1, err2, err3, err4); err != nil {
		t.Fatal(err)
	}
	contact, request := "/contacts/"+w.bob.Account().String(), "/requests/"+dave.Account().String()
	return []asked{
		{"POST", "/contacts", "/contacts", `{"link":"` + link.Link + `"}`, 200},
		{"POST", "/contacts", "/contacts", `{"link":"x"}`, 400},
		{"GET", "/contacts/link", "/contacts/link", "", 200},
		{"POST", "/contacts/link/reset", "/contacts/link/reset", "{}", 200},
		{"GET", "/requests", "/requests", "", 200},
		{"POST", "/requests/{account}/accept", request + "/accept", `{"name":"dave"}`, 200},
		{"POST", "/requests/{account}/accept", "/requests/x/accept", `{}`, 400},
		{"POST", "/requests/{account}/reject", "/requests/" + erin.Account().String() + "/reject", "{}", 200},
		{"POST", "/contacts/{account}/block", contact + "/block", "{}", 200},
		{"PUT", "/conversations/{conversation}/messages/{client_id}", w.path("c0")[len("/api/v1"):], `{"text":"x"}`, 403},
		{"POST", "/contacts/{account}/unblock", contact + "/unblock", "{}", 200},
		{"GET", "/contacts/{account}/safety-number", contact + "/safety-number", "", 200},
		{"PUT", "/contacts/{account}/trust", contact + "/trust", `{"trust":"verified"}`, 200},
		{"POST", "/contacts/{account}/introduce", contact + "/introduce", `{"to":"` + dave.Account().String() + `"}`, 200},
		{"PUT", "/contacts/{account}/receipts", contact + "/receipts", `{"receipts":"off"}`, 200},
		{"PUT", "/contacts/{account}/receipts", "/contacts/x/receipts", `{"receipts":"off"}`, 400},
		{"PUT", "/receipts", "/receipts", `{"receipts":"off"}`, 200},
		{"PUT", "/receipts", "/receipts", `{"receipts":"perhaps"}`, 400},
		{"GET", "/contacts", "/contacts", "", 200},
	}
}

// answersAreDocumented asks everything, and holds each answer against the document. Every route must be among what is asked.
func (r *running) answersAreDocumented(d document, questions []asked) {
	r.t.Helper()
	seen := map[string]bool{}
	for _, q := range questions {
		resp, body := r.ask(q.method, "/api/v1"+q.path, q.body)
		if resp.StatusCode != q.status {
			r.t.Errorf("%s %s: %s %s", q.method, q.path, resp.Status, body)
			continue
		}
		seen[q.method+" "+q.route] = true
		for _, wrong := range d.checkAnswer(q.method, q.route, resp, body) {
			r.t.Errorf("%s %s: %s", q.method, q.path, wrong)
		}
	}
	if len(seen) != len(api.Routes()) {
		r.t.Errorf("only %v were tried", slices.Sorted(maps.Keys(seen)))
	}
}

// checkAnswer says what in an answer is not as documented.
func (d document) checkAnswer(method, route string, resp *http.Response, body []byte) []string {
	operation := d.at(d.root, "paths", route, strings.ToLower(method))
	answer := d.at(operation, "responses", fmt.Sprint(resp.StatusCode))
	if answer == nil {
		answer = d.at(operation, "responses", "default")
	}
	media := resp.Header.Get("Content-Type")
	schema := d.at(answer, "content", media, "schema")
	if schema == nil {
		return []string{fmt.Sprintf("%s of %s is not documented", resp.Status, media)}
	}
	var v any
	if err := json.Unmarshal(body, &v); err != nil {
		return []string{err.Error()}
	}
	return d.check("body", schema, v)
}

// check says what in v is not as the schema has it: too little, too much, or of another type.
func (d document) check(where string, schema map[string]any, v any) (wrong []string) {
	switch v := v.(type) {
	case map[string]any:
		return d.checkObject(where, schema, v)
	case []any:
		if schema["type"] != "array" {
			return []string{fmt.Sprintf("%s is an array, want %v", where, schema["type"])}
		}
		for i, item := range v {
			wrong = append(wrong, d.check(fmt.Sprintf("%s[%d]", where, i), d.at(schema, "items"), item)...)
		}
		return wrong
	}
	got := map[bool]string{true: "integer"}[isInteger(v)]
	switch v.(type) {
	case string:
		got = "string"
	case bool:
		got = "boolean"
	}
	if schema["type"] != got {
		wrong = append(wrong, fmt.Sprintf("%s is %v, want %v", where, v, schema["type"]))
	}
	if enum, ok := schema["enum"].([]any); ok && !slices.Contains(enum, v) {
		wrong = append(wrong, fmt.Sprintf("%s is %v, want one of %v", where, v, enum))
	}
	return wrong
}

func isInteger(v any) bool {
	n, ok := v.(float64)
	return ok && n == float64(int64(n))
}

func (d document) checkObject(where string, schema map[string]any, v map[string]any) (wrong []string) {
	required, properties := d.shape(schema)
	for _, name := range required {
		if _, ok := v[name]; !ok {
			wrong = append(wrong, fmt.Sprintf("%s lacks %s", where, name))
		}
	}
	for name, value := range v {
		if len(properties) == 0 {
			break // an object of any kind
		}
		property := d.at(properties, name)
		if property == nil {
			wrong = append(wrong, fmt.Sprintf("%s has %s, which is not documented", where, name))
			continue
		}
		wrong = append(wrong, d.check(where+"."+name, property, value)...)
	}
	return wrong
}

// shape collects what an object must and may have, over allOf.
func (d document) shape(schema map[string]any) (required []string, properties map[string]any) {
	properties = map[string]any{}
	maps.Copy(properties, d.at(schema, "properties"))
	list, _ := schema["required"].([]any)
	for _, name := range list {
		required = append(required, name.(string))
	}
	parts, _ := schema["allOf"].([]any)
	for _, part := range parts {
		more, further := d.shape(d.at(map[string]any{"x": part}, "x"))
		required = append(required, more...)
		maps.Copy(properties, further)
	}
	return required, properties
}

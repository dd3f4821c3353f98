// Package api is the local HTTP API of a node, both ends of it: Server puts a Backend behind a unix socket, and Client is that
// same Backend for another process. Commands, bots and the web UI all come in through this door; there is no private one.
//
// Start with Backend, which says what can be asked. Server serves it and Dial reaches it:
//
//	srv := api.NewServer(messenger, api.ServerOptions{Socket: socket})
//	g.Go(func() error { return srv.Run(ctx) })
//	<-srv.Ready()
//
//	c, err := api.Dial(socket)                    // CodeUnavailable when no node listens
//	m, err := c.Send(ctx, chat.Draft{Conversation: id, Text: "hello"})
//	m, err = c.Wait(ctx, m.ID, chat.StateDelivered)
//
// The same from a shell:
//
//	curl --unix-socket api.sock http://parley/api/v1/status
//	curl --unix-socket api.sock -X PUT -H 'Content-Type: application/json' -d '{"text":"hello"}' \
//	  'http://parley/api/v1/conversations/dm:…/messages/my-id-1?wait=delivered'
//	curl --unix-socket api.sock -N 'http://parley/api/v1/events?after=0'
//
// # Promises of version 1
//
// Every route, parameter and answer is in openapi.json, which the node serves itself. Within v1 things are only added: clients
// ignore fields and event types that they do not know. Ids are opaque text, times are RFC 3339 in UTC with milliseconds, lists
// are {"items": […]}.
//
// Sending is idempotent for ever, because the client id is kept with the message: whoever did not get an answer asks again with
// the same id. Events carry a sequence number that never repeats; whoever was cut off goes on from the last one it saw. A reader
// that does not keep up is cut off and never slows the node down.
//
// Errors are application/problem+json (RFC 9457) with a code for machines, a detail for people and, where one helps, a remedy:
// the exact command to run next. They become the *chat.Error that they were on the other side.
//
// # Who may ask
//
// The socket has mode 0600 from the moment it exists, lies in a folder that nobody else may write to, and on Linux a process of
// another user is turned away before one byte of it is read. A request with an Origin or a Referer comes from a web page and is
// refused: no page has business here.
package api

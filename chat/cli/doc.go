// Package cli is parley for people at a terminal and for scripts: one command per file, and the line-based chat.
//
// A command talks to the node of its home through the local API. Where none runs, the commands that need one run it in their own
// process for as long as they need it (attach.go); those that only look read the home and the database instead. Either way they
// see an api.Backend and cannot tell which.
//
// What a person types goes through args.go first, which knows every flag of every command: a text is never taken for a flag, and a
// mistyped flag is never sent as a text. Errors leave through exit.go: one line that says what and why, one that says what to run
// next, and an exit code of their own. Data goes to standard output, everything else to standard error; without a terminal nothing
// ever asks.
//
// Names and texts of others are shown through chat.CleanText, and in --json with every control character escaped (render.go).
package cli

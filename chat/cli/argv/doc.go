// Package argv understands what a person types: command lines, names of contacts, and texts. It knows what a mistyped word may
// have meant, and never acts on the guess.
package argv

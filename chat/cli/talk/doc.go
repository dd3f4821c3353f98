// Package talk is the line-based chat: a prompt, what others write above it, and commands that begin with a slash.
//
// Three rules keep it safe to type in. What others send never changes where text goes. What looks like a command is never sent,
// mistyped or not. And a message counts as read only when somebody was there to see it: its chat is open, and the window has the
// focus or a key was pressed since.
package talk

// Package show is how things look: messages, tables and one-line texts for people, JSON for programs. Whatever came from somebody
// else goes through here, so that nobody's name or text can move a cursor, colour a screen or look like a line of ours.
package show

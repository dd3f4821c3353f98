// Package chat is the messenger: it knows what a message is.
package chat

package talk

import "time"

const (
	// callTime bounds one call of the chat to the node; in between, nothing that is typed is read.
	callTime = 10 * time.Second
	// goodbyeTime bounds the last one.
	goodbyeTime = 2 * time.Second
	// openLines is how many messages are shown when a chat is opened: the context, and not the past.
	openLines = 10
	// historyLines is how many /history shows: a screen or two.
	historyLines = 50
	// lateDelivery is how old a message must be when it is delivered to be worth a line.
	lateDelivery = time.Minute
	// pasteLines and pasteBytes are the longest text that is sent without asking.
	pasteLines, pasteBytes = 10, 2000
	// quoteColumns is how much of a message a line about it quotes.
	quoteColumns = 32
	// entryBuffer is how many events are shown at once; more wait at the node.
	entryBuffer = 256
)

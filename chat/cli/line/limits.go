package line

import "parley/chat"

const (
	// maxPaste is how much of one paste is kept, in bytes: one more than a message may have, so that a longer one is refused by
	// its length and never cut without a word.
	maxPaste = chat.MaxText + 1
	// maxInline is the longest paste that is shown in the line, in bytes, and maxInlineLines its most lines: the editor draws the
	// whole line again for each character. A longer one is shown as a single sign.
	maxInline, maxInlineLines = 2000, 10
	// maxPastes is how many long pastes are remembered; lines in the history refer to them.
	maxPastes = 256
	// readSize is how much is read from the terminal at once, in bytes.
	readSize = 4096
	// fallbackWidth is the width of a terminal that does not tell, in columns.
	fallbackWidth = 80
)

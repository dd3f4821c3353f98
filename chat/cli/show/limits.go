package show

const (
	// MaxColumns is the most columns of one message that people see; JSON has all of it.
	MaxColumns = 4096
	// NameColumns is the most columns of a name in front of a message.
	NameColumns = 16
	// quoteColumns is how much of a message a page about its way quotes: enough to know it again.
	quoteColumns = 60
	// nameMin is the width in columns that names are padded to, so that the texts of short names stand below each other.
	nameMin = 8
)

package talk

import (
	"context"
	"slices"

	"parley/chat"
)

// Historian is where Last reads: a node, or a database without one.
type Historian interface {
	History(ctx context.Context, c chat.ConversationID, before chat.MessageID, limit int) ([]chat.Message, error)
}

// Last returns the last messages of a conversation, all for limit 0, oldest first, page by page.
func Last(ctx context.Context, r Historian, c chat.ConversationID, limit int) ([]chat.Message, error) {
	var pages [][]chat.Message
	var before chat.MessageID
	for n := 0; limit == 0 || n < limit; {
		size := chat.MaxPage
		if limit > 0 {
			size = min(size, limit-n)
		}
		page, err := r.History(ctx, c, before, size)
		if err != nil {
			return nil, err
		}
		if len(page) == 0 {
			break
		}
		pages, before = append(pages, page), page[0].ID
		n += len(page)
	}
	slices.Reverse(pages)
	return slices.Concat(pages...), nil
}

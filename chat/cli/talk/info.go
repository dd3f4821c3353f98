package talk

import (
	"context"
	"strconv"
	"strings"
	"time"

	"parley/chat"
	"parley/chat/cli/show"
)

// doInfo says where a message is. % is the last one of the open chat, %2 the one before it, and so on; the text that is shown tells which one
// was meant, also where another has come in meanwhile.
func (s *Session) doInfo(ctx context.Context, args string) error {
	id, ok, err := s.referred(ctx, args)
	if err != nil || !ok {
		return err
	}
	info, err := s.node.Info(ctx, id)
	if err != nil {
		return err
	}
	var b strings.Builder
	err = show.WriteInfo(&b, show.OneInfo(info, s.contacts), time.Now())
	s.say("%s", b.String())
	return err
}

// referred returns the message that a reference means. Where it means none, it says so.
func (s *Session) referred(ctx context.Context, ref string) (id chat.MessageID, ok bool, err error) {
	if id, err := chat.ParseMessageID(ref); err == nil && ref != "" {
		return id, true, nil
	}
	n := 1
	if digits := strings.TrimPrefix(ref, "%"); digits != "" {
		if n, err = strconv.Atoi(digits); err != nil || n < 1 || n > chat.MaxPage {
			s.say("!! /info [%%n]: %q is no message: %% is the last one, %%2 the one before it, up to %%%d", show.Line(ref), chat.MaxPage)
			return id, false, nil
		}
	}
	if s.current == nil {
		s.say("!! No chat is open. /open NAME")
		return id, false, nil
	}
	messages, err := s.node.History(ctx, s.current.Conversation, chat.MessageID{}, n)
	switch {
	case err != nil:
		return id, false, err
	case len(messages) < n:
		s.say("!! This chat has %s", show.Count(len(messages), "message"))
		return id, false, nil
	}
	return messages[0].ID, true, nil
}

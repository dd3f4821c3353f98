package home

import "parley/chat"

// Invite returns the invite that we joined with, read; nil where we made the network.
func (h *Home) Invite() *chat.Invite {
	j, ok := h.Join()
	if !ok {
		return nil
	}
	invite, err := chat.ParseInvite(j.Link)
	if err != nil {
		return nil // Open has read it before
	}
	return &invite
}

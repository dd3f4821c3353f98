package home

import (
	"fmt"

	"parley/chat"
)

// linksOnDisk is the key of our links.
type linksOnDisk struct {
	Secret     []byte `json:"secret"`
	Generation uint32 `json:"generation"`
}

func onDisk(k chat.LinkKey) linksOnDisk { return linksOnDisk{k.Secret[:], k.Generation} }

// loadLinks reads the key of our links, which another process may have renewed.
func (h *Home) loadLinks() error {
	var d linksOnDisk
	if err := readJSON(h.dir, linksFile, &d); err != nil {
		return err
	}
	if len(d.Secret) != copy(h.links.Secret[:], d.Secret) || len(d.Secret) != len(h.links.Secret) || d.Generation == 0 {
		return damaged(h.dir, linksFile, fmt.Errorf("a secret of %d bytes in generation %d", len(d.Secret), d.Generation))
	}
	h.links.Generation = d.Generation
	return nil
}

// LinkKey implements chat.Links.
func (h *Home) LinkKey() chat.LinkKey {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.links
}

// RenewLinks implements chat.Links. The caller holds the lock of the home, or runs the node that does.
func (h *Home) RenewLinks() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if err := h.loadLinks(); err != nil {
		return err
	}
	next := chat.LinkKey{Secret: h.links.Secret, Generation: h.links.Generation + 1}
	if err := replaceJSON(h.dir, linksFile, onDisk(next)); err != nil {
		return err
	}
	h.links = next
	return nil
}

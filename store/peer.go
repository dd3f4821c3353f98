package store

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/multiformats/go-multiaddr"
)

const (
	peerSelect = `SELECT id, addrs FROM peer ORDER BY seen_at DESC, id LIMIT $1`
	peerPut    = `INSERT INTO peer (id, addrs, seen_at) VALUES ($1, $2, $3)
		ON CONFLICT (id) DO UPDATE SET addrs = excluded.addrs, seen_at = excluded.seen_at`
	peerTrim = `DELETE FROM peer WHERE id NOT IN (SELECT id FROM peer ORDER BY seen_at DESC, id LIMIT $1)`
)

// Peers is what the node remembers about other nodes across restarts: where they were last seen, nothing about people.
type Peers struct{ db *DB }

// Load returns what is remembered, the most recently seen first, at most MaxPeers. Addresses that this program cannot read are
// left out.
func (p *Peers) Load(ctx context.Context) ([]peer.AddrInfo, error) {
	var peers []peer.AddrInfo
	err := p.db.view(ctx, func(t *tx) (err error) {
		peers, err = list(t, scanPeer, peerSelect, int64(MaxPeers))
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("load peers: %w", err)
	}
	return peers, nil
}

// Save remembers peers as seen at a time, in the place of what was known of them; the longest unseen are forgotten beyond
// MaxPeers. Peers without an address are left as they are.
func (p *Peers) Save(ctx context.Context, peers []peer.AddrInfo, seen time.Time) error {
	err := p.db.update(ctx, func(t *tx) error {
		for _, info := range peers {
			if len(info.Addrs) == 0 {
				continue
			}
			if _, err := t.exec(peerPut, bytesOf(info.ID), bytesOf(joinAddrs(info.Addrs)), seen.UnixMicro()); err != nil {
				return err
			}
		}
		_, err := t.exec(peerTrim, int64(MaxPeers))
		return err
	})
	if err != nil {
		return fmt.Errorf("save peers: %w", err)
	}
	return nil
}

func scanPeer(rows *sql.Rows) (info peer.AddrInfo, err error) {
	var lines string
	err = rows.Scan(&info.ID, &lines)
	for line := range strings.Lines(lines) {
		if addr, err := multiaddr.NewMultiaddr(strings.TrimSuffix(line, "\n")); err == nil {
			info.Addrs = append(info.Addrs, addr)
		}
	}
	return info, err
}

func joinAddrs(addrs []multiaddr.Multiaddr) string {
	lines := make([]string, len(addrs))
	for i, addr := range addrs {
		lines[i] = addr.String()
	}
	return strings.Join(lines, "\n")
}

package node

import (
	"context"
	"crypto/ed25519"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	ma "github.com/multiformats/go-multiaddr"
	"go.uber.org/zap"

	"parley/node/directory"
	"parley/node/mailbox"
	"parley/node/member"
)

// Network is what a node needs to be one of a network's nodes.
type Network struct {
	Name  string
	ID    [16]byte
	PSK   []byte // 32 bytes, secret; nil in a network without a pre-shared key
	Seeds []peer.AddrInfo
	// Rotation is what the key has come with, as KeyVault has kept it; nil where it came with an invite. Where PSK is another key than the one in it, that is
	// tried: nothing that is older than the rotation takes its place.
	Rotation []byte
}

// Place says where a device may be reached: at multiaddrs without the /p2p part. What does not parse is left out.
func Place(device peer.ID, addrs []string) peer.AddrInfo {
	info := peer.AddrInfo{ID: device}
	for _, s := range addrs {
		if a, err := ma.NewMultiaddr(s); err == nil {
			info.Addrs = append(info.Addrs, a)
		}
	}
	return info
}

// Places is Place for several.
func Places(seeds []struct {
	Device peer.ID
	Addrs  []string
},
) (infos []peer.AddrInfo) {
	for _, s := range seeds {
		infos = append(infos, Place(s.Device, s.Addrs))
	}
	return infos
}

// hexID is the network's id as it stands in protocol ids.
func (n Network) hexID() string { return hex.EncodeToString(n.ID[:]) }

// version is what the nodes of this network call their protocol when they identify themselves.
func (n Network) version() string { return "parley/" + n.hexID() }

// dhtPrefix precedes "/kad/1.0.0" in the DHT's protocol id.
func (n Network) dhtPrefix() protocol.ID { return protocol.ID("/parley/" + n.hexID()) }

// Membership is what makes a device one of its network's nodes.
type Membership struct {
	// IDOf returns the id of the network whose authority has this public key.
	IDOf func(authority []byte) [16]byte
	// Proven reports whether an account has said that a device is its own, in this network.
	Proven func(network [16]byte, account [32]byte, device peer.ID, proof []byte) bool

	Account   [32]byte           // whose device this is
	Proof     [64]byte           // of that
	Authority ed25519.PrivateKey // nil unless this device made the network
	Closed    bool               // whom it lets in invites nobody
	Issuer    peer.ID            // of the invite that it joins with; empty for none
	Token     [16]byte           // in that invite
	Expires   time.Time          // when that invite does, by the clock of who made it; zero: never, or it is not known
	Anew      bool               // that invite counts also where the device has a certificate, once the list of who was removed ends that
	Vault     member.Vault       // where the ledger lies; nil: nothing outlives the process
	Keys      KeyVault           // where the network's key lies; nil: a new one does not outlive the process
}

// Validator judges a record; see directory.Validator.
type Validator = directory.Validator

// PeerBook keeps what the node remembers about peers across restarts.
type PeerBook interface {
	// Load returns remembered peers, the most recently seen first.
	Load(ctx context.Context) ([]peer.AddrInfo, error)
	// Save adds peers, or replaces what is known of them; seen is when they were last heard of.
	Save(ctx context.Context, peers []peer.AddrInfo, seen time.Time) error
}

// Config is what a Node is made of.
type Config struct {
	Key      ed25519.PrivateKey // the device key: its public half is the peer id
	Network  Network
	Member   Membership
	Listen   []string // multiaddrs; empty for every interface at Port
	Announce []string // multiaddrs that others should use, beside those we listen on
	Port     int      // where Listen is empty; 0 for any
	Seed     bool     // serve the network: be a DHT server, accept more connections
	MDNS     bool     // find and be found on the LAN
	PortMap  bool     // ask the router for a port that others can dial
	// Trusted are networks of which any address may have as many connections as there are, and as fast: of an office behind one router.
	Trusted []netip.Prefix
	Peers   PeerBook // nil: nothing is remembered

	Mailboxes     mailbox.Store  // of the mailboxes that this node hosts for others; nil: it hosts none
	MailboxLimits mailbox.Limits // what is zero: as usual; see MailboxLimits
	MailboxShared bool           // other nodes host on the same store

	// Validators holds one validator for each noun that records may have.
	Validators map[string]Validator
	Logger     *zap.Logger // nil: nothing is logged
}

// check returns what is wrong with the configuration.
func (c Config) check() error {
	switch {
	case len(c.Key) != ed25519.PrivateKeySize:
		return errors.New("device key: not an Ed25519 private key")
	case c.Network.PSK != nil && len(c.Network.PSK) != 32:
		return fmt.Errorf("network key: %d bytes, not 32", len(c.Network.PSK))
	case c.Member.IDOf == nil || c.Member.Proven == nil:
		return errors.New("membership: no rules to judge it by")
	case c.Port < 0 || c.Port > 65535:
		return fmt.Errorf("port %d: not between 0 and 65535", c.Port)
	case len(c.Network.Seeds) > MaxSeeds:
		return fmt.Errorf("network: %d seeds, at most %d are used", len(c.Network.Seeds), MaxSeeds)
	}
	return nil
}

func (c Config) logger() *zap.Logger {
	if c.Logger == nil {
		return zap.NewNop()
	}
	return c.Logger
}

package home

import (
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/adrg/xdg"
	"github.com/libp2p/go-libp2p/core/peer"

	"parley/chat"
)

// Home is the folder of one device, open. Its methods may be called from several goroutines.
type Home struct {
	dir     string
	profile Profile

	mu      sync.Mutex // guards what is saved again
	network Network
	join    *Join
	node    Node
	links   chat.LinkKey

	// What follows is of a trial, which WithKey or WithInvite has made: what that is told is kept by Keep alone.
	trial   bool
	former  Network // the home's
	sameKey bool    // the key in the invite is the home's
	renewed bool    // it was told a key
	anew    bool    // its invite makes a member of who was one
}

// Profile says whose home it is.
type Profile struct {
	Name    string
	Account chat.AccountID
	Device  peer.ID
	Created time.Time
}

// Network is the network that this device is on.
type Network struct {
	chat.Network
	Closed bool // nobody but the device that made the network invites to it; said where that is us
	Seeds  []chat.Seed
	// Rotation is what the network's key has come with, as the node has kept it; nil where it came with an invite.
	Rotation []byte
}

// Join is the invite that we joined the network with.
type Join struct {
	Link   string `json:"link"`
	Joined bool   `json:"joined"` // a node of the network has answered since
}

// Node is what a node on this home starts with.
type Node struct {
	Port     int    `json:"port"`
	Database string `json:"database,omitempty"` // empty: SQLite in the home
}

// Params is what a new home is made of.
type Params struct {
	Name     string
	Identity *chat.Identity
	Seal     Seal
	Network  Network
	// Authority is the seed of the key that the network's id is the hash of; nil unless we made the network.
	Authority []byte
	Join      string // the invite that we join with; empty where we made the network
}

// Default returns the home that is used where none is named: $PARLEY_HOME, else parley in the user's data folder.
func Default() string {
	if dir := os.Getenv("PARLEY_HOME"); dir != "" {
		return dir
	}
	return filepath.Join(xdg.DataHome, "parley")
}

// Vacant returns nil where Create may make a home in dir, and a *chat.Error with CodeConfig where one is, whole or damaged.
func Vacant(dir string) error {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return fmt.Errorf("resolve %s: %w", dir, err)
	}
	if _, err := os.Lstat(filepath.Join(dir, keysFile)); errors.Is(err, os.ErrNotExist) {
		return nil
	}
	h, err := Open(dir)
	if err != nil {
		return err
	}
	return &chat.Error{
		Code:   chat.CodeConfig,
		Detail: fmt.Sprintf("already initialised as %s (%s) in %s", h.profile.Name, h.profile.Account.Short(), dir),
		Try:    Command(dir, "up"),
	}
}

// Create makes a home in dir and opens it. It refuses a folder that holds a home or anything else. The keys are written last:
// a crash before leaves nothing that counts, and Create may be called again.
func Create(dir string, p Params) (h *Home, err error) {
	if dir, err = filepath.Abs(dir); err != nil {
		return nil, fmt.Errorf("resolve %s: %w", dir, err)
	}
	if err := Vacant(dir); err != nil {
		return nil, err
	}
	if err := makeFolder(dir); err != nil {
		return nil, err
	}
	if err := checkClosed(dir); err != nil { // of somebody else's, which we could not close
		return nil, err
	}
	release, err := acquire(filepath.Join(dir, lockFile))
	if err != nil {
		return nil, fmt.Errorf("lock %s: %w", dir, err)
	}
	defer func() { err = errors.Join(err, release()) }()
	if err := Vacant(dir); err != nil { // somebody may have been quicker
		return nil, err
	}
	if err := choosePort(dir); err != nil {
		return nil, err
	}
	if err := p.write(dir); err != nil {
		return nil, fmt.Errorf("make a home in %s: %w", dir, err)
	}
	return Open(dir)
}

// write writes the files of a new home, the keys last.
func (p Params) write(dir string) error {
	kek := chat.NewSecret()
	defer kek.Wipe()
	keystore, err := chat.NewKeystore(kek)
	if err != nil {
		return err
	}
	if err := replaceFile(dir, keystoreFile, keystore); err != nil {
		return err
	}
	if err := p.writeOpen(dir); err != nil {
		return err
	}
	inside, err := insideOf(kek, p.Authority, p.Identity)
	if err != nil {
		return err
	}
	defer clear(inside)
	keys, entry, err := p.Seal.pack(inside)
	if err != nil {
		return err
	}
	if err := replaceFile(dir, keysFile, keys); err != nil {
		return errors.Join(err, dropKeyringSecret(entry))
	}
	return nil
}

// writeOpen writes the files of a new home that hold no keys of ours.
func (p Params) writeOpen(dir string) error {
	if err := os.Remove(filepath.Join(dir, joinFile)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if p.Join != "" {
		if err := replaceJSON(dir, joinFile, Join{Link: p.Join}); err != nil {
			return err
		}
	}
	if err := replaceJSON(dir, networkFile, p.Network.onDisk()); err != nil {
		return err
	}
	if err := replaceJSON(dir, linksFile, onDisk(chat.NewLinkKey())); err != nil {
		return err
	}
	profile := Profile{p.Name, p.Identity.Account(), p.Identity.Device(), time.Now()}
	return replaceJSON(dir, profileFile, profile.onDisk())
}

// Open opens the home in dir. The error is a *chat.Error with CodeConfig where there is none, or where a file of it is damaged;
// the keys themselves are read by Unlock.
func Open(dir string) (*Home, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("resolve %s: %w", dir, err)
	}
	if _, err := os.Stat(filepath.Join(dir, keysFile)); errors.Is(err, os.ErrNotExist) {
		return nil, &chat.Error{
			Code:   chat.CodeConfig,
			Detail: "there is no parley home in " + dir,
			Try:    Command(dir, "init --name NAME"),
		}
	}
	if err := checkClosed(dir); err != nil {
		return nil, err
	}
	if err := checkPrivate(dir); err != nil {
		return nil, err
	}
	h := &Home{dir: dir}
	return h, h.load()
}

func (h *Home) load() error {
	var profile profileOnDisk
	if err := readJSON(h.dir, profileFile, &profile); err != nil {
		return err
	}
	var network networkOnDisk
	if err := readJSON(h.dir, networkFile, &network); err != nil {
		return err
	}
	if err := readJSON(h.dir, nodeFile, &h.node); err != nil {
		return err
	}
	if err := h.loadLinks(); err != nil {
		return err
	}
	if _, err := os.Stat(filepath.Join(h.dir, joinFile)); err == nil {
		h.join = new(Join)
		if err := readJSON(h.dir, joinFile, h.join); err != nil {
			return err
		}
	}
	return h.check(profile, network)
}

// check turns what the files say into what is valid.
func (h *Home) check(profile profileOnDisk, network networkOnDisk) (err error) {
	if h.profile, err = profile.parse(); err != nil {
		return damaged(h.dir, profileFile, err)
	}
	if h.network, err = network.parse(); err != nil {
		return damaged(h.dir, networkFile, err)
	}
	if network.Members != membersByCertificate {
		return &chat.Error{
			Code:   chat.CodeConfig,
			Detail: fmt.Sprintf("the network %s was made by another version of parley, which knew who is on it in another way; make or join a new one", h.network.Network),
			Try:    Command(h.dir+".2", "init --name "+h.profile.Name),
		}
	}
	if h.node.Port < 1 || h.node.Port > 65535 {
		return damaged(h.dir, nodeFile, fmt.Errorf("port %d", h.node.Port))
	}
	if h.join != nil {
		if _, err := chat.ParseInvite(h.join.Link); err != nil {
			return damaged(h.dir, joinFile, err)
		}
	}
	return nil
}

// Dir returns the folder, absolute.
func (h *Home) Dir() string { return h.dir }

// Profile returns whose home it is.
func (h *Home) Profile() Profile { return h.profile }

// Network returns the network that this device is on, with its secrets.
func (h *Home) Network() Network {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.network
}

// Join returns the invite that we joined with; ok is false where we made the network.
func (h *Home) Join() (j Join, ok bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.join == nil {
		return Join{}, false
	}
	return *h.join, true
}

// Joined reports whether we made the network, or a node of it has answered since we took the invite.
func (h *Home) Joined() bool {
	j, ok := h.Join()
	return !ok || j.Joined
}

// SaveJoined remembers that a node of the network has answered. It changes nothing where that is known.
func (h *Home) SaveJoined() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.join == nil || h.join.Joined {
		return nil
	}
	joined := Join{Link: h.join.Link, Joined: true}
	if err := replaceJSON(h.dir, joinFile, joined); err != nil {
		return err
	}
	h.join = &joined
	return nil
}

// SaveInvite puts an invite in the place of the one that we joined with, which came to nothing. The caller holds Lock.
func (h *Home) SaveInvite(invite chat.Invite) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	network := Network{Network: invite.Network, Seeds: invite.Seeds} // without the rotation of a key that came to nothing
	join := Join{Link: invite.String()}
	if err := replaceJSON(h.dir, networkFile, network.onDisk()); err != nil {
		return err
	}
	h.network = network
	if err := replaceJSON(h.dir, joinFile, join); err != nil {
		return err
	}
	h.join = &join
	return nil
}

// Node returns what a node on this home starts with; Database is never empty in it.
func (h *Home) Node() Node {
	h.mu.Lock()
	defer h.mu.Unlock()
	n := h.node
	if n.Database == "" {
		n.Database = "sqlite:" + filepath.Join(h.dir, "parley.db")
	}
	return n
}

// SaveDatabase remembers the database for the next node and for commands that only look.
func (h *Home) SaveDatabase(url string) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.node.Database == url {
		return nil
	}
	n := Node{Port: h.node.Port, Database: url}
	if err := replaceJSON(h.dir, nodeFile, n); err != nil {
		return err
	}
	h.node = n
	return nil
}

type profileOnDisk struct {
	Name    string    `json:"name"`
	Account string    `json:"account"`
	Device  string    `json:"device"`
	Created time.Time `json:"created"`
}

func (p Profile) onDisk() profileOnDisk {
	return profileOnDisk{p.Name, p.Account.String(), p.Device.String(), p.Created.UTC().Truncate(time.Second)}
}

func (p profileOnDisk) parse() (Profile, error) {
	if err := chat.CheckName("name", p.Name); err != nil {
		return Profile{}, err
	}
	account, err := chat.ParseAccountID(p.Account)
	if err != nil {
		return Profile{}, err
	}
	device, err := peer.Decode(p.Device)
	return Profile{p.Name, account, device, p.Created}, err
}

type networkOnDisk struct {
	Name    string       `json:"name"`
	ID      string       `json:"id"`
	PSK     []byte       `json:"psk,omitempty"`
	Turned  []byte       `json:"rotation,omitempty"` // what the key has come with
	Members int          `json:"members"`            // how it is known who is on it; see membersByCertificate
	Closed  bool         `json:"closed,omitempty"`
	Seeds   []seedOnDisk `json:"seeds,omitempty"`
}

// membersByCertificate is the one way; before it, whoever had the key was in.
const membersByCertificate = 1

type seedOnDisk struct {
	Device string   `json:"device"`
	Addrs  []string `json:"addrs"`
}

func (n Network) onDisk() networkOnDisk {
	d := networkOnDisk{Name: n.Name, ID: hex.EncodeToString(n.ID[:]), PSK: n.PSK, Turned: n.Rotation, Members: membersByCertificate, Closed: n.Closed}
	for _, s := range n.Seeds {
		d.Seeds = append(d.Seeds, seedOnDisk{s.Device.String(), s.Addrs})
	}
	return d
}

func (d networkOnDisk) parse() (Network, error) {
	n := Network{Network: chat.Network{Name: d.Name, PSK: d.PSK}, Closed: d.Closed, Rotation: d.Turned}
	if id, err := hex.DecodeString(d.ID); err != nil || len(id) != copy(n.ID[:], id) || len(id) != len(n.ID) {
		return n, fmt.Errorf("network id %.80q", d.ID)
	}
	if len(d.PSK) != 0 && len(d.PSK) != 32 {
		return n, fmt.Errorf("a pre-shared key of %d bytes", len(d.PSK))
	}
	for _, s := range d.Seeds {
		device, err := peer.Decode(s.Device)
		if err != nil {
			return n, fmt.Errorf("seed %.80q: %w", s.Device, err)
		}
		n.Seeds = append(n.Seeds, chat.Seed{Device: device, Addrs: s.Addrs})
	}
	return n, nil
}

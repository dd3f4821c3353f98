package home

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"parley/chat"
)

const (
	keysFile     = "keys"
	keystoreFile = "keystore"
	instanceFile = "instance"
	profileFile  = "profile.json"
	networkFile  = "network.json"
	joinFile     = "join.json"
	membersFile  = "members.json"
	nodeFile     = "node.json"
	linksFile    = "links.json"
	lockFile     = "lock"
	socketFile   = "api.sock"
	addressFile  = "api.addr"
)

// replaceFile puts data in the place of dir/name: whoever reads sees the old file or the new one, also after a power loss. Only
// one process writes at a time, so the temporary file has a fixed name and a crash leaves no more than one.
func replaceFile(dir, name string, data []byte) error {
	if len(data) > most(name) { // it would not be read again
		return fmt.Errorf("write %s: %d bytes, at most %d fit", name, len(data), most(name))
	}
	temp := filepath.Join(dir, name+".new")
	if err := writeDurably(temp, data); err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	if err := os.Rename(temp, filepath.Join(dir, name)); err != nil {
		return fmt.Errorf("replace %s: %w", name, err)
	}
	return syncFolder(dir)
}

func writeDurably(path string, data []byte) (err error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if err := f.Chmod(0o600); err != nil { // it may be there from before, with another mode
		return err
	}
	if _, err := f.Write(data); err != nil {
		return err
	}
	return f.Sync()
}

func syncFolder(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

func replaceJSON(dir, name string, v any) error {
	data, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	return replaceFile(dir, name, append(data, '\n'))
}

// readFile reads a whole file of the home; the error says so where it has more than it may have.
func readFile(dir, name string) ([]byte, error) {
	f, err := os.Open(filepath.Join(dir, name))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, int64(most(name))+1))
	if err == nil && len(data) > most(name) {
		err = fmt.Errorf("%d bytes or more", most(name))
	}
	return data, err
}

// most returns how many bytes a file of the home may have.
func most(name string) int {
	if name == membersFile {
		return maxLedger
	}
	return maxFile
}

// readJSON fills v from a file that has to be there; a file that is not as it should be is damaged.
func readJSON(dir, name string, v any) error {
	data, err := readFile(dir, name)
	if err != nil {
		return unreadable(dir, name, err)
	}
	if err := json.Unmarshal(data, v); err != nil {
		return damaged(dir, name, err)
	}
	return nil
}

// makeFolder makes dir with mode 0700. A folder that is there already may be empty or hold what an interrupted Create left;
// any other is left alone, because it is somebody's.
func makeFolder(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return &chat.Error{Code: chat.CodeConfig, Detail: fmt.Sprintf("cannot make the folder %s: %v", dir, reason(err))}
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return &chat.Error{Code: chat.CodeConfig, Detail: fmt.Sprintf("cannot read the folder %s: %v", dir, reason(err))}
	}
	for _, e := range entries {
		if !ours(e.Name()) {
			return &chat.Error{
				Code:   chat.CodeConfig,
				Detail: fmt.Sprintf("the folder %s is not empty: it holds %q", dir, e.Name()),
				Try:    Command(filepath.Join(dir, "parley"), "init --name NAME"),
			}
		}
	}
	if err := os.Chmod(dir, 0o700); err != nil && !errors.Is(err, os.ErrPermission) { // a mounted volume may belong to root
		return fmt.Errorf("close the folder %s to others: %w", dir, err)
	}
	return nil
}

// ours reports whether a file may lie in a folder that becomes a home.
func ours(name string) bool {
	switch strings.TrimSuffix(name, ".new") {
	case keysFile, keystoreFile, instanceFile, profileFile, networkFile, joinFile, membersFile, nodeFile, linksFile, lockFile, socketFile,
		addressFile, "lost+found":
		return true
	}
	return false
}

// Command returns the command line that runs parley on the home dir, fit to be pasted into a shell.
func Command(dir, rest string) string {
	if dir == Default() {
		return "parley " + rest
	}
	return "parley --home " + Word(dir) + " " + rest
}

// Word writes a path, or another word, as it may be pasted into a shell.
func Word(path string) string {
	if path != "" && strings.Trim(path, "/._-abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789") == "" {
		return path
	}
	return "'" + strings.ReplaceAll(path, "'", `'\''`) + "'"
}

func damaged(dir, name string, err error) error {
	what := "file"
	if name == keysFile || name == keystoreFile {
		what = "key file"
	}
	return &chat.Error{
		Code:   chat.CodeConfig,
		Detail: fmt.Sprintf("a corrupt %s: %s: %v; restore it from a backup, or begin another home", what, filepath.Join(dir, name), err),
		Try:    Command(dir+".2", "init --name NAME"),
	}
}

func unreadable(dir, name string, err error) error {
	if errors.Is(err, os.ErrNotExist) {
		return damaged(dir, name, errors.New("the file is missing"))
	}
	return &chat.Error{Code: chat.CodeConfig, Detail: fmt.Sprintf("cannot read %s: %v", filepath.Join(dir, name), reason(err))}
}

// reason returns what the system said, without the path that the message names already.
func reason(err error) error {
	var p *os.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}

package home

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"parley/chat"
)

func sealed(t testing.TB) *Home {
	t.Helper()
	p := alice(t)
	p.Seal.Passphrase = []byte("correct horse")
	return created(t, p)
}

func says(secret string) func() ([]byte, error) {
	return func() ([]byte, error) { return []byte(secret), nil }
}

func TestPassphraseOpensTheKeys(t *testing.T) {
	h := sealed(t)
	if is, err := h.Sealing(); err != nil || is != ByPassphrase {
		t.Fatalf("sealed by %c, %v", is, err)
	}
	u, err := h.Unlock(says("correct horse"))
	if err != nil {
		t.Fatal(err)
	}
	if u.Identity.Account() != h.Profile().Account {
		t.Fatal("the keys are somebody else's")
	}
}

func TestWithoutThePassphraseNothingOpens(t *testing.T) {
	h := sealed(t)
	_, err := h.Unlock(nil)
	wantError(t, err, chat.CodeLocked, "sealed and no passphrase was given", "--passphrase-file FILE")
	_, err = h.Unlock(says("correct hors"))
	wantError(t, err, chat.CodeLocked, "wrong passphrase", "")
	_, err = h.Unlock(says(""))
	wantError(t, err, chat.CodeLocked, "wrong passphrase", "")
	gone := errors.New("the person left")
	if _, err := h.Unlock(func() ([]byte, error) { return nil, gone }); !errors.Is(err, gone) {
		t.Fatalf("got %v", err)
	}
}

func TestSealedKeysShowNothing(t *testing.T) {
	p := alice(t)
	secret, err := insideOf(chat.NewSecret(), p.Authority, p.Identity)
	if err != nil {
		t.Fatal(err)
	}
	seal := Seal{Passphrase: []byte("correct horse")}
	file, _, err := seal.pack(secret)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i+8 <= len(secret); i++ {
		if bytes.Contains(file, secret[i:i+8]) {
			t.Fatalf("bytes %d to %d of the identity are in the sealed file", i, i+8)
		}
	}
	again, _, err := seal.pack(secret)
	if err != nil || bytes.Equal(file, again) {
		t.Fatal("sealed twice alike: the nonce or the salt repeats")
	}
}

func TestPlainKeysAreNotAskedFor(t *testing.T) {
	h := created(t, alice(t))
	if is, err := h.Sealing(); err != nil || is != Unsealed {
		t.Fatalf("sealed by %c, %v", is, err)
	}
	_, err := h.Unlock(func() ([]byte, error) {
		t.Error("a passphrase was asked for")
		return nil, nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// Whichever byte of the key file changes, the keys do not open.
func TestEveryFlippedByteIsSeen(t *testing.T) {
	h := created(t, alice(t))
	path := filepath.Join(h.Dir(), keysFile)
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for i := range good {
		if err := os.WriteFile(path, flipped(good, i), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := h.Unlock(nil); err == nil {
			t.Fatalf("byte %d of %d was changed, and the keys opened", i, len(good))
		}
	}
}

func flipped(good []byte, i int) []byte {
	bad := slices.Clone(good)
	bad[i] ^= 1 << (i % 8)
	return bad
}

// The same for sealed keys. Stretching a passphrase is slow on purpose, so most bytes are tried with the key that it gives.
func TestEveryFlippedByteOfSealedKeysIsSeen(t *testing.T) {
	h := sealed(t)
	path := filepath.Join(h.Dir(), keysFile)
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	key := stretch([]byte("correct horse"), good[1:1+saltSize])
	if _, err := openSealed(good, key); err != nil {
		t.Fatal(err)
	}
	for i := range good {
		if _, err := openSealed(flipped(good, i), key); err == nil {
			t.Fatalf("byte %d of %d was changed, and the keys opened", i, len(good))
		}
	}
	for _, i := range []int{0, 1, saltSize, sealedHead - 1, len(good) - 1} {
		if err := os.WriteFile(path, flipped(good, i), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := h.Unlock(says("correct horse")); err == nil {
			t.Fatalf("byte %d of %d was changed, and the home unlocked", i, len(good))
		}
	}
}

func TestEveryCutIsSeen(t *testing.T) {
	h := created(t, alice(t))
	path := filepath.Join(h.Dir(), keysFile)
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for n := range good {
		if err := os.WriteFile(path, good[:n], 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := h.Unlock(nil)
		wantError(t, err, chat.CodeConfig, "corrupt key file", "init")
	}
}

func TestKeysOfAnotherAccountAreRefused(t *testing.T) {
	h, other := created(t, alice(t)), created(t, alice(t))
	copyFile(t, filepath.Join(other.Dir(), keysFile), filepath.Join(h.Dir(), keysFile), 1)
	_, err := h.Unlock(nil)
	wantError(t, err, chat.CodeConfig, "another account", "init")
}

func TestReadableKeysAreRefused(t *testing.T) {
	h := created(t, alice(t))
	path := filepath.Join(h.Dir(), keysFile)
	for _, mode := range []os.FileMode{0o644, 0o640, 0o604, 0o660} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		_, err := Open(h.Dir())
		wantError(t, err, chat.CodeConfig, "other people can read the key file "+path, "chmod 600 "+path)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(h.Dir()); err != nil {
		t.Fatalf("after the remedy: %v", err)
	}
}

// A folder that others may write to is refused as a whole, by whatever name it is opened: they could put keys of theirs in it.
func TestAHomeThatOthersMayWriteToIsRefused(t *testing.T) {
	h := created(t, alice(t))
	link := filepath.Join(t.TempDir(), "my home")
	if err := os.Symlink(h.Dir(), link); err != nil {
		t.Fatal(err)
	}
	for _, mode := range []os.FileMode{0o777, 0o770, 0o720, 0o702, 0o777 | os.ModeSticky} {
		if err := os.Chmod(h.Dir(), mode); err != nil {
			t.Fatal(err)
		}
		for dir, remedy := range map[string]string{h.Dir(): "chmod 700 " + h.Dir(), link: "chmod 700 '" + link + "'"} {
			_, err := Open(dir)
			wantError(t, err, chat.CodeConfig, "other people can write to the home "+dir, remedy)
			wantError(t, Vacant(dir), chat.CodeConfig, "other people can write to the home "+dir, remedy)
		}
	}
	for _, mode := range []os.FileMode{0o755, 0o750, 0o700} {
		if err := os.Chmod(link, mode); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(link); err != nil {
			t.Errorf("with mode %04o: %v", mode, err)
		}
	}
}

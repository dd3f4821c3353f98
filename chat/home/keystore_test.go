package home

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/zalando/go-keyring"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"parley/chat"
)

func unlocked(t testing.TB, h *Home, passphrase string) *Unlocked {
	t.Helper()
	u, err := h.Unlock(says(passphrase))
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func content(t testing.TB, h *Home, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(h.Dir(), name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestTheKeystoreIsReplacedAsAWhole(t *testing.T) {
	h := created(t, alice(t))
	u := unlocked(t, h, "")
	first, err := u.Keystore()
	if err != nil || len(first) == 0 {
		t.Fatalf("%d bytes, %v", len(first), err)
	}
	second, err := chat.NewKeystore(u.KEK())
	if err != nil {
		t.Fatal(err)
	}
	if err := u.ReplaceKeystore(second); err != nil {
		t.Fatal(err)
	}
	if got := content(t, h, keystoreFile); !bytes.Equal(got, second) {
		t.Error("another keystore is there")
	}
	if info, err := os.Stat(filepath.Join(h.Dir(), keystoreFile)); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if _, err := os.Stat(filepath.Join(h.Dir(), keystoreFile+".new")); !os.IsNotExist(err) {
		t.Errorf("a temporary file is left: %v", err)
	}
	wantError(t, u.ReplaceKeystore(make([]byte, maxFile+1)), chat.CodeLimit, "keystore", "")
}

// A process that dies between writing and renaming leaves a temporary file, and the keystore as it was.
func TestACrashWhileTheKeystoreIsWrittenLosesNothing(t *testing.T) {
	h := created(t, alice(t))
	before := content(t, h, keystoreFile)
	for _, cut := range [][]byte{nil, before[:10], bytes.Repeat([]byte{1}, 500)} {
		if err := writeDurably(filepath.Join(h.Dir(), keystoreFile+".new"), cut); err != nil { // and then it dies
			t.Fatal(err)
		}
		again, err := Open(h.Dir())
		if err != nil {
			t.Fatal(err)
		}
		u := unlocked(t, again, "")
		if got, err := u.Keystore(); err != nil || !bytes.Equal(got, before) {
			t.Fatalf("the keystore is another one: %v", err)
		}
		if err := u.ReplaceKeystore(before); err != nil {
			t.Fatalf("what is left is in the way: %v", err)
		}
	}
}

func TestAMissingKeystoreIsSaid(t *testing.T) {
	h := created(t, alice(t))
	u := unlocked(t, h, "")
	path := filepath.Join(h.Dir(), keystoreFile)
	if err := os.Chmod(path, 0o640); err != nil {
		t.Fatal(err)
	}
	_, err := Open(h.Dir())
	wantError(t, err, chat.CodeConfig, "other people can read the key file "+path, "chmod 600 "+path)
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	_, err = u.Keystore()
	wantError(t, err, chat.CodeConfig, "corrupt key file: "+path+": the file is missing", "init")
	_, err = Open(h.Dir())
	wantError(t, err, chat.CodeConfig, "the file is missing", "init")
}

func TestTheNoteIsKept(t *testing.T) {
	u := unlocked(t, created(t, alice(t)), "")
	if note, err := u.Instance(); err != nil || note != nil {
		t.Fatalf("a new home has the note %q, %v", note, err)
	}
	for _, note := range []string{"one", "two"} {
		if err := u.SaveInstance([]byte(note)); err != nil {
			t.Fatal(err)
		}
		if got, err := u.Instance(); err != nil || string(got) != note {
			t.Errorf("kept is %q, %v", got, err)
		}
	}
}

// opensBy expects that a home opens in one way, and shows the same identity and the same key as before.
func opensBy(t *testing.T, h *Home, was *Unlocked, how Sealing, passphrase string) {
	t.Helper()
	if is, err := h.Sealing(); err != nil || is != how {
		t.Fatalf("sealed by %c, %v; want %c", is, err, how)
	}
	u := unlocked(t, h, passphrase)
	if u.Identity.Account() != was.Identity.Account() || !bytes.Equal(u.KEK().Bytes(), was.KEK().Bytes()) {
		t.Error("it opens as another")
	}
}

func TestKeysAreResealedInEveryWay(t *testing.T) {
	keyring.MockInit()
	h := created(t, alice(t))
	was := unlocked(t, h, "")
	for _, step := range []struct {
		to  Seal
		how Sealing
	}{
		{Seal{Passphrase: []byte("one")}, ByPassphrase},
		{Seal{Passphrase: []byte("two")}, ByPassphrase},
		{Seal{Keyring: true}, ByKeyring},
		{Seal{Keyring: true}, ByKeyring},
		{Seal{}, Unsealed},
		{Seal{Keyring: true}, ByKeyring},
		{Seal{Passphrase: []byte("three")}, ByPassphrase},
	} {
		old := content(t, h, keysFile)
		if err := was.Reseal(step.to); err != nil {
			t.Fatal(err)
		}
		opensBy(t, h, was, step.how, string(step.to.Passphrase))
		if Sealing(old[0]) == ByKeyring { // the old file is of no use any more
			if err := os.WriteFile(filepath.Join(h.Dir(), "old"), old, 0o600); err != nil {
				t.Fatal(err)
			}
			if _, err := h.unsealByKeyring(old); chat.CodeOf(err) != chat.CodeLocked {
				t.Errorf("the old file still opens: %v", err)
			}
		}
	}
	if _, err := h.Unlock(says("two")); chat.CodeOf(err) != chat.CodeLocked {
		t.Errorf("an old passphrase: %v", err)
	}
}

func TestAKeyringThatDoesNotAnswerIsSaid(t *testing.T) {
	keyring.MockInit()
	p := alice(t)
	p.Seal.Keyring = true
	h := created(t, p)
	u := unlocked(t, h, "")
	file := content(t, h, keysFile)
	for _, i := range []int{1, saltSize, sealedHead, len(file) - 1} {
		if err := os.WriteFile(filepath.Join(h.Dir(), keysFile), flipped(file, i), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := h.Unlock(nil)
		wantError(t, err, chat.CodeLocked, "keyring", "")
	}
	if err := os.WriteFile(filepath.Join(h.Dir(), keysFile), file, 0o600); err != nil {
		t.Fatal(err)
	}
	keyring.MockInitWithError(errors.New("nobody is at home"))
	_, err := h.Unlock(nil)
	wantError(t, err, chat.CodeLocked, "keyring of this system, which does not open them: nobody is at home", "")
	wantError(t, u.Reseal(Seal{Keyring: true}), chat.CodeConfig, "keyring of this system cannot be used: nobody is at home", "")
	if !bytes.Equal(content(t, h, keysFile), file) {
		t.Error("the key file was changed")
	}
	p = alice(t)
	p.Seal.Keyring = true
	dir := filepath.Join(t.TempDir(), "new")
	_, err = Create(dir, p)
	wantError(t, err, chat.CodeConfig, "cannot be used", "")
	if Vacant(dir) != nil {
		t.Error("half a home is in the way")
	}
}

func TestOneAtATimeChangesThePassphrase(t *testing.T) {
	h := created(t, alice(t))
	u := unlocked(t, h, "")
	release, err := h.alone()
	if err != nil {
		t.Fatal(err)
	}
	wantError(t, u.Reseal(Seal{}), chat.CodeConfig, "another process", "")
	if err := release(); err != nil {
		t.Fatal(err)
	}
	if err := u.Reseal(Seal{}); err != nil {
		t.Fatal(err)
	}
}

// What is in memory prints nowhere.
func TestSecretsOfAHomeNeverPrint(t *testing.T) {
	p := alice(t)
	p.Seal.Passphrase = []byte("correct horse battery")
	h := created(t, p)
	u := unlocked(t, h, "correct horse battery")
	identity, err := u.Identity.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	said := ""
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%d"} {
		said += fmt.Sprintf(strings.Repeat(verb, 6), u, *u.Identity, u.Identity, u.KEK(), p.Seal.Passphrase, p.Seal)
	}
	var out bytes.Buffer
	log := zap.New(zapcore.NewCore(zapcore.NewJSONEncoder(zap.NewDevelopmentEncoderConfig()), zapcore.AddSync(&out), zap.DebugLevel))
	log.Info("x", zap.Any("u", u), zap.Any("i", u.Identity), zap.Any("i2", *u.Identity), zap.Any("k", u.KEK()), zap.Any("p", p.Seal), zap.Any("q", p.Seal.Passphrase))
	log.Sugar().Infof("%+v %#v", u, p.Seal)
	encoded, err := json.Marshal([]any{u, u.Identity, p.Seal})
	if err != nil {
		t.Fatal(err)
	}
	said += out.String() + string(encoded)
	for name, secret := range map[string][]byte{
		"the passphrase": p.Seal.Passphrase, "the key of the keystore": u.KEK().Bytes(), "the account key": identity[1:33], "the device key": identity[33:65],
	} {
		for _, form := range []string{string(secret), fmt.Sprintf("%x", secret), fmt.Sprintf("%X", secret), strings.Trim(fmt.Sprint(secret[:8]), "[]")} {
			if strings.Contains(said, form) {
				t.Errorf("%s is printed", name)
			}
		}
	}
}

func FuzzKeyFile(f *testing.F) {
	dir := f.TempDir()
	f.Setenv("XDG_RUNTIME_DIR", dir)
	h, err := Create(filepath.Join(dir, "alice"), alice(f))
	if err != nil {
		f.Fatal(err)
	}
	good := content(f, h, keysFile)
	f.Add(good)
	f.Add(good[:40])
	f.Add(slices.Concat([]byte{byte(ByKeyring)}, good[1:]))
	f.Add([]byte{byte(ByPassphrase)})
	keyring.MockInit()
	path := filepath.Join(h.Dir(), keysFile)
	f.Fuzz(func(t *testing.T, file []byte) {
		if err := os.WriteFile(path, file, 0o600); err != nil {
			t.Fatal(err)
		}
		u, err := h.Unlock(nil) // a passphrase would be stretched each time, which is slow on purpose
		if err == nil && !bytes.Equal(file, good) && u.Identity.Account() != h.Profile().Account {
			t.Errorf("%x opens as %v", file, u.Identity)
		}
	})
}

package cli_test

import (
	"bytes"
	"image/png"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/makiuchi-d/gozxing"
	"github.com/makiuchi-d/gozxing/qrcode"
)

// A camera that sees the code of a link reads the link.
func TestTheCodeOfALinkIsTheLink(t *testing.T) {
	w := newWorld(t)
	alice, _ := w.aliceAndBob()
	for _, words := range [][]string{{"net", "invite"}, {"contact", "link"}} {
		name := filepath.Join(t.TempDir(), "code.png")
		link := strings.TrimSpace(alice.ok(append(words, "--qr-out", name)...))
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if got := readCode(t, data); got != link || !strings.HasPrefix(link, "parley:") {
			t.Errorf("the code of %v says %q, the link is %q", words, got, link)
		}
		if info, err := os.Stat(name); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("others can see the code: %v, %v", info.Mode(), err)
		}
	}
}

func readCode(t *testing.T, data []byte) string {
	t.Helper()
	img, err := png.Decode(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	bits, err := gozxing.NewBinaryBitmapFromImage(img)
	if err != nil {
		t.Fatal(err)
	}
	read, err := qrcode.NewQRCodeReader().Decode(bits, map[gozxing.DecodeHintType]any{gozxing.DecodeHintType_PURE_BARCODE: true})
	if err != nil {
		t.Fatal(err)
	}
	return read.GetText()
}

func TestACodeThatCannotBeWritten(t *testing.T) {
	w := newWorld(t)
	alice, _ := w.aliceAndBob()
	there := filepath.Join(t.TempDir(), "there.svg")
	alice.ok("contact", "link", "--qr-out", there)
	if data, err := os.ReadFile(there); err != nil || !bytes.HasPrefix(data, []byte("<svg ")) || !bytes.Contains(data, []byte("M4 4h1v1h-1z")) {
		t.Errorf("no picture: %.60s, %v", data, err)
	}
	invites, old := alice.ok("net", "invites", "--json"), alice.ok("contact", "link")
	nowhere, blank := filepath.Join(t.TempDir(), "x", "y.png"), filepath.Join(t.TempDir(), "a b.png")
	if err := os.Mkdir(blank, 0o700); err != nil {
		t.Fatal(err)
	}
	for name, says := range map[string][2]string{
		there:                               {there + " is there already, and stays as it is; nothing was made", "rm " + there},
		blank:                               {blank + " is there already", "rm '" + blank + "'"},
		filepath.Join(t.TempDir(), "x.gif"): {`x.gif" ends neither in .png nor in .svg; nothing was made`, "--qr-out code.png"},
		"":                                  {`"" ends neither`, "--qr-out code.png"},
		nowhere:                             {"cannot write " + nowhere + ": there is no folder " + filepath.Dir(nowhere), "mkdir -p " + filepath.Dir(nowhere)},
		filepath.Join(there, "x.png"):       {"not a directory; nothing was made", "--qr-out FILE"},
	} {
		for _, words := range [][]string{{"net", "invite"}, {"contact", "link", "--reset"}} {
			r := alice.run("", append(words, "--qr-out", name)...)
			alice.wantMistake(r, 2, says[0])
			if r.stdout != "" || !strings.HasSuffix(r.stderr, says[1]+"\n") {
				t.Errorf("%v to %s: %+v", words, name, r)
			}
		}
	}
	if left := alice.ok("net", "invites", "--json"); left != invites {
		t.Errorf("an invite is open whose code was not written: %s", left)
	}
	if alice.ok("contact", "link") != old {
		t.Error("the link was renewed, and its code was not written")
	}
	unmade := filepath.Join(t.TempDir(), "code.png")
	alice.fails(2, "1 to 100", "net", "invite", "--uses", "0", "--qr-out", unmade)
	if _, err := os.Stat(unmade); !os.IsNotExist(err) {
		t.Errorf("a file of no invite: %v", err)
	}
}

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
	for name, says := range map[string]string{
		there:                                    there + " is there already, and stays as it is",
		filepath.Join(t.TempDir(), "x.gif"):      "ends neither in .png nor in .svg: nothing was written",
		filepath.Join(t.TempDir(), "x", "y.png"): "cannot write",
	} {
		r := alice.run("", "contact", "link", "--qr-out", name)
		alice.wantMistake(r, 2, says)
		if !strings.HasPrefix(r.stdout, "parley:C") {
			t.Errorf("the link is lost with its code: %q", r.stdout)
		}
	}
}

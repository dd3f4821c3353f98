package show

import (
	"fmt"
	"path/filepath"
	"strings"

	"rsc.io/qr"

	"parley/chat"
)

// quiet is how many light modules stand around a code, so that cameras find it.
const quiet = 2

// QR draws a text as a QR code of half blocks, two modules a character. Light modules are drawn and dark ones left out, white on
// black where there are colours: not every camera reads a code whose light and dark are exchanged.
func QR(text string, style Style) (string, error) {
	code, err := qr.Encode(text, qr.L)
	if err != nil {
		return "", fmt.Errorf("draw a QR code: %w", err)
	}
	begin, end := "", ""
	if style.Color {
		begin, end = "\x1b[97;40m", "\x1b[0m"
	}
	light := func(x, y int) bool { return !code.Black(x, y) && y < code.Size+quiet }
	var b strings.Builder
	for y := -quiet; y < code.Size+quiet; y += 2 {
		b.WriteString(begin)
		for x := -quiet; x < code.Size+quiet; x++ {
			b.WriteString(half(light(x, y), light(x, y+1)))
		}
		b.WriteString(end + "\n")
	}
	return b.String(), nil
}

// pixels is how wide a module of a code in a file is: codes are read from screens at arm's length.
const pixels = 8

// QRFile returns a text as a QR code for a file, of the format that the file's name ends in: .png or .svg.
func QRFile(text, name string) ([]byte, error) {
	code, err := qr.Encode(text, qr.M) // for paper, which may get dirty
	if err != nil {
		return nil, fmt.Errorf("draw a QR code: %w", err)
	}
	switch strings.ToLower(filepath.Ext(name)) {
	case ".png":
		code.Scale = pixels
		return code.PNG(), nil
	case ".svg":
		return svg(code), nil
	}
	return nil, CheckQRFile(name)
}

// CheckQRFile says why there is no code for a file of that name, as a *chat.Error; nil where there is.
func CheckQRFile(name string) error {
	switch strings.ToLower(filepath.Ext(name)) {
	case ".png", ".svg":
		return nil
	}
	return &chat.Error{Code: chat.CodeInvalid, Detail: fmt.Sprintf("%q ends neither in .png nor in .svg", Line(name))}
}

func svg(code *qr.Code) []byte {
	size := code.Size + 2*fileQuiet
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" shape-rendering="crispEdges"><rect width="%d" height="%d" fill="#fff"/><path d="`,
		size, size, size, size)
	for y := range code.Size {
		for x := range code.Size {
			if code.Black(x, y) {
				fmt.Fprintf(&b, "M%d %dh1v1h-1z", x+fileQuiet, y+fileQuiet)
			}
		}
	}
	b.WriteString(`"/></svg>` + "\n")
	return []byte(b.String())
}

// fileQuiet is how many light modules stand around a code in a file, as the standard asks for.
const fileQuiet = 4

func half(upper, lower bool) string {
	switch {
	case upper && lower:
		return "█"
	case upper:
		return "▀"
	case lower:
		return "▄"
	}
	return " "
}

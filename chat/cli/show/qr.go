package show

import (
	"fmt"
	"strings"

	"rsc.io/qr"
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

package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/urfave/cli/v2"

	"parley/chat"
	"parley/chat/cli/show"
)

// codeFlags are those of commands that print a link: a code of it is for who stands there with a camera.
func codeFlags() []cli.Flag {
	return []cli.Flag{
		&cli.BoolFlag{Name: "qr", Usage: "draw the link as a QR code too, on standard error"},
		&cli.StringFlag{Name: "qr-out", Usage: "write the link as a QR code to a new `FILE` that ends in .png or .svg"},
	}
}

// writeLink writes a link to standard output, and then its code, where that was asked for: who has the link can go without the code.
func (a *App) writeLink(c *cli.Context, l chat.InviteLink, n chat.Network) (err error) {
	if c.Bool("json") {
		err = show.JSON(a.Stdout, show.OneLink(l, n))
	} else {
		_, err = fmt.Fprintln(a.Stdout, l.Link)
	}
	if err != nil {
		return err
	}
	return a.drawLink(c, l.Link)
}

// drawLink draws a link where that was asked for.
func (a *App) drawLink(c *cli.Context, link string) error {
	if c.Bool("qr") {
		style := a.style(false)
		if style.ASCII {
			return &chat.Error{
				Code: chat.CodeInvalid, Detail: "a QR code is drawn in blocks, and this terminal or language has none",
				Try: c.Command.HelpName + " --qr-out FILE",
			}
		}
		code, err := show.QR(link, style)
		if err != nil {
			return err
		}
		fmt.Fprint(a.Stderr, code)
	}
	if name := c.String("qr-out"); name != "" {
		return writeCode(name, link)
	}
	return nil
}

// writeCode writes a code into a new file that nobody else may read: whoever sees it may use the link.
func writeCode(name, link string) (err error) {
	data, err := show.QRFile(link, name)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	switch {
	case errors.Is(err, fs.ErrExist):
		return &chat.Error{Code: chat.CodeInvalid, Detail: name + " is there already, and stays as it is", Try: "rm " + name}
	case err != nil:
		return &chat.Error{Code: chat.CodeInvalid, Detail: fmt.Sprintf("cannot write %s: %v", name, err)}
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	_, err = f.Write(data)
	return err
}

package cli

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/urfave/cli/v2"

	"parley/chat"
	"parley/chat/cli/argv"
	"parley/chat/cli/show"
	"parley/chat/home"
)

// codeFlags are those of commands that print a link: a code of it is for who stands there with a camera.
func codeFlags() []cli.Flag {
	return []cli.Flag{
		&cli.BoolFlag{Name: "qr", Usage: "draw the link as a QR code too, on standard error"},
		&cli.StringFlag{Name: "qr-out", Usage: "write the link as a QR code to a new `FILE` that ends in .png or .svg"},
	}
}

// picture is how a link is to be drawn. What could keep it from that was looked at before there was a link: an invite that was made is open, whether its
// code can be written or not.
type picture struct {
	style *show.Style // as it is drawn on the terminal; nil: not at all
	file  *os.File    // new, and empty so far; nil: none
}

// picture reads how a link is to be drawn, and makes the file. Close it in the end.
func (a *App) picture(c *cli.Context) (p picture, err error) {
	if c.Bool("qr") {
		style := a.style(false)
		if style.ASCII {
			return p, &chat.Error{
				Code: chat.CodeInvalid, Detail: "a QR code is drawn in blocks, and this terminal or language has none",
				Try: c.Command.HelpName + " --qr-out FILE",
			}
		}
		p.style = &style
	}
	if c.IsSet("qr-out") {
		p.file, err = newCode(c.Command.HelpName, c.String("qr-out"))
	}
	return p, err
}

// newCode makes a new file for a code that nobody else may read: whoever sees it may use the link.
func newCode(command, name string) (*os.File, error) {
	if err := show.CheckQRFile(name); err != nil {
		return nil, argv.Usage(err.Error()+"; nothing was made", command+" --qr-out code.png")
	}
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	folder := filepath.Dir(name)
	switch {
	case errors.Is(err, fs.ErrExist):
		return nil, argv.Usage(name+" is there already, and stays as it is; nothing was made", "rm "+home.Word(name))
	case errors.Is(err, fs.ErrNotExist):
		return nil, argv.Usage(fmt.Sprintf("cannot write %s: there is no folder %s; nothing was made", name, folder), "mkdir -p "+home.Word(folder))
	case err != nil:
		if p, ok := errors.AsType[*fs.PathError](err); ok {
			err = p.Err
		}
		return nil, argv.Usage(fmt.Sprintf("cannot write %s: %v; nothing was made", name, err), command+" --qr-out FILE")
	}
	return f, nil
}

// draw draws a link, once.
func (p *picture) draw(out io.Writer, link string) error {
	if p.style != nil {
		code, err := show.QR(link, *p.style)
		if err != nil {
			return err
		}
		fmt.Fprint(out, code)
	}
	if p.file == nil {
		return nil
	}
	data, err := show.QRFile(link, p.file.Name())
	if err == nil {
		_, err = p.file.Write(data)
	}
	return err
}

// Close ends the picture. A file without all of a code goes.
func (p *picture) Close(drawn bool) error {
	if p.file == nil {
		return nil
	}
	err := p.file.Close()
	if !drawn || err != nil {
		err = errors.Join(err, os.Remove(p.file.Name()))
	}
	return err
}

// linked makes a link and writes it to standard output, and then its code, where that was asked for. Where the code cannot be, no link is made.
func (a *App) linked(c *cli.Context, n chat.Network, get func() (chat.InviteLink, error)) (l chat.InviteLink, err error) {
	p, err := a.picture(c)
	if err != nil {
		return l, err
	}
	defer func() { err = errors.Join(err, p.Close(err == nil)) }()
	if l, err = get(); err != nil {
		return l, err
	}
	if c.Bool("json") {
		err = show.JSON(a.Stdout, show.OneLink(l, n))
	} else {
		_, err = fmt.Fprintln(a.Stdout, l.Link)
	}
	if err != nil {
		return l, err
	}
	return l, p.draw(a.Stderr, l.Link)
}

//go:build !linux

package reach

import (
	"errors"
	"os"
)

// watchSystem is for Linux alone: elsewhere libp2p looks every few seconds.
func watchSystem() (*os.File, error) { return nil, errors.ErrUnsupported }

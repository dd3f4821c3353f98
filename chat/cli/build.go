package cli

import (
	"runtime/debug"
)

// Build returns what the toolchain wrote into this program about itself.
func Build(version string) VersionInfo {
	v := VersionInfo{Version: version}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return v
	}
	v.Go = info.GoVersion
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			v.Commit = s.Value
		case "vcs.time":
			v.Date = s.Value
		case "vcs.modified":
			v.Dirty = s.Value == "true"
		}
	}
	for _, m := range info.Deps {
		if m.Path == "github.com/libp2p/go-libp2p" {
			v.Libp2p = m.Version
		}
	}
	return v
}

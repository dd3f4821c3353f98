package node

import (
	golog "github.com/ipfs/go-log/v2"
	"github.com/libp2p/go-libp2p/gologshim"
	"go.uber.org/zap/exp/zapslog"
	"go.uber.org/zap/zapcore"
)

// BridgeLogs sends what the libraries log to core: libp2p's through slog, the DHT's through go-log. Call it before the first New or
// Join of the process: the libraries take their handler with their first line, and ignore a later one. What they warn of (a stranger
// who hangs up, say) is news for whoever asks for information; below that only their errors are told.
func BridgeLogs(core zapcore.Core) {
	if quiet, err := zapcore.NewIncreaseLevelCore(core, zapcore.ErrorLevel); err == nil && !core.Enabled(zapcore.InfoLevel) {
		core = quiet
	}
	gologshim.SetDefaultHandler(zapslog.NewHandler(core))
	golog.SetPrimaryCore(core)
}

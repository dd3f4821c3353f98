package cli

import (
	"io"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// NewLogger returns the logger that options ask for. It logs no message text, key or link: nobody hands it any.
func NewLogger(o LogOptions) *zap.Logger {
	if o.Writer == nil {
		o.Writer = io.Discard
	}
	level, err := zapcore.ParseLevel(o.Level)
	if err != nil {
		level = zapcore.WarnLevel
	}
	settings := zap.NewProductionEncoderConfig()
	settings.EncodeTime = zapcore.RFC3339NanoTimeEncoder
	encoder := zapcore.NewJSONEncoder(settings)
	if o.Format == "text" {
		settings.EncodeTime = zapcore.TimeEncoderOfLayout("15:04:05.000")
		encoder = zapcore.NewConsoleEncoder(settings)
	}
	return zap.New(zapcore.NewCore(encoder, zapcore.Lock(zapcore.AddSync(o.Writer)), level))
}

package argv

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"parley/chat"
)

// Limits reads what people say of how much a node is to keep for others: "mailbox=64MiB,mailbox-boxes=10000,owners=256,life=30d", in one text
// or several. What they do not name is zero.
func Limits(texts []string) (l chat.HostLimits, err error) {
	named := map[string]bool{}
	for _, one := range strings.Split(strings.Join(texts, ","), ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(one), "=")
		set := limitSetters(&l)[name]
		switch {
		case set == nil:
			return l, fmt.Errorf("there is no limit %q, but contact, link, open, mailbox, host and sure, each also with -boxes; owners; life", name)
		case named[name]:
			return l, fmt.Errorf("%s is named twice", name)
		}
		named[name] = true
		if err := set(value); err != nil {
			return l, fmt.Errorf("%s is %q: want %w", name, value, err)
		}
	}
	return l, nil
}

// limitSetters returns what reads the value of each limit.
func limitSetters(l *chat.HostLimits) map[string]func(string) error {
	setters := map[string]func(string) error{
		"owners": func(value string) (err error) { l.Quota.Owners, err = limitCount(value); return err },
		"life":   func(value string) (err error) { l.Life, err = limitLife(value); return err },
	}
	for name, room := range map[string]*chat.Room{
		"contact": &l.Quota.Contact, "link": &l.Quota.Link, "open": &l.Quota.Open,
		"mailbox": &l.Quota.Mailbox, "host": &l.Quota.Host, "sure": &l.Quota.Sure,
	} {
		setters[name] = func(value string) (err error) { room.Bytes, err = limitSize(value); return err }
		setters[name+"-boxes"] = func(value string) (err error) { room.Boxes, err = limitCount(value); return err }
	}
	return setters
}

// What a value may be, as its error says it. The most are far beyond any disk, and far below where sums of them would not fit a number.
var (
	errCount = errors.New("a number from 1 to 1000000000")
	errSize  = errors.New("a size like 64MiB, at most 1024TiB")
	errLife  = errors.New("a time like 30d or 12h")
)

const (
	maxLimitCount = 1_000_000_000
	maxLimitSize  = 1 << 50
	maxLimitLife  = 100 * 365 // days
)

func limitCount(value string) (int, error) {
	n, err := strconv.ParseUint(value, 10, 32)
	if err != nil || n < 1 || n > maxLimitCount {
		return 0, errCount
	}
	return int(n), nil
}

// limitSize reads a number of bytes, of which a suffix may make more.
func limitSize(value string) (int64, error) {
	unit := int64(1)
	for i, suffix := range []string{"KiB", "MiB", "GiB", "TiB"} {
		if number, ok := strings.CutSuffix(value, suffix); ok {
			value, unit = number, 1<<(10*(i+1))
		}
	}
	n, err := strconv.ParseUint(value, 10, 62)
	if err != nil || n < 1 || int64(n) > maxLimitSize/unit {
		return 0, errSize
	}
	return int64(n) * unit, nil
}

func limitLife(value string) (time.Duration, error) {
	d, err := span(value)
	if err != nil || d < time.Second {
		return 0, errLife
	}
	return d, nil
}

// span reads how long something is to last: what time.ParseDuration reads, or a number of days.
func span(value string) (time.Duration, error) {
	number, ok := strings.CutSuffix(value, "d")
	if !ok {
		return time.ParseDuration(value)
	}
	n, err := strconv.ParseUint(number, 10, 16)
	if err == nil && n > maxLimitLife {
		err = errLife
	}
	return time.Duration(n) * 24 * time.Hour, err
}

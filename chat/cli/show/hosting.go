package show

import (
	"fmt"
	"io"
	"time"

	"parley/chat"
)

// Hosting is what a node keeps for others at most.
type Hosting struct {
	Contact Room  `json:"contact"`
	Link    Room  `json:"link"`
	Open    Room  `json:"open"`
	Mailbox Room  `json:"mailbox"`
	Host    Room  `json:"host"`
	Owners  int   `json:"owners"`
	Sure    Room  `json:"sure"`
	Life    int64 `json:"life_s"`
}

// Room is a number of boxes and of bytes.
type Room struct {
	Boxes int   `json:"boxes"`
	Bytes int64 `json:"bytes"`
}

func oneHosting(l *chat.HostLimits) *Hosting {
	if l == nil {
		return nil
	}
	q := l.Quota
	return &Hosting{
		Contact: Room(q.Contact), Link: Room(q.Link), Open: Room(q.Open), Mailbox: Room(q.Mailbox), Host: Room(q.Host),
		Owners: q.Owners, Sure: Room(q.Sure), Life: int64(l.Life / time.Second),
	}
}

// writeHosting writes the lines of status about what a node keeps for others.
func writeHosting(w io.Writer, l *chat.HostLimits) {
	if l == nil {
		return
	}
	q := l.Quota
	fmt.Fprintf(w, "hosting    %s for %s at most, %s for each, for %s\n", room(q.Host), Count(q.Owners, "device"), room(q.Mailbox), life(l.Life))
	fmt.Fprintf(w, "           of that %s from one contact, %s by one link, %s from all strangers; %s are each device's for sure\n",
		room(q.Contact), room(q.Link), room(q.Open), room(q.Sure))
}

func room(r chat.Room) string { return fmt.Sprintf("%s in %d boxes", size(r.Bytes), r.Boxes) }

// size writes a number of bytes as people write a limit, in the largest unit in which it is whole.
func size(n int64) string {
	units := []string{"B", "KiB", "MiB", "GiB", "TiB"}
	i := 0
	for ; n > 0 && n%1024 == 0 && i < len(units)-1; i++ {
		n /= 1024
	}
	return fmt.Sprintf("%d%s", n, units[i])
}

// life writes a time as people write a limit.
func life(d time.Duration) string {
	if d%(24*time.Hour) == 0 {
		return fmt.Sprintf("%dd", d/(24*time.Hour))
	}
	return fmt.Sprintf("%gh", d.Hours())
}

package cli

import (
	"cmp"
	"net/netip"
	"os"

	"github.com/urfave/cli/v2"

	"parley/chat/cli/argv"
	"parley/chat/scrape"
)

// metricsAt says where figures are shown, if anywhere. Only up shows any: a command that starts a node for itself has none to show.
func metricsAt(c *cli.Context) (string, error) {
	at := cmp.Or(c.String("metrics"), os.Getenv("PARLEY_METRICS_LISTEN"))
	if at == "" || c.Command.Name != "up" {
		return "", nil
	}
	if err := scrape.Check(at); err != nil {
		return "", argv.Usage("metrics: "+err.Error(), "parley up --metrics 127.0.0.1:9464")
	}
	return at, nil
}

// prefixes parses networks.
func prefixes(texts []string) (list []netip.Prefix, err error) {
	for _, s := range texts {
		p, err := netip.ParsePrefix(s)
		if err != nil || p != p.Masked() || p.Bits() == 0 {
			return nil, argv.Usage("not a network: "+s, "parley up --trust-prefix 203.0.113.7/32")
		}
		list = append(list, p)
	}
	return list, nil
}

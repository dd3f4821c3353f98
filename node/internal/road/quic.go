package road

import (
	"context"
	"fmt"
	"net"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/p2p/transport/quicreuse"
	"github.com/quic-go/quic-go"
	"go.uber.org/fx"
)

// NewQUIC returns what libp2p's QUIC transport has its sockets from, for libp2p.QUICReuse: that of libp2p itself, with sockets of ours. As there,
// the resource manager is asked about each connection that comes in, and it all ends with the host.
func NewQUIC(reset quic.StatelessResetKey, token quic.TokenGeneratorKey, resources network.ResourceManager, life fx.Lifecycle) (*quicreuse.ConnManager, error) {
	m, err := quicreuse.NewConnManager(reset, token,
		quicreuse.OverrideListenUDP(ListenUDP),
		quicreuse.ConnContext(func(ctx context.Context, client *quic.ClientInfo) (context.Context, error) {
			return admit(ctx, client, resources)
		}),
		quicreuse.VerifySourceAddress(func(from net.Addr) bool { return resources.VerifySourceAddress(from) }))
	if err != nil {
		return nil, fmt.Errorf("make QUIC sockets: %w", err)
	}
	life.Append(fx.StopHook(m.Close))
	return m, nil
}

// admit asks whether there is room for a connection.
func admit(ctx context.Context, client *quic.ClientInfo, resources network.ResourceManager) (context.Context, error) {
	at, err := quicreuse.ToQuicMultiaddr(client.RemoteAddr, quic.Version1)
	if err != nil {
		at = nil // what is not known either is up to the resource manager
	}
	scope, err := resources.OpenConnection(network.DirInbound, false, at)
	if err != nil {
		return ctx, err
	}
	ctx = network.WithConnManagementScope(ctx, scope)
	context.AfterFunc(ctx, scope.Done)
	return ctx, nil
}

package e2e

import (
	"testing"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// place is what lies between a machine and the internet.
type place string

const (
	// public is nothing: everybody can dial the machine.
	public place = "public"
	// home is a router that keeps a port for all destinations, and lets in only answers: what most homes have.
	home place = "home"
	// cone is a router that lets everybody in to a port that is in use.
	cone place = "cone"
	// restricted is a router that lets in whoever was spoken to, from any port of theirs.
	restricted place = "restricted"
	// symmetric is a router that takes another port for each destination, as those of firms do: nobody can guess it.
	symmetric place = "symmetric"
	// rejecting is a home whose router answers what it does not let in, as OpenWrt does: the other side's attempt ends at once.
	rejecting place = "rejecting"
	// carrier is a home behind a router that many homes share, as with mobile carriers.
	carrier place = "carrier"
	// textual is a firm whose router lets no UDP through.
	textual place = "no UDP"
	// surfing is a firm whose router lets nothing through but the web.
	surfing place = "web alone"
)

const (
	wanLink = "wan"
	lanLink = "lan"
)

// ruleset is what a router of a namespace is told.
type ruleset struct {
	*nftables.Conn
	kind        place
	nat, filter *nftables.Table
	spoken      *nftables.Set // to whom those inside have spoken
}

// route makes a router of a namespace with the links "lan" and "wan", before a machine whose address is inside.
func route(t testing.TB, namespace int, kind place, inside [4]byte) {
	t.Helper()
	c, err := nftables.New(nftables.WithNetNSFd(namespace))
	if err != nil {
		t.Fatal(err)
	}
	r := &ruleset{Conn: c, kind: kind}
	r.nat = c.AddTable(&nftables.Table{Family: nftables.TableFamilyIPv4, Name: "nat"})
	r.filter = c.AddTable(&nftables.Table{Family: nftables.TableFamilyIPv4, Name: "filter"})
	r.translate(inside)
	r.pass()
	if kind == restricted {
		if err := r.remember(inside); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.Flush(); err != nil {
		t.Fatalf("make a router of the kind %q: %v", kind, err)
	}
}

// translate gives those inside the address of the router.
func (r *ruleset) translate(inside [4]byte) {
	arriving := r.AddChain(&nftables.Chain{ // without it nothing is translated back
		Name: "prerouting", Table: r.nat, Type: nftables.ChainTypeNAT, Hooknum: nftables.ChainHookPrerouting, Priority: nftables.ChainPriorityNATDest,
	})
	leaving := r.AddChain(&nftables.Chain{
		Name: "postrouting", Table: r.nat, Type: nftables.ChainTypeNAT, Hooknum: nftables.ChainHookPostrouting, Priority: nftables.ChainPriorityNATSource,
	})
	r.add(r.nat, leaving, link(expr.MetaKeyOIFNAME, wanLink), &expr.Masq{FullyRandom: r.kind == symmetric})
	if r.kind == cone {
		r.add(r.nat, arriving, link(expr.MetaKeyIIFNAME, wanLink), to(inside)...)
	}
}

// pass lets out what comes from inside, and in what answers it.
func (r *ruleset) pass() {
	drop := nftables.ChainPolicyDrop
	for name, hook := range map[string]*nftables.ChainHook{"input": nftables.ChainHookInput, "forward": nftables.ChainHookForward} {
		chain := r.AddChain(&nftables.Chain{
			Name: name, Table: r.filter, Type: nftables.ChainTypeFilter, Hooknum: hook, Priority: nftables.ChainPriorityFilter, Policy: &drop,
		})
		if r.kind == textual {
			r.add(r.filter, chain, protocol(unix.IPPROTO_UDP), &expr.Verdict{Kind: expr.VerdictDrop})
		}
		if r.kind == surfing {
			for _, port := range []uint16{80, 443} {
				r.add(r.filter, chain, append(link(expr.MetaKeyIIFNAME, lanLink), toPort(port)...), accept())
			}
		} else {
			r.add(r.filter, chain, link(expr.MetaKeyIIFNAME, lanLink), accept())
		}
		r.add(r.filter, chain, tracked(expr.CtKeySTATE, expr.CtStateBitESTABLISHED|expr.CtStateBitRELATED), accept())
		r.add(r.filter, chain, tracked(expr.CtKeySTATUS, translated), accept())
		if r.kind == rejecting {
			r.add(r.filter, chain, protocol(unix.IPPROTO_TCP), &expr.Reject{Type: unix.NFT_REJECT_TCP_RST})
			r.add(r.filter, chain, nil, &expr.Reject{Type: unix.NFT_REJECT_ICMP_UNREACH, Code: portUnreachable})
		}
	}
}

// translated is set in the status of what the router has sent on to a machine inside (IPS_DST_NAT).
const translated = 1 << 5

// portUnreachable is the code that says in ICMP what a reset says in TCP.
const portUnreachable = 3

// remember makes the router remember to whom those inside have spoken, and let these in.
func (r *ruleset) remember(inside [4]byte) error {
	r.spoken = &nftables.Set{Table: r.nat, Name: "spoken", KeyType: nftables.TypeIPAddr, Dynamic: true}
	if err := r.AddSet(r.spoken, nil); err != nil {
		return err
	}
	leaving := &nftables.Chain{Name: "postrouting", Table: r.nat}
	arriving := &nftables.Chain{Name: "prerouting", Table: r.nat}
	const source, destination = 12, 16 // in the header of IPv4
	r.InsertRule(&nftables.Rule{Table: r.nat, Chain: leaving, Exprs: []expr.Any{
		address(destination), &expr.Dynset{SrcRegKey: 1, SetName: r.spoken.Name, SetID: r.spoken.ID, Operation: unix.NFT_DYNSET_OP_ADD},
	}})
	known := append(link(expr.MetaKeyIIFNAME, wanLink), address(source), &expr.Lookup{SourceRegister: 1, SetName: r.spoken.Name, SetID: r.spoken.ID})
	r.add(r.nat, arriving, known, to(inside)...)
	return nil
}

func (r *ruleset) add(table *nftables.Table, chain *nftables.Chain, matches []expr.Any, then ...expr.Any) {
	r.AddRule(&nftables.Rule{Table: table, Chain: chain, Exprs: append(matches, then...)})
}

// link matches what comes or goes by a link.
func link(key expr.MetaKey, name string) []expr.Any {
	padded := make([]byte, 16)
	copy(padded, name)
	return []expr.Any{&expr.Meta{Key: key, Register: 1}, &expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: padded}}
}

// protocol matches packets of one.
func protocol(number byte) []expr.Any {
	return []expr.Any{&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: 1}, &expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{number}}}
}

// toPort matches packets of TCP to a port.
func toPort(port uint16) []expr.Any {
	const destination = 2 // in the header of TCP
	return append(protocol(unix.IPPROTO_TCP),
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: destination, Len: 2},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: binaryutil.BigEndian.PutUint16(port)})
}

// tracked matches what belongs to a connection of which one of some bits is set.
func tracked(key expr.CtKey, bits uint32) []expr.Any {
	known := binaryutil.NativeEndian.PutUint32(bits)
	none := binaryutil.NativeEndian.PutUint32(0)
	return []expr.Any{
		&expr.Ct{Key: key, Register: 1},
		&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: 4, Mask: known, Xor: none},
		&expr.Cmp{Op: expr.CmpOpNeq, Register: 1, Data: none},
	}
}

// address takes an IPv4 address out of a packet's header.
func address(offset uint32) expr.Any {
	return &expr.Payload{DestRegister: 1, Base: expr.PayloadBaseNetworkHeader, Offset: offset, Len: 4}
}

// to sends what comes to a machine inside.
func to(inside [4]byte) []expr.Any {
	return []expr.Any{
		&expr.Immediate{Register: 1, Data: inside[:]},
		&expr.NAT{Type: expr.NATTypeDestNAT, Family: unix.NFPROTO_IPV4, RegAddrMin: 1},
	}
}

func accept() expr.Any { return &expr.Verdict{Kind: expr.VerdictAccept} }

// forget makes a router forget all connections, as after a restart.
func forget(t testing.TB, namespace int) {
	t.Helper()
	c, err := netlink.Dial(unix.NETLINK_NETFILTER, &netlink.Config{NetNS: namespace})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	const deleteConnections = unix.NFNL_SUBSYS_CTNETLINK<<8 | 2 // IPCTNL_MSG_CT_DELETE
	header := []byte{unix.AF_INET, unix.NFNETLINK_V0, 0, 0}
	if _, err := c.Execute(netlink.Message{
		Header: netlink.Header{Type: deleteConnections, Flags: netlink.Request | netlink.Acknowledge}, Data: header,
	}); err != nil {
		t.Fatalf("forget connections: %v", err)
	}
}

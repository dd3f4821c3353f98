package e2e

import (
	"testing"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
)

// nat says what a router does with the ports of those behind it.
type nat string

const (
	// home keeps a port for all destinations, and lets in only answers: what most routers of homes do.
	home nat = "home"
	// symmetric takes another port for each destination, as routers of carriers and firms do: nobody can guess it.
	symmetric nat = "symmetric"
)

const (
	wanLink = "wan"
	lanLink = "lan"
)

// route makes a router of a namespace with the links "lan" and "wan": all that comes from outside unasked is dropped, without an answer.
func route(t testing.TB, namespace int, kind nat) {
	t.Helper()
	c, err := nftables.New(nftables.WithNetNSFd(namespace))
	if err != nil {
		t.Fatal(err)
	}
	drop := nftables.ChainPolicyDrop
	nat := c.AddTable(&nftables.Table{Family: nftables.TableFamilyIPv4, Name: "nat"})
	c.AddChain(&nftables.Chain{ // without it nothing is translated back
		Name: "prerouting", Table: nat, Type: nftables.ChainTypeNAT, Hooknum: nftables.ChainHookPrerouting, Priority: nftables.ChainPriorityNATDest,
	})
	leaving := c.AddChain(&nftables.Chain{
		Name: "postrouting", Table: nat, Type: nftables.ChainTypeNAT, Hooknum: nftables.ChainHookPostrouting, Priority: nftables.ChainPriorityNATSource,
	})
	c.AddRule(&nftables.Rule{Table: nat, Chain: leaving, Exprs: append(link(expr.MetaKeyOIFNAME, wanLink),
		&expr.Masq{FullyRandom: kind == symmetric})})
	filter := c.AddTable(&nftables.Table{Family: nftables.TableFamilyIPv4, Name: "filter"})
	for name, hook := range map[string]*nftables.ChainHook{"input": nftables.ChainHookInput, "forward": nftables.ChainHookForward} {
		chain := c.AddChain(&nftables.Chain{
			Name: name, Table: filter, Type: nftables.ChainTypeFilter, Hooknum: hook, Priority: nftables.ChainPriorityFilter, Policy: &drop,
		})
		c.AddRule(&nftables.Rule{Table: filter, Chain: chain, Exprs: append(link(expr.MetaKeyIIFNAME, lanLink), accept())})
		c.AddRule(&nftables.Rule{Table: filter, Chain: chain, Exprs: append(answers(), accept())})
	}
	if err := c.Flush(); err != nil {
		t.Fatalf("make a router with %s NAT: %v", kind, err)
	}
}

// link matches what comes or goes by a link.
func link(key expr.MetaKey, name string) []expr.Any {
	padded := make([]byte, 16)
	copy(padded, name)
	return []expr.Any{&expr.Meta{Key: key, Register: 1}, &expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: padded}}
}

// answers matches what belongs to a connection that was begun from inside.
func answers() []expr.Any {
	known := binaryutil.NativeEndian.PutUint32(expr.CtStateBitESTABLISHED | expr.CtStateBitRELATED)
	none := binaryutil.NativeEndian.PutUint32(0)
	return []expr.Any{
		&expr.Ct{Key: expr.CtKeySTATE, Register: 1},
		&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: 4, Mask: known, Xor: none},
		&expr.Cmp{Op: expr.CmpOpNeq, Register: 1, Data: none},
	}
}

func accept() expr.Any { return &expr.Verdict{Kind: expr.VerdictAccept} }

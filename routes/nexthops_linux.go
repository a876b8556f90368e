package routes

import (
	"context"
	"errors"
	"net/netip"
	"slices"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// lookupTables returns the tables that packets are looked up in: the system's,
// those that rules name, and those of VRF devices, for which one rule stands.
// Not ours: it may hold a million routes, and a dump of all tables gives each.
func lookupTables(ctx context.Context, f Family, links map[uint32]link, ours uint32) ([]uint32, error) {
	tables := []uint32{unix.RT_TABLE_MAIN, unix.RT_TABLE_LOCAL, unix.RT_TABLE_DEFAULT}
	for _, l := range links {
		if table, ok := l.vrfTable(); ok {
			tables = append(tables, table)
		}
	}
	body := make([]byte, unix.SizeofRtMsg)
	body[0] = f.af()
	err := collect(ctx, unix.NETLINK_ROUTE, unix.RTM_GETRULE, body, func(m netlink.Message) error {
		r, _, err := parseRule(m.Data)
		if err == nil {
			tables = append(tables, r.Table)
		}
		return err
	})
	slices.Sort(tables)
	tables = slices.Compact(tables)
	// 0 is no table: that of a rule which goes to another one, or to the VRFs.
	return slices.DeleteFunc(tables, func(t uint32) bool { return t == ours || t == unix.RT_TABLE_UNSPEC }), err
}

// vrfTable returns the table of a VRF device.
func (l link) vrfTable() (table uint32, ok bool) {
	const vrfTable = 1 // IFLA_VRF_TABLE
	if l.kind != "vrf" {
		return 0, false
	}
	err := eachAttr(l.data, 0, func(typ uint16, val []byte) {
		if typ == vrfTable && len(val) == 4 {
			table, ok = order.Uint32(val), true
		}
	})
	return table, ok && err == nil
}

// nextHops adds the gateways of a table's routes, and as connected networks
// the routes that need none.
func (es *entries) nextHops(ctx context.Context, f Family, table uint32, links map[uint32]link) error {
	query := routeQuery(f, table, unix.RTN_UNICAST)
	err := collect(ctx, unix.NETLINK_ROUTE, unix.RTM_GETROUTE, query, func(m netlink.Message) error {
		hops, r, err := parseHops(m.Data)
		if err != nil || r.Type != unix.RTN_UNICAST || r.Table != table {
			return err
		}
		for _, h := range hops {
			dev := links[h.index].name
			if h.gateway.IsValid() {
				es.host(h.gateway, "next hop on "+dev)
			} else if !h.object {
				es.network(r.Prefix, dev)
			}
		}
		return nil
	})
	if errors.Is(err, unix.ENOENT) { // no table until the first route
		return nil
	}
	return err
}

const rtaNHID = 30 // linux/rtnetlink.h, Linux 5.3

// hop is one way that a route takes.
type hop struct {
	index   uint32 // of the device
	gateway netip.Addr
	object  bool // the gateway is kept in an object that routes share
}

// parseHops reads a route and the ways it takes, at least one.
func parseHops(b []byte) ([]hop, Route, error) {
	single := hop{}
	var multi []hop
	var inner error
	r, err := parseRoute(b, func(typ uint16, val []byte) {
		if typ == unix.RTA_MULTIPATH {
			multi, inner = parseMultipath(val)
			return
		}
		single.attr(typ, val)
	})
	if multi == nil {
		multi = []hop{single}
	}
	return multi, r, errors.Join(err, inner)
}

func (h *hop) attr(typ uint16, val []byte) {
	switch {
	case typ == unix.RTA_OIF && len(val) == 4:
		h.index = order.Uint32(val)
	case typ == unix.RTA_GATEWAY:
		h.gateway = addrOf(val)
	case typ == unix.RTA_VIA && len(val) > 2: // a gateway of the other family, after its number
		h.gateway = addrOf(val[2:])
	case typ == rtaNHID:
		h.object = true
	}
}

// parseMultipath reads a list of struct rtnexthop, each with its attributes.
func parseMultipath(b []byte) ([]hop, error) {
	var hops []hop
	for len(b) > 0 {
		if len(b) < unix.SizeofRtNexthop {
			return nil, errMalformed
		}
		n := int(order.Uint16(b))
		if n < unix.SizeofRtNexthop || n > len(b) {
			return nil, errMalformed
		}
		h := hop{index: order.Uint32(b[4:])}
		if err := eachAttr(b[:n], unix.SizeofRtNexthop, h.attr); err != nil {
			return nil, err
		}
		hops = append(hops, h)
		b = b[min((n+3)&^3, len(b)):]
	}
	return hops, nil
}

// nextHopObjects adds the gateways that routes may share since Linux 5.3.
func (es *entries) nextHopObjects(ctx context.Context) error {
	const sizeofNhmsg = 8
	err := collect(ctx, unix.NETLINK_ROUTE, unix.RTM_GETNEXTHOP, make([]byte, sizeofNhmsg), func(m netlink.Message) error {
		return eachAttr(m.Data, sizeofNhmsg, func(typ uint16, val []byte) {
			if typ == unix.NHA_GATEWAY {
				es.host(addrOf(val), "next hop object")
			}
		})
	})
	if errors.Is(err, unix.EOPNOTSUPP) {
		return nil
	}
	return err
}

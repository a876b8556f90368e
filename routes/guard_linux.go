package routes

import (
	"context"
	"errors"
	"fmt"
	"net/netip"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// Entries returns what must stay reachable from this host: its own
// addresses, every next hop of every table, connected networks, tunnels' far
// ends, resolvers, and the addresses of logged-in users. It needs
// CAP_NET_ADMIN: the kernel tells nobody else about IPsec and WireGuard.
//
// With an error it still returns what it found, for people to read; no route
// should be added while some of what must not be cut off is unknown.
func (g Guard) Entries(ctx context.Context) ([]Entry, error) {
	es := new(entries)
	links, err := readLinks(ctx)
	errs := []error{err}
	note := func(what string, err error) {
		if err != nil {
			errs = append(errs, fmt.Errorf("read %s: %w", what, err))
		}
	}
	note("own addresses", es.addresses(ctx, links))
	for _, f := range families() {
		note("next hops", es.nextHops(ctx, f, links))
	}
	note("next hop objects", es.nextHopObjects(ctx))
	note("tunnels", es.tunnels(ctx, links))
	note("WireGuard peers", es.wireGuard(ctx, links))
	note("IPsec peers", es.ipsec(ctx))
	errs = append(errs, g.files(es))
	return es.list, errors.Join(errs...)
}

// collect is a dump for a set that only grows: an interrupted attempt leaves
// nothing behind that was not true a moment ago.
func collect(ctx context.Context, proto int, typ uint16, body []byte, f func(netlink.Message) error) error {
	return dump(ctx, proto, typ, body, func() {}, f)
}

// link is a network device.
type link struct {
	name, kind string
	data       []byte // IFLA_INFO_DATA: attributes of its kind
}

// readLinks returns the devices by index.
func readLinks(ctx context.Context) (map[uint32]link, error) {
	links := make(map[uint32]link)
	err := collect(ctx, unix.NETLINK_ROUTE, unix.RTM_GETLINK, make([]byte, unix.SizeofIfInfomsg), func(m netlink.Message) error {
		l, index, err := parseLink(m.Data)
		links[index] = l
		return err
	})
	if err != nil {
		return links, fmt.Errorf("read links: %w", err)
	}
	return links, nil
}

func parseLink(b []byte) (l link, index uint32, err error) {
	if len(b) < unix.SizeofIfInfomsg {
		return link{}, 0, errMalformed
	}
	var infoErr error
	err = eachAttr(b, unix.SizeofIfInfomsg, func(typ uint16, val []byte) {
		switch typ {
		case unix.IFLA_IFNAME:
			l.name = unix.ByteSliceToString(val)
		case unix.IFLA_LINKINFO:
			infoErr = eachAttr(val, 0, func(typ uint16, val []byte) {
				switch typ {
				case unix.IFLA_INFO_KIND:
					l.kind = unix.ByteSliceToString(val)
				case unix.IFLA_INFO_DATA:
					l.data = val
				}
			})
		}
	})
	return l, order.Uint32(b[4:]), errors.Join(err, infoErr)
}

// addresses adds this host's addresses and the networks around them.
func (es *entries) addresses(ctx context.Context, links map[uint32]link) error {
	return collect(ctx, unix.NETLINK_ROUTE, unix.RTM_GETADDR, make([]byte, unix.SizeofIfAddrmsg), func(m netlink.Message) error {
		if len(m.Data) < unix.SizeofIfAddrmsg {
			return errMalformed
		}
		dev := links[order.Uint32(m.Data[4:])].name
		bits := int(m.Data[1])
		// On a point-to-point device the network is the other end's.
		var local, address netip.Addr
		err := eachAttr(m.Data, unix.SizeofIfAddrmsg, func(typ uint16, val []byte) {
			switch typ {
			case unix.IFA_LOCAL:
				local = addrOf(val)
			case unix.IFA_ADDRESS:
				address = addrOf(val)
			}
		})
		if !local.IsValid() {
			local = address
		}
		es.host(local, "own address on "+dev)
		if p, err := address.Prefix(bits); err == nil {
			es.network(p, dev)
		}
		return err
	})
}

// network adds a connected network.
func (es *entries) network(p netip.Prefix, dev string) {
	if a := p.Addr(); p.Bits() > 0 && !a.IsLoopback() && !a.IsMulticast() {
		es.add(Entry{Prefix: p, Why: "connected network on " + dev, Network: true})
	}
}

// nextHops adds the gateways of every table's routes, and as connected
// networks the routes that need none.
func (es *entries) nextHops(ctx context.Context, f Family, links map[uint32]link) error {
	return collect(ctx, unix.NETLINK_ROUTE, unix.RTM_GETROUTE, routeQuery(f, 0, unix.RTN_UNICAST), func(m netlink.Message) error {
		hops, r, err := parseHops(m.Data)
		if err != nil || r.Type != unix.RTN_UNICAST {
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

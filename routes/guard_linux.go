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
// addresses, the next hops of all tables that packets are looked up in,
// connected networks, tunnels' far ends, resolvers, and the addresses of logged-in users. It needs
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
		tables, err := lookupTables(ctx, f, links, g.Settings.WithDefaults().Table)
		note("rules", err)
		for _, table := range tables {
			note("next hops", es.nextHops(ctx, f, table, links))
		}
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

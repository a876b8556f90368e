package routes

import (
	"context"
	"errors"
	"maps"
	"net/netip"
	"slices"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// remoteAttrs says under which attributes of IFLA_INFO_DATA a kind of tunnel
// keeps its far end (linux/if_tunnel.h, linux/if_link.h).
var remoteAttrs = map[string][]uint16{
	"vxlan":     {unix.IFLA_VXLAN_GROUP, unix.IFLA_VXLAN_GROUP6},
	"geneve":    {unix.IFLA_GENEVE_REMOTE, unix.IFLA_GENEVE_REMOTE6},
	"gre":       {iflaGRERemote},
	"gretap":    {iflaGRERemote},
	"erspan":    {iflaGRERemote},
	"ip6gre":    {iflaGRERemote},
	"ip6gretap": {iflaGRERemote},
	"ip6erspan": {iflaGRERemote},
	"ipip":      {iflaIPTunRemote},
	"sit":       {iflaIPTunRemote},
	"ip6tnl":    {iflaIPTunRemote},
	"vti":       {iflaVTIRemote},
	"vti6":      {iflaVTIRemote},
}

const (
	iflaGRERemote   = 7
	iflaIPTunRemote = 3
	iflaVTIRemote   = 5
)

// tunnels adds the far ends of VXLAN, Geneve, GRE, IPIP, SIT and VTI devices,
// and those that a VXLAN device with many keeps in its forwarding table.
func (es *entries) tunnels(ctx context.Context, links map[uint32]link) error {
	var errs []error
	for _, l := range byIndex(links) {
		err := tunnelRemotes(l, func(a netip.Addr) { es.host(a, "far end of "+l.kind+" "+l.name) })
		errs = append(errs, err)
	}
	body := make([]byte, unix.SizeofNdMsg)
	body[0] = unix.AF_BRIDGE
	err := collect(ctx, unix.NETLINK_ROUTE, unix.RTM_GETNEIGH, body, func(m netlink.Message) error {
		if len(m.Data) < unix.SizeofNdMsg {
			return errMalformed
		}
		dev := links[order.Uint32(m.Data[4:])].name
		return eachAttr(m.Data, unix.SizeofNdMsg, func(typ uint16, val []byte) {
			if typ == unix.NDA_DST {
				es.host(addrOf(val), "far end of vxlan "+dev)
			}
		})
	})
	return errors.Join(append(errs, err)...)
}

// byIndex returns the devices in a steady order.
func byIndex(links map[uint32]link) []link {
	var ls []link
	for _, i := range slices.Sorted(maps.Keys(links)) {
		ls = append(ls, links[i])
	}
	return ls
}

// tunnelRemotes calls f for every far end that the device itself names.
func tunnelRemotes(l link, f func(netip.Addr)) error {
	wanted := remoteAttrs[l.kind]
	if wanted == nil {
		return nil
	}
	return eachAttr(l.data, 0, func(typ uint16, val []byte) {
		for _, w := range wanted {
			if typ == w {
				f(addrOf(val))
			}
		}
	})
}

// wireGuard adds the endpoints of WireGuard peers, as far as they are known.
func (es *entries) wireGuard(ctx context.Context, links map[uint32]link) error {
	var family uint16
	for _, l := range byIndex(links) {
		if l.kind != "wireguard" {
			continue
		}
		if family == 0 {
			var err error
			if family, err = genericFamily("wireguard"); err != nil {
				return err
			}
		}
		body := []byte{unix.WG_CMD_GET_DEVICE, 1, 0, 0}
		body = appendAttr(body, unix.WGDEVICE_A_IFNAME, append([]byte(l.name), 0)...)
		err := collect(ctx, unix.NETLINK_GENERIC, family, body, func(m netlink.Message) error {
			return parseWireGuard(m.Data, func(a netip.Addr) { es.host(a, "WireGuard peer on "+l.name) })
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// genericFamily returns the number of a generic netlink family.
func genericFamily(name string) (uint16, error) {
	c, err := netlink.Dial(unix.NETLINK_GENERIC, nil)
	if err != nil {
		return 0, err
	}
	defer c.Close()
	body := appendAttr([]byte{unix.CTRL_CMD_GETFAMILY, 1, 0, 0}, unix.CTRL_ATTR_FAMILY_NAME, append([]byte(name), 0)...)
	ms, err := c.Execute(netlink.Message{
		Header: netlink.Header{Type: unix.GENL_ID_CTRL, Flags: netlink.Request},
		Data:   body,
	})
	if err != nil {
		return 0, err
	}
	var id uint16
	for _, m := range ms {
		err = eachAttr(m.Data, unix.GENL_HDRLEN, func(typ uint16, val []byte) {
			if typ == unix.CTRL_ATTR_FAMILY_ID && len(val) == 2 {
				id = order.Uint16(val)
			}
		})
	}
	if err == nil && id == 0 {
		err = errMalformed
	}
	return id, err
}

// parseWireGuard reads a part of a device's description: a list of peers,
// each a list of attributes.
func parseWireGuard(b []byte, f func(netip.Addr)) error {
	var errs []error
	err := eachAttr(b, unix.GENL_HDRLEN, func(typ uint16, peers []byte) {
		if typ != unix.WGDEVICE_A_PEERS {
			return
		}
		errs = append(errs, eachAttr(peers, 0, func(_ uint16, peer []byte) {
			errs = append(errs, eachAttr(peer, 0, func(typ uint16, val []byte) {
				if typ == unix.WGPEER_A_ENDPOINT {
					f(sockaddr(val))
				}
			}))
		}))
	})
	return errors.Join(append(errs, err)...)
}

// sockaddr returns the address of a struct sockaddr_in or sockaddr_in6.
func sockaddr(b []byte) netip.Addr {
	switch {
	case len(b) >= 8 && order.Uint16(b) == unix.AF_INET:
		return addrOf(b[4:8])
	case len(b) >= 24 && order.Uint16(b) == unix.AF_INET6:
		return addrOf(b[8:24])
	}
	return netip.Addr{}
}

// ipsec adds the far ends of IPsec's states, and of its policies, whose
// states come up later.
func (es *entries) ipsec(ctx context.Context) error {
	add := func(a netip.Addr) { es.host(a, "IPsec peer") }
	err := collect(ctx, unix.NETLINK_XFRM, xfrmGetSA, nil, func(m netlink.Message) error { return parseXfrmState(m.Data, add) })
	if errors.Is(err, unix.EPROTONOSUPPORT) { // a kernel without IPsec
		return nil
	}
	if err != nil {
		return err
	}
	return collect(ctx, unix.NETLINK_XFRM, xfrmGetPolicy, nil, func(m netlink.Message) error { return parseXfrmPolicy(m.Data, add) })
}

// From linux/xfrm.h; the same on all 64-bit systems.
const (
	xfrmGetSA     = 0x12
	xfrmGetPolicy = 0x15
	xfrmaTmpl     = 5

	stateDst, stateSrc, stateFamily = 56, 80, 212 // in struct xfrm_usersa_info
	sizeofPolicy                    = 168         // struct xfrm_userpolicy_info
	sizeofTmpl                      = 64          // struct xfrm_user_tmpl
	tmplDst, tmplFamily, tmplSrc    = 0, 24, 28
)

// xfrmAddr reads an xfrm_address_t, 16 bytes for either family.
func xfrmAddr(b []byte, family uint16) netip.Addr {
	if family == unix.AF_INET {
		return addrOf(b[:4])
	}
	return addrOf(b[:16])
}

func parseXfrmState(b []byte, f func(netip.Addr)) error {
	if len(b) < stateFamily+2 {
		return errMalformed
	}
	family := order.Uint16(b[stateFamily:])
	f(xfrmAddr(b[stateDst:], family))
	f(xfrmAddr(b[stateSrc:], family))
	return nil
}

func parseXfrmPolicy(b []byte, f func(netip.Addr)) error {
	return eachAttr(b, sizeofPolicy, func(typ uint16, val []byte) {
		for ; typ == xfrmaTmpl && len(val) >= sizeofTmpl; val = val[sizeofTmpl:] {
			family := order.Uint16(val[tmplFamily:])
			f(xfrmAddr(val[tmplDst:], family))
			f(xfrmAddr(val[tmplSrc:], family))
		}
	})
}

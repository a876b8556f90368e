package routes

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"
)

// Netlink speaks the host's byte order.
var order = binary.NativeEndian

var errMalformed = errors.New("malformed netlink message")

// nextAttr takes one attribute off b. The flag bits of its type are cleared.
func nextAttr(b []byte) (typ uint16, val, rest []byte, err error) {
	if len(b) < unix.SizeofRtAttr {
		return 0, nil, nil, errMalformed
	}
	n := int(order.Uint16(b))
	if n < unix.SizeofRtAttr || n > len(b) {
		return 0, nil, nil, errMalformed
	}
	typ = order.Uint16(b[2:]) &^ (unix.NLA_F_NESTED | unix.NLA_F_NET_BYTEORDER)
	return typ, b[unix.SizeofRtAttr:n], b[min((n+3)&^3, len(b)):], nil
}

// eachAttr calls f for every attribute of b after the first skip bytes.
func eachAttr(b []byte, skip int, f func(typ uint16, val []byte)) error {
	if len(b) < skip {
		return errMalformed
	}
	for b = b[skip:]; len(b) > 0; {
		typ, val, rest, err := nextAttr(b)
		if err != nil {
			return err
		}
		f(typ, val)
		b = rest
	}
	return nil
}

// appendAttr appends one attribute, padded.
func appendAttr(b []byte, typ uint16, val ...byte) []byte {
	b = order.AppendUint16(b, uint16(unix.SizeofRtAttr+len(val)))
	b = order.AppendUint16(b, typ)
	b = append(b, val...)
	for len(b)%4 != 0 {
		b = append(b, 0)
	}
	return b
}

func appendAttr32(b []byte, typ uint16, val uint32) []byte {
	b = order.AppendUint16(b, unix.SizeofRtAttr+4)
	b = order.AppendUint16(b, typ)
	return order.AppendUint32(b, val)
}

// addrOf returns the address of 4 or 16 bytes, or an invalid one.
func addrOf(b []byte) netip.Addr {
	a, _ := netip.AddrFromSlice(b)
	return a
}

func (f Family) af() uint8 {
	if f == IPv6 {
		return unix.AF_INET6
	}
	return unix.AF_INET
}

// shortTable is a table's place in the one byte of rtmsg and fib_rule_hdr;
// larger ones go into an attribute and leave it unspecified.
func shortTable(t uint32) uint8 {
	if t > 255 {
		return unix.RT_TABLE_UNSPEC
	}
	return uint8(t)
}

// appendRoute appends the body of an RTM_NEWROUTE or RTM_DELROUTE for r.
func appendRoute(b []byte, r Route) []byte {
	f := familyOf(r.Prefix)
	b = append(b, f.af(), uint8(r.Prefix.Bits()), 0, r.TOS, shortTable(r.Table), r.Protocol, unix.RT_SCOPE_UNIVERSE, r.Type, 0, 0, 0, 0)
	if f == IPv4 {
		a := r.Prefix.Addr().As4()
		b = appendAttr(b, unix.RTA_DST, a[:]...)
	} else {
		a := r.Prefix.Addr().As16()
		b = appendAttr(b, unix.RTA_DST, a[:]...)
	}
	b = appendAttr32(b, unix.RTA_TABLE, r.Table)
	if r.Metric != 0 {
		b = appendAttr32(b, unix.RTA_PRIORITY, r.Metric)
	}
	return b
}

// routeQuery is the body of a strict dump: the kernel leaves out what has
// another table or type, where these are not zero.
func routeQuery(f Family, table uint32, typ uint8) []byte {
	b := []byte{f.af(), 0, 0, 0, shortTable(table), 0, 0, typ, 0, 0, 0, 0}
	if table != 0 {
		b = appendAttr32(b, unix.RTA_TABLE, table)
	}
	return b
}

// parseRoute reads the body of an RTM_NEWROUTE or RTM_DELROUTE message. Other
// is called for the attributes a Route does not have, and may be nil.
func parseRoute(b []byte, other func(typ uint16, val []byte)) (Route, error) {
	if len(b) < unix.SizeofRtMsg {
		return Route{}, errMalformed
	}
	r := Route{TOS: b[3], Table: uint32(b[4]), Protocol: b[5], Type: b[7]}
	var dst netip.Addr
	switch b[0] {
	case unix.AF_INET:
		dst = netip.IPv4Unspecified()
	case unix.AF_INET6:
		dst = netip.IPv6Unspecified()
	default:
		return Route{}, fmt.Errorf("%w: route of family %d", errMalformed, b[0])
	}
	bits, size := int(b[1]), dst.BitLen()/8
	for b = b[unix.SizeofRtMsg:]; len(b) > 0; {
		typ, val, rest, err := nextAttr(b)
		if err != nil {
			return Route{}, err
		}
		b = rest
		switch {
		case typ == unix.RTA_DST && len(val) == size:
			dst = addrOf(val)
		case typ == unix.RTA_TABLE && len(val) == 4:
			r.Table = order.Uint32(val)
		case typ == unix.RTA_PRIORITY && len(val) == 4:
			r.Metric = order.Uint32(val)
		case other != nil:
			other(typ, val)
		}
	}
	p, err := dst.Prefix(bits)
	if err != nil || p.Addr() != dst {
		return Route{}, fmt.Errorf("%w: route to %s/%d", errMalformed, dst, bits)
	}
	r.Prefix = p
	return r, nil
}

// appendRule appends the body of an RTM_NEWRULE or RTM_DELRULE for our rule.
// The protocol keeps a delete away from a rule someone else put in its place.
func appendRule(b []byte, f Family, s Settings) []byte {
	b = append(b, f.af(), 0, 0, 0, shortTable(s.Table), 0, 0, unix.FR_ACT_TO_TBL, 0, 0, 0, 0)
	b = appendAttr32(b, unix.FRA_TABLE, s.Table)
	b = appendAttr32(b, unix.FRA_PRIORITY, s.Pref)
	return appendAttr(b, unix.FRA_PROTOCOL, s.Protocol)
}

// parseRule reads the body of an RTM_NEWRULE or RTM_DELRULE message. plain
// says that the rule has no condition: it sends every packet to its table.
func parseRule(b []byte) (r Rule, plain bool, err error) {
	if len(b) < unix.SizeofRtMsg {
		return Rule{}, false, errMalformed
	}
	switch b[0] {
	case unix.AF_INET:
		r.Family = IPv4
	case unix.AF_INET6:
		r.Family = IPv6
	default:
		return Rule{}, false, fmt.Errorf("%w: rule of family %d", errMalformed, b[0])
	}
	r.Table = uint32(b[4])
	flags := order.Uint32(b[8:]) &^ unix.FIB_RULE_PERMANENT
	plain = b[1] == 0 && b[2] == 0 && b[3] == 0 && b[7] == unix.FR_ACT_TO_TBL && flags == 0
	err = eachAttr(b, unix.SizeofRtMsg, func(typ uint16, val []byte) {
		switch {
		case typ == unix.FRA_TABLE && len(val) == 4:
			r.Table = order.Uint32(val)
		case typ == unix.FRA_PRIORITY && len(val) == 4:
			r.Pref = order.Uint32(val)
		case typ == unix.FRA_PROTOCOL && len(val) == 1:
			r.Protocol = val[0]
		case typ == unix.FRA_SUPPRESS_PREFIXLEN && len(val) == 4 && order.Uint32(val) == ^uint32(0):
			// The kernel always says it; this value means unset.
		default:
			plain = false
		}
	})
	return r, plain, err
}

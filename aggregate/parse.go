package aggregate

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
)

var errNotPrefix = errors.New("not an address or CIDR")

// ParsePrefix reads an address or a CIDR without blanks around it. Host bits
// are masked off and ::ffff:203.0.113.9 is 203.0.113.9. Zones (fe80::1%eth0)
// are refused: a ban has no interface.
func ParsePrefix(text string) (netip.Prefix, error) {
	var p netip.Prefix
	var err error
	if strings.IndexByte(text, '/') >= 0 {
		p, err = netip.ParsePrefix(text)
	} else {
		var a netip.Addr
		a, err = netip.ParseAddr(text)
		p = netip.PrefixFrom(a, a.BitLen())
	}
	if err != nil || p.Addr().Zone() != "" {
		return netip.Prefix{}, fmt.Errorf("parse prefix %q: %w", text, errNotPrefix)
	}
	if p.Addr().Is4In6() && p.Bits() >= 96 {
		p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
	}
	return p.Masked(), nil
}

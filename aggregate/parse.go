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
	if strings.Contains(text, "/") {
		p, _ = netip.ParsePrefix(text) // refuses zones itself
	} else if a, err := netip.ParseAddr(text); err == nil && a.Zone() == "" {
		p = netip.PrefixFrom(a, a.BitLen())
	}
	switch {
	case p.IsValid():
	case strings.Contains(text, "%"):
		return p, fmt.Errorf("parse prefix %q: an address with a zone means something on one machine only", text)
	default:
		return p, fmt.Errorf("parse prefix %q: %w", text, errNotPrefix)
	}
	if p.Addr().Is4In6() && p.Bits() >= 96 {
		p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
	}
	return p.Masked(), nil
}

// quadRoom is how many bytes parseIPv4 looks at: the longest quad and one more.
const quadRoom = len("255.255.255.255\n")

// parseIPv4 reads the dotted quad at the start of b, which has at least
// quadRoom bytes, and returns how long it is: 0 if there is none, or one that
// netip would refuse (leading zeros). What follows it is the caller's to judge.
func parseIPv4(b []byte) (addr uint32, n int) {
	b = b[:quadRoom]
	const in = quadRoom - 1 // n&in is n, and spares every bounds check
	for part := 0; ; part++ {
		first := uint32(b[n&in]) - '0'
		if first > 9 {
			return 0, 0
		}
		octet := first
		n++
		if digit := uint32(b[n&in]) - '0'; digit <= 9 {
			octet = octet*10 + digit
			n++
			if digit := uint32(b[n&in]) - '0'; digit <= 9 {
				octet = octet*10 + digit
				n++
			}
			if first == 0 || octet > 255 {
				return 0, 0
			}
		}
		addr = addr<<8 | octet
		if part == 3 {
			return addr, n
		}
		if b[n&in] != '.' {
			return 0, 0
		}
		n++
	}
}

// hexDigits is the value of every hexadecimal digit, 16 for other bytes.
var hexDigits = func() (t [256]uint8) {
	for c := range t {
		t[c] = 16
	}
	for v, c := range "0123456789abcdef" {
		t[c] = uint8(v)
		t[strings.ToUpper(string(c))[0]] = uint8(v)
	}
	return t
}()

// parseIPv6 is parseIPv4 for IPv6 written in hexadecimal only, outside
// ::ffff:0:0/96; b ends with a newline or goes on after one.
func parseIPv6(b []byte) (addr u128, n int) {
	var words [8]uint64
	count, gap := 0, -1 // gap is how many words come before ::
	if b[0] == ':' {
		if b[1] != ':' {
			return u128{}, 0
		}
		gap, n = 0, 2
	}
	for count < 8 {
		begin, word := n, uint64(0)
		for n < begin+4 && hexDigits[b[n]] < 16 {
			word = word<<4 | uint64(hexDigits[b[n]])
			n++
		}
		if n == begin {
			if gap == count {
				break // :: ends it
			}
			return u128{}, 0
		}
		words[count] = word
		count++
		if b[n] != ':' {
			break
		}
		n++
		if b[n] == ':' {
			if gap >= 0 {
				return u128{}, 0
			}
			gap = count
			n++
		}
	}
	if gap < 0 && count < 8 || gap >= 0 && count == 8 || b[n-1] == ':' && gap != count {
		return u128{}, 0
	}
	if gap >= 0 { // move what follows the gap to the end
		copy(words[gap+8-count:], words[gap:count])
		clear(words[gap : gap+8-count])
	}
	for i := range 4 {
		addr.hi = addr.hi<<16 | words[i]
		addr.lo = addr.lo<<16 | words[i+4]
	}
	if addr.hi == 0 && addr.lo>>32 == 0xffff {
		return u128{}, 0
	}
	return addr, n
}

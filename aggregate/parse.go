package aggregate

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"
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

// quadRoom is how many bytes parseIPv4 looks at: the longest quad and one more.
const quadRoom = len("255.255.255.255\n")

// parseIPv4 reads the dotted quad at the start of b, which has at least
// quadRoom bytes, and returns how long it is: 0 if there is none, or one that
// netip would refuse (leading zeros). What follows it is the caller's to judge.
func parseIPv4(b []byte) (addr uint32, n int) {
	b = b[:quadRoom]
	for part := range 4 {
		octet, width := parseOctet(binary.LittleEndian.Uint32(b[n : n+4]))
		if width == 0 {
			return 0, 0
		}
		addr = addr<<8 | octet
		n += width
		if part < 3 {
			if b[n] != '.' {
				return 0, 0
			}
			n++
		}
	}
	return addr, n
}

// parseOctet reads one to three digits at the start of four bytes of text, the
// first lowest; width 0 means there is no octet. It looks at all four bytes at
// once: with a branch a digit the processor guesses wrong once or twice in
// every random address, which doubles the time.
func parseOctet(text uint32) (octet uint32, width int) {
	// Digits are 0x30 to 0x39: the first other high half ends the number.
	width = bits.TrailingZeros32(text&0xf0f0f0f0^0x30303030) / 8
	// With the last digit moved to the top the others are in fixed places.
	digits := text << (32 - 8*width) & 0x0f0f0f0f
	octet = digits>>24 + digits>>16&15*10 + digits>>8&15*100
	// The least octet of two digits is 10, of three 100: else a zero leads.
	least := uint32(100<<24|10<<16) >> (8 * width) & 255
	if width > 3 || octet > 255 || octet < least || (digits+0x06060606)&0xf0f0f0f0 != 0 {
		return 0, 0
	}
	return octet, width
}

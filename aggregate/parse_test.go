package aggregate

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
)

// TestParseIPv4 compares with netip every spelling of an octet in every place,
// and what is no octet.
func TestParseIPv4(t *testing.T) {
	octets := []string{"", "00", "01", "001", "010", "0255", "1000",
		"/", ":", "1/", "1:", "11/", "11:", "x", "-1", " 1", "1 "}
	for n := range 1000 {
		octets = append(octets, fmt.Sprint(n))
	}
	for place := range 4 {
		for _, octet := range octets {
			parts := []string{"0", "9", "99", "255"}
			parts[place] = octet
			text := strings.Join(parts, ".")
			want, err := netip.ParseAddr(text)
			addr, n := parseIPv4([]byte(text + "\n" + strings.Repeat("x", quadRoom)))
			if (n == len(text)) != (err == nil) {
				t.Errorf("%q: takes %d bytes, netip says %v", text, n, err)
			} else if got := toPrefix(false, u128{lo: uint64(addr)}, 0).Addr(); err == nil && got != want {
				t.Errorf("%q: %v", text, got)
			}
		}
	}
}

// TestParseIPv6 compares with netip up to nine words, with single and double
// colons between them in every way, also before the first and after the last.
func TestParseIPv6(t *testing.T) {
	words := []string{"2001", "db8", "0", "9", "aF", "fffe", "7", "ABCD", "1"}
	var check func(text string, left []string, doubles int)
	check = func(text string, left []string, doubles int) {
		for _, end := range []string{"", ":", "::", ":::"} {
			checkIPv6(t, text+end)
		}
		if len(left) == 0 {
			return
		}
		if text == "" {
			for _, begin := range []string{"", ":", "::", ":::"} {
				check(begin+left[0], left[1:], strings.Count(begin, "::"))
			}
			return
		}
		check(text+":"+left[0], left[1:], doubles)
		if doubles < 2 {
			check(text+"::"+left[0], left[1:], doubles+1)
		}
	}
	check("", words, 0)
	odd := []string{"00000", "10000", "g", "G", "@", "`", "/", "00ff", "FFFF", "0123", "4567", "89ab", "cdef"}
	for _, word := range odd {
		for _, text := range []string{"%s::", "::%s", "1:%s::2", "1:2:3:4:5:6:7:%s", "%s:2:3:4:5:6:7:8", "::%s:1:2"} {
			checkIPv6(t, fmt.Sprintf(text, word))
		}
	}
}

// checkIPv6 wants text taken whole if and only if netip does, but for the
// addresses that mean IPv4.
func checkIPv6(t *testing.T, text string) {
	t.Helper()
	want, err := netip.ParseAddr(text)
	addr, n := parseIPv6([]byte(text + "\n"))
	if (n == len(text) && n > 0) != (err == nil && !want.Is4In6()) {
		t.Errorf("%q: takes %d bytes, netip says %v", text, n, err)
	} else if got := toPrefix(true, addr, 0).Addr(); n == len(text) && n > 0 && got != want {
		t.Errorf("%q: %v", text, got)
	}
}

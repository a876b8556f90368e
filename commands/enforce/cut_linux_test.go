package enforce

import (
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"

	"f2bc/commands/human"
	"f2bc/routes"
	"f2bc/routes/netnstest"
)

// The connections that routes would cut are named, 20 of them at most: here those of a host to itself, both ends.
func TestCutIsNamed(t *testing.T) {
	ns := netnstest.New(t)
	ns.Run("ip", "addr", "add", "192.0.2.1/32", "dev", "lo") // connections of loopback addresses do not count
	ns.Do(func() { cutIsNamed(t, netip.MustParseAddr("192.0.2.1")) })
}

func cutIsNamed(t *testing.T, addr netip.Addr) {
	listener, err := net.Listen("tcp", netip.AddrPortFrom(addr, 0).String())
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	h := newHost(t)
	if h.warnAboutCut(t.Context(), prefixes("1")); h.said.Len() != 0 {
		t.Errorf("said %q of an address that nobody talks to", h.said.String())
	}
	for _, connections := range []int{human.MaxNamed / 2, human.MaxNamed / 2} {
		connect(t, listener, connections)
		h.said.Reset()
		h.warnAboutCut(t.Context(), prefixes(addr.String()))
		var cut, all, more int
		said := h.said.String()
		if _, err := fmt.Sscanf(said, "would cut %d of %d established connections: ", &cut, &all); err != nil {
			t.Fatalf("said %q: %v", said, err)
		}
		names := strings.Split(strings.TrimSuffix(said, "\n"), ", ")
		if n, _ := fmt.Sscanf(names[len(names)-1], "and %d more", &more); n == 1 {
			names = names[:len(names)-1]
		}
		if n := len(names); cut < 2*connections || all < cut || n != human.MaxNamed || more != cut-n ||
			strings.Contains(said, "and 0") {
			t.Errorf("said %q", said)
		}
	}
}

func connect(t *testing.T, listener net.Listener, n int) {
	for range n {
		out, err := net.Dial("tcp", listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { out.Close() })
		in, err := listener.Accept()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { in.Close() })
	}
}

// A host on which UDP of banned addresses gets in is told, unless it only observes.
func TestUDPIsNamed(t *testing.T) {
	filtered, err := routes.InputFiltered(t.Context())
	for _, observe := range []bool{false, true} {
		h := newHost(t)
		h.Observe = observe
		h.warnAboutUDP(t.Context())
		said := h.said.String()
		if strings.Contains(said, "it is not known whether UDP") != (err != nil) ||
			strings.Contains(said, "stops the answers only") != (err == nil && !filtered && !observe) {
			t.Errorf("observe %v, filtered %v, %v: said %q", observe, filtered, err, said)
		}
	}
}

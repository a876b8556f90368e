package routes

import (
	"bytes"
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// What the parser of routes accepts, it encodes again to the same route; what
// it does not accept, it refuses without a panic. The others only must not panic.
func FuzzParse(f *testing.F) {
	s := Settings{}.WithDefaults()
	for _, p := range some {
		f.Add(appendRoute(nil, s.blackhole(p)))
	}
	f.Add(appendRule(nil, IPv4, s))
	f.Add(appendRule(nil, IPv6, Settings{Table: 77, Pref: 5, Protocol: 9}))
	f.Add(multipathRoute())
	f.Add(wireGuardPeers())
	f.Add(greLink())
	f.Fuzz(func(t *testing.T, b []byte) {
		if r, err := parseRoute(b, nil); err == nil {
			again, err := parseRoute(appendRoute(nil, r), nil)
			if err != nil || again != r {
				t.Errorf("%+v became %+v, %v", r, again, err)
			}
		} else if !errors.Is(err, errMalformed) {
			t.Errorf("route: %v", err)
		}
		if r, plain, err := parseRule(b); err == nil && plain {
			set := Settings{Table: r.Table, Pref: r.Pref, Protocol: r.Protocol}
			again, plain, err := parseRule(appendRule(nil, r.Family, set))
			if err != nil || !plain || again != r {
				t.Errorf("%+v became %+v, %v", r, again, err)
			}
		}
		if hops, _, err := parseHops(b); err == nil && len(hops) == 0 {
			t.Error("a route without a way")
		}
		ignore := func(netip.Addr) {}
		if l, _, err := parseLink(b); err == nil {
			_ = tunnelRemotes(l, ignore)
		}
		_ = parseWireGuard(b, ignore)
		_ = parseXfrmState(b, ignore)
		_ = parseXfrmPolicy(b, ignore)
		_, _, _ = parseDiag(b)
		parseUtmp(b, "amd64", func(string, netip.Addr) {})
		parseUtmp(b, "arm64", func(string, netip.Addr) {})
	})
}

// nest makes one attribute of others.
func nest(typ uint16, attrs ...[]byte) []byte {
	return appendAttr(nil, typ|unix.NLA_F_NESTED, slices.Concat(attrs...)...)
}

func multipathRoute() []byte {
	hop := func(index uint32, attr []byte) []byte {
		b := order.AppendUint16(nil, uint16(unix.SizeofRtNexthop+len(attr)))
		b = append(b, 0, 0)
		return append(order.AppendUint32(b, index), attr...)
	}
	b := appendRoute(nil, Route{Prefix: netip.MustParsePrefix("192.0.2.0/24"), Type: unix.RTN_UNICAST, Table: 254})
	return append(b, nest(unix.RTA_MULTIPATH,
		hop(2, appendAttr(nil, unix.RTA_GATEWAY, 198, 51, 100, 7)),
		hop(3, appendAttr(nil, unix.RTA_VIA, append([]byte{unix.AF_INET6, 0}, netip.MustParseAddr("2001:db8::7").AsSlice()...)...)),
		hop(4, nil))...)
}

func TestParseHops(t *testing.T) {
	hops, r, err := parseHops(multipathRoute())
	want := []hop{{index: 2, gateway: netip.MustParseAddr("198.51.100.7")}, {index: 3, gateway: netip.MustParseAddr("2001:db8::7")}, {index: 4}}
	if err != nil || !slices.Equal(hops, want) || r.Prefix.String() != "192.0.2.0/24" {
		t.Errorf("%+v %v %v", hops, r, err)
	}
}

func wireGuardPeers() []byte {
	v4 := append(order.AppendUint16(nil, unix.AF_INET), 0xca, 0x6c, 203, 0, 113, 90, 0, 0, 0, 0, 0, 0, 0, 0)
	v6 := append(order.AppendUint16(nil, unix.AF_INET6), 0xca, 0x6c, 0, 0, 0, 0)
	v6 = append(append(v6, netip.MustParseAddr("2001:db8::90").AsSlice()...), 0, 0, 0, 0)
	key := func(n byte) []byte { return appendAttr(nil, unix.WGPEER_A_PUBLIC_KEY, bytes.Repeat([]byte{n}, 32)...) }
	return append([]byte{unix.WG_CMD_GET_DEVICE, 1, 0, 0}, nest(unix.WGDEVICE_A_PEERS,
		nest(0, key(1), appendAttr(nil, unix.WGPEER_A_ENDPOINT, v4...)),
		nest(0, key(2)), // has not been heard of yet
		nest(0, key(3), appendAttr(nil, unix.WGPEER_A_ENDPOINT, v6...)))...)
}

func TestParseWireGuard(t *testing.T) {
	var got []string
	err := parseWireGuard(wireGuardPeers(), func(a netip.Addr) { got = append(got, a.String()) })
	if err != nil || !slices.Equal(got, []string{"203.0.113.90", "2001:db8::90"}) {
		t.Errorf("%v, %v", got, err)
	}
}

// greLink is a device as a kernel with GRE describes it.
func greLink() []byte {
	b := make([]byte, unix.SizeofIfInfomsg)
	order.PutUint32(b[4:], 12)
	b = append(b, appendAttr(nil, unix.IFLA_IFNAME, []byte("gre1\x00")...)...)
	return append(b, nest(unix.IFLA_LINKINFO,
		appendAttr(nil, unix.IFLA_INFO_KIND, []byte("gre\x00")...),
		nest(unix.IFLA_INFO_DATA, appendAttr(nil, 6, 198, 51, 100, 2), appendAttr(nil, 7, 203, 0, 113, 80)))...)
}

func TestParseLink(t *testing.T) {
	l, index, err := parseLink(greLink())
	if err != nil || index != 12 || l.name != "gre1" || l.kind != "gre" {
		t.Fatalf("%+v %d %v", l, index, err)
	}
	var got []netip.Addr
	if err := tunnelRemotes(l, func(a netip.Addr) { got = append(got, a) }); err != nil || len(got) != 1 || got[0].String() != "203.0.113.80" {
		t.Errorf("%v, %v", got, err)
	}
}

func TestParseXfrmState(t *testing.T) {
	for _, c := range []struct {
		family   uint16
		src, dst string
	}{{unix.AF_INET, "198.51.100.2", "203.0.113.73"}, {unix.AF_INET6, "2001:db8::2", "2001:db8::73"}} {
		b := make([]byte, 224) // sizeof(struct xfrm_usersa_info)
		copy(b[56:], netip.MustParseAddr(c.dst).AsSlice())
		copy(b[80:], netip.MustParseAddr(c.src).AsSlice())
		order.PutUint16(b[212:], c.family)
		var got []string
		err := parseXfrmState(b, func(a netip.Addr) { got = append(got, a.String()) })
		if err != nil || !slices.Equal(got, []string{c.dst, c.src}) {
			t.Errorf("%v, %v", got, err)
		}
	}
}

// utmp returns one record as login(1) would write it on that system.
func utmp(goarch string, typ uint16, user string, addr netip.Addr) []byte {
	size, at := 384, 348
	if goarch == "arm64" {
		size, at = 400, 360
	}
	b := make([]byte, size)
	order.PutUint16(b, typ)
	copy(b[44:76], user)
	copy(b[76:], "some.name.example")
	copy(b[at:], addr.AsSlice())
	return b
}

func TestParseUtmp(t *testing.T) {
	for _, arch := range []string{"amd64", "arm64"} {
		file := slices.Concat(
			utmp(arch, 2, "reboot", netip.Addr{}),
			utmp(arch, 7, "anna", netip.MustParseAddr("203.0.113.21")),
			utmp(arch, 8, "gone", netip.MustParseAddr("203.0.113.22")),
			utmp(arch, 7, "console", netip.Addr{}),
			utmp(arch, 7, "berta", netip.MustParseAddr("2001:db8::21")),
			[]byte("half a record"))
		var got []string
		parseUtmp(file, arch, func(user string, a netip.Addr) { got = append(got, user+" "+a.String()) })
		if !slices.Equal(got, []string{"anna 203.0.113.21", "berta 2001:db8::21"}) {
			t.Errorf("%s: %q", arch, got)
		}
	}
}

func TestGuardFiles(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		name = filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return name
	}
	stub := write("resolv.conf", "# stub\nnameserver 127.0.0.53\noptions edns0 trust-ad\nsearch example\n")
	resolved := write("resolved.conf", "nameserver 203.0.113.53\nnameserver\t2001:db8::53\nnameserver fe80::1%eth0\nnameserver nonsense\n#nameserver 203.0.113.54\n")
	write("sessions/1", "# private\nUID=0\nUSER=anna\nREMOTE=1\nREMOTE_HOST=203.0.113.31\n")
	write("sessions/2", "USER=berta\nREMOTE=1\nREMOTE_HOST=2001:db8::31\n")
	write("sessions/3", "USER=local\nREMOTE=0\n")
	write("sessions/4", "USER=named\nREMOTE=1\nREMOTE_HOST=client.example\n")
	if err := syscall.Mkfifo(filepath.Join(dir, "sessions/1.ref"), 0o600); err != nil {
		t.Fatal(err)
	}
	es := new(entries)
	g := Guard{
		Resolvers: []string{stub, resolved, filepath.Join(dir, "none")},
		Sessions:  filepath.Join(dir, "sessions"),
		Utmp:      write("utmp", ""),
	}
	if err := g.files(es); err != nil {
		t.Fatal(err)
	}
	want := []Entry{
		{Prefix: netip.MustParsePrefix("203.0.113.53/32"), Why: "resolver in " + resolved},
		{Prefix: netip.MustParsePrefix("2001:db8::53/128"), Why: "resolver in " + resolved},
		{Prefix: netip.MustParsePrefix("fe80::1/128"), Why: "resolver in " + resolved},
		{Prefix: netip.MustParsePrefix("203.0.113.31/32"), Why: "logged-in user anna"},
		{Prefix: netip.MustParsePrefix("2001:db8::31/128"), Why: "logged-in user berta"},
	}
	if !slices.Equal(es.list, want) {
		t.Errorf("%+v", es.list)
	}

	// A directory cannot be read as a file: that must not go unnoticed.
	g.Resolvers[1] = dir
	if err := g.files(new(entries)); err == nil {
		t.Error("an unreadable file is no error")
	}
	none := filepath.Join(dir, "none")
	if err := (Guard{Resolvers: []string{none}, Sessions: none, Utmp: none}).files(new(entries)); err != nil {
		t.Errorf("missing files: %v", err)
	}
}

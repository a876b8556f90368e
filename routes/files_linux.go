package routes

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"strings"
)

// A stub such as 127.0.0.53 hides the resolvers that it asks; these files of
// systemd-resolved and NetworkManager name them.
var systemResolvers = []string{
	"/etc/resolv.conf",
	"/run/systemd/resolve/resolv.conf",
	"/run/NetworkManager/no-stub-resolv.conf",
}

// entries is a set of them in the order in which they came.
type entries struct {
	list []Entry
	seen map[Entry]bool // without Why: the first reason is enough
}

func (es *entries) add(e Entry) {
	key := Entry{Prefix: e.Prefix, Network: e.Network}
	if !e.Prefix.IsValid() || es.seen[key] {
		return
	}
	if es.seen == nil {
		es.seen = make(map[Entry]bool)
	}
	es.seen[key] = true
	es.list = append(es.list, e)
}

// host adds one address. Loopback needs no guard: the kernel's local table
// is asked before ours.
func (es *entries) host(a netip.Addr, why string) {
	a = a.Unmap().WithZone("")
	if a.IsValid() && !a.IsUnspecified() && !a.IsLoopback() && !a.IsMulticast() {
		es.add(Entry{Prefix: netip.PrefixFrom(a, a.BitLen()), Why: why})
	}
}

// files adds what the files say: the resolvers and who is logged in.
func (g Guard) files(es *entries) error {
	var errs []error
	resolvers := g.Resolvers
	if resolvers == nil {
		resolvers = systemResolvers
	}
	for _, name := range resolvers {
		b, err := readIfThere(name)
		errs = append(errs, err)
		for _, a := range parseResolvers(b) {
			es.host(a, "resolver in "+name)
		}
	}
	sessions := cmp.Or(g.Sessions, "/run/systemd/sessions")
	dir, err := os.ReadDir(sessions)
	if !errors.Is(err, fs.ErrNotExist) {
		errs = append(errs, err)
	}
	for _, d := range dir {
		if !d.Type().IsRegular() { // beside each session is a pipe, which would block
			continue
		}
		b, err := readIfThere(filepath.Join(sessions, d.Name()))
		errs = append(errs, err)
		user, a := parseSession(b)
		es.host(a, "logged-in user "+user)
	}
	utmp := cmp.Or(g.Utmp, "/run/utmp")
	b, err := readIfThere(utmp)
	errs = append(errs, err)
	parseUtmp(b, runtime.GOARCH, func(user string, a netip.Addr) { es.host(a, "logged-in user "+user) })
	return errors.Join(errs...)
}

func readIfThere(name string) ([]byte, error) {
	b, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read guard: %w", err)
	}
	return b, nil
}

// parseResolvers returns the addresses of a resolv.conf(5).
func parseResolvers(b []byte) []netip.Addr {
	var as []netip.Addr
	for sc := bufio.NewScanner(bytes.NewReader(b)); sc.Scan(); {
		f := strings.Fields(sc.Text())
		if len(f) < 2 || f[0] != "nameserver" {
			continue
		}
		if a, err := netip.ParseAddr(f[1]); err == nil {
			as = append(as, a)
		}
	}
	return as
}

// parseSession returns the user and the far end of a logind session. The
// address is invalid for a local session, and where sshd wrote a name.
func parseSession(b []byte) (user string, a netip.Addr) {
	for sc := bufio.NewScanner(bytes.NewReader(b)); sc.Scan(); {
		key, val, _ := strings.Cut(sc.Text(), "=")
		switch key {
		case "USER":
			user = val
		case "REMOTE_HOST":
			a, _ = netip.ParseAddr(val)
		}
	}
	return user, a
}

// parseUtmp calls f for every login in a utmp(5) file that has an address.
func parseUtmp(b []byte, goarch string, f func(user string, a netip.Addr)) {
	const (
		userProcess = 7
		user, host  = 44, 76
	)
	// struct utmp is as large on amd64 as on a 32-bit system; arm64 has no
	// such past and gives its session and time 64 bits.
	size, addr := 384, 348
	if goarch == "arm64" {
		size, addr = 400, 360
	}
	for ; len(b) >= size; b = b[size:] {
		if binary.NativeEndian.Uint16(b) != userProcess {
			continue
		}
		name, _, _ := bytes.Cut(b[user:host], []byte{0})
		raw := b[addr : addr+16]
		if bytes.Equal(raw[4:], make([]byte, 12)) {
			raw = raw[:4] // ut_addr_v6 holds IPv4 in its first word
		}
		if a, _ := netip.AddrFromSlice(raw); !a.IsUnspecified() {
			f(string(name), a)
		}
	}
}

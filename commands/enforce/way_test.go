package enforce

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"f2bc/commands/neverban"
	"f2bc/store/state"
)

// fakeSSH puts an ssh in PATH that says of each destination what is in answers, and nothing of any other.
func fakeSSH(t *testing.T, answers map[string]string) {
	t.Helper()
	script := "#!/bin/sh\n[ \"$1 $2\" = '-G --' ] || exit 1\ncase \"$3\" in\n"
	for destination, answer := range answers {
		script += fmt.Sprintf("'%s') printf '%s' ;;\n", destination, answer)
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "ssh"), []byte(script+"*) exit 255 ;;\nesac\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir)
}

// The hosts of the database stay reachable, and where ssh goes to them the hub and its jump hosts, but no name that the
// hub would resolve, no loopback address, and nothing that is no host.
func TestWay(t *testing.T) {
	fakeSSH(t, map[string]string{
		"hub":                    `user f2bc\nhostname 192.0.2.1\nproxyjump jump:2222,other\n`,
		"ssh://jump:2222":        `hostname 192.0.2.2\nproxyjump ssh://last\n`,
		"ssh://last":             `hostname last.example\nproxyjump none\n`,
		"six":                    `hostname [2001:db8::1]\n`,
		"loop":                   `hostname 192.0.2.3\nproxyjump loop\n`,
		"ssh://loop":             `hostname 192.0.2.4\nproxyjump loop\n`,
		"f2bc@alias.example":     `hostname real.example\n`,
		"f2bc@not an entry.here": `hostname not an entry\n`,
	})
	for _, c := range []struct{ ssh, hosts, want string }{
		{"", "db.example:3306 192.0.2.9:3306 127.0.0.1:3306 [2001:db8::9]:3306 noport",
			"198.51.100.1/32 database host db.example, 192.0.2.9/32 database host 192.0.2.9, " +
				"2001:db8::9/128 database host 2001:db8::9"},
		{"hub", "db.example:3306 192.0.2.9:3306", "192.0.2.1/32 ssh hub hub, 192.0.2.2/32 ssh hub hub, " +
			"198.51.100.2/32 ssh hub hub, 192.0.2.9/32 database host 192.0.2.9"},
		{"six", "", "2001:db8::1/128 ssh hub six"},
		{"loop", "", "192.0.2.3/32 ssh hub loop, 192.0.2.4/32 ssh hub loop, 192.0.2.4/32 ssh hub loop, " +
			"192.0.2.4/32 ssh hub loop, 192.0.2.4/32 ssh hub loop"},
		{"f2bc@alias.example", "", "198.51.100.3/32 ssh hub f2bc@alias.example"},
		{"f2bc@192.0.2.5", "", "192.0.2.5/32 ssh hub f2bc@192.0.2.5"}, // ssh says nothing of it
		{"192.0.2.6", "", "192.0.2.6/32 ssh hub 192.0.2.6"},
		{"f2bc@not an entry.here", "", ""},
		{"f2bc@unknown.example", "", ""},
	} {
		names := map[string]string{
			"db.example": "198.51.100.1", "last.example": "198.51.100.2", "real.example": "198.51.100.3",
		}
		w := Way{Hosts: strings.Fields(c.hosts), SSH: c.ssh, Env: os.Environ(), Names: neverban.Resolver{
			State: state.Dir(t.TempDir()), Say: func(string, ...any) {},
			Lookup: func(_ context.Context, host string) ([]netip.Addr, error) {
				if addr, err := netip.ParseAddr(names[host]); err == nil {
					return []netip.Addr{addr}, nil
				}
				return nil, errors.New("no such host")
			},
		}}
		var got []string
		for _, entry := range w.Entries(t.Context()) {
			got = append(got, entry.Prefix.String()+" "+entry.Why)
		}
		if text := strings.Join(got, ", "); text != c.want {
			t.Errorf("ssh %q, hosts %q:\n%s\nwant\n%s", c.ssh, c.hosts, text, c.want)
		}
	}
}

package store

import (
	"net"
	"net/netip"
	"net/url"
	"reflect"
	"strings"
	"testing"
)

func TestParseDSN(t *testing.T) {
	pin := strings.Repeat("0a", 32)
	for _, c := range []struct {
		text string
		want DSN
	}{
		{"mysql://f2bc@/f2bc?socket=/run/mysqld/mysqld.sock", DSN{Socket: "/run/mysqld/mysqld.sock"}},
		{"mysql://f2bc:a:b@c@db1/f2bc?tls=false", DSN{Password: "a:b@c", Hosts: []string{"db1:3306"}, TLS: "false"}},
		{"mysql://f2bc@[::1]:1,[fe80::1%eth0]/f2bc?tls=true", DSN{Hosts: []string{"[::1]:1", "[fe80::1%eth0]:3306"}, TLS: "true"}},
		{"mysql://f2bc@db1/f2bc?tls=sha256:" + pin + "," + strings.Repeat("0A:", 31) + "0A", DSN{Hosts: []string{"db1:3306"}, TLS: "sha256", Pins: []string{pin, pin}}},
		{"mysql://f2bc@db1/f2bc?tls-ca=/a&tls-cert=/b&tls-key=/c", DSN{Hosts: []string{"db1:3306"}, TLS: "true", CAFile: "/a", CertFile: "/b", KeyFile: "/c"}},
		{"mysql://f2bc@db1,127.0.0.1/f2bc?server-key=/k", DSN{Hosts: []string{"db1:3306", "127.0.0.1:3306"}, ServerKey: "/k"}},
		{"mysql://f2bc@db1/f2bc?server-key=/k&tls=false", DSN{Hosts: []string{"db1:3306"}, ServerKey: "/k", TLS: "false"}},
		{"mysql://f2bc@db1/f2bc?tls-cert=/b&tls=sha256:" + pin, DSN{Hosts: []string{"db1:3306"}, TLS: "sha256", Pins: []string{pin}, CertFile: "/b"}},
	} {
		c.want.User, c.want.Database = "f2bc", "f2bc"
		if got, err := ParseDSN(c.text); err != nil || !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: %+v %v, want %+v", c.text, got, err, c.want)
		}
	}
	for text, want := range map[string]string{
		"":                                "want mysql://",
		"postgres://f2bc@db1/f2bc":        "want mysql://",
		"sqlite://f2bc.db":                "the path absolute",
		"mysql://db1/f2bc":                "no user",
		"mysql://@db1/f2bc":               "no valid user",
		"mysql://f2bc:%zz@db1/f2bc":       "write it as %25",
		"mysql://f2bc@db1":                "no database",
		"mysql://f2bc@db1/a/b":            "no database",
		"mysql://f2bc@/f2bc":              "want either hosts or ?socket",
		"mysql://f2bc@db1,/f2bc":          "want host or host:port",
		"mysql://f2bc@::1/f2bc":           "in brackets",
		"mysql://f2bc@[db1]/f2bc":         "not an IPv6 address",
		"mysql://f2bc@db1:99999/f2b":      "want host or host:port",
		"mysql://f2bc@db1/f2bc?socket=/s": "want either hosts or ?socket",
		"mysql://f2bc@db1/f2bc?tls=maybe": `unknown option "tls=maybe"`,
		"mysql://f2bc@db1/f2bc?timeout=5": "unknown option",
		"mysql://f2bc@db1/f2bc?tls=sha256:" + pin + "&tls=false": `option "tls" stands twice`,
		"mysql://f2bc@db1/f2bc?tls=sha256:0a":                    "is no fingerprint",
		"mysql://f2bc@db1/f2bc?tls=sha256:":                      "is no fingerprint",
		"mysql://f2bc@db1/f2bc?tls-ca=ca.pem":                    "want an absolute path",
		"mysql://f2bc@db1/f2bc?tls-key=/k":                       "tls-key without tls-cert",
		"mysql://f2bc@db1/f2bc?tls=false&tls-ca=/a":              "contradicts",
		"mysql://f2bc@db1/f2bc?tls-ca=/a&tls=sha256:" + pin:      "contradict",
		"mysql://f2bc@/f2bc?socket=/s&tls=true":                  "a socket needs no TLS",
		"mysql://f2bc@/f2bc?tls-ca=/a&socket=/s":                 "a socket needs no TLS",
		"mysql://f2bc@/f2bc?server-key=/k&socket=/s":             "a socket needs no server-key",
		"mysql://f2bc@db1/f2bc?server-key=/k":                    "server-key is for a connection without TLS",
		"mysql://f2bc@127.0.0.1/f2bc?server-key=/k&tls=true":     "server-key is for a connection without TLS",
		"mysql://f2bc@127.0.0.1/f2bc?server-key=k":               "want an absolute path",
	} {
		if got, err := ParseDSN(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %+v, %v, want %s", text, got, err, want)
		}
	}
}

// FuzzParseDSN: nothing panics; what is accepted can be dialled, and parses the same from what is printed, but for what is
// not printed; and neither a printed DSN nor an error depends on the password.
func FuzzParseDSN(f *testing.F) {
	f.Add("mysql://f2bc:p%40ss@db1.example,db2.example:3307,[2001:db8::1]/f2bc?tls=false")
	f.Add("sqlite:///var/lib/f2bc/f2bc.db")
	f.Fuzz(func(t *testing.T, text string) {
		d, err := ParseDSN(text)
		scheme, rest, _ := strings.Cut(text, "://")
		at := strings.LastIndexByte(rest, '@')
		user, password, ok := strings.Cut(rest[:max(at, 0)], ":")
		if _, bad := url.PathUnescape(password); ok && bad == nil && scheme != "sqlite" {
			other, otherErr := ParseDSN(scheme + "://" + user + ":xyzzy" + rest[at:])
			if other.String() != d.String() || (err == nil) != (otherErr == nil) || err != nil && err.Error() != otherErr.Error() {
				t.Errorf("%q: %v, %v; with another password %v, %v", text, d, err, other, otherErr)
			}
		}
		if err != nil {
			if !reflect.DeepEqual(d, DSN{}) {
				t.Errorf("%q: %v and %+v", text, err, d)
			}
			return
		}
		again, err := ParseDSN(d.String())
		d.Password, d.TLS, d.Pins, d.CAFile, d.CertFile, d.KeyFile, d.ServerKey = "", "", nil, "", "", "", ""
		if err != nil || !reflect.DeepEqual(again, d) {
			t.Errorf("%q: %+v; again %+v, %v", text, d, again, err)
		}
		for _, address := range d.Hosts {
			host, port, err := net.SplitHostPort(address)
			if err != nil || host == "" || port == "" {
				t.Errorf("%q: host %q, %v", text, address, err)
			}
			if a, err := netip.ParseAddr(host); err == nil && a.IsLoopback() != local(address) {
				t.Errorf("%q: %q is local: %v", text, address, local(address))
			}
		}
	})
}

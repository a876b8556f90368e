package store

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strings"
)

// DSN says where a store is:
//
//	mysql://user:password@host1,host2:3307,[2001:db8::1]/database?tls=false
//	mysql://user@/database?socket=/run/mysqld/mysqld.sock
//	sqlite:///var/lib/f2bc/f2bc.db
//
// User and password may hold %-escapes. Hosts are tried in order; the port is 3306 unless given.
type DSN struct {
	Path           string   // the file of an embedded store; empty for MySQL
	User, Password string   // never printed
	Hosts          []string // host:port
	Socket         string   // instead of hosts
	Database       string
	PlainText      bool // tls=false: other hosts are reached without encryption
}

// ParseDSN parses text. Its errors never quote a password.
func ParseDSN(text string) (DSN, error) {
	d, err := parseDSN(text)
	if err != nil {
		return DSN{}, fmt.Errorf("parse dsn %q: %w", hidePassword(text), err)
	}
	return d, nil
}

func parseDSN(text string) (DSN, error) {
	scheme, rest, ok := strings.Cut(text, "://")
	switch {
	case ok && scheme == "sqlite":
		if !strings.HasPrefix(rest, "/") || strings.HasSuffix(rest, "/") {
			return DSN{}, errors.New("want sqlite:///path/of/file, the path absolute")
		}
		return DSN{Path: rest}, nil
	case ok && scheme == "mysql":
		return parseMySQL(rest)
	}
	return DSN{}, errors.New("want mysql://user@host/database or sqlite:///path/of/file")
}

func parseMySQL(rest string) (d DSN, err error) {
	// The last @ ends the user part, so that a password may hold one.
	at := strings.LastIndexByte(rest, '@')
	if at < 0 {
		return d, errors.New("no user, want mysql://user@host/database")
	}
	user, password, _ := strings.Cut(rest[:at], ":")
	if d.User, err = url.PathUnescape(user); err != nil || d.User == "" {
		return d, errors.New("no valid user before the @")
	}
	if d.Password, err = url.PathUnescape(password); err != nil {
		return d, errors.New("the password has a % that is no escape: write it as %25")
	}

	target, query, _ := strings.Cut(rest[at+1:], "?")
	hosts, database, _ := strings.Cut(target, "/")
	if database == "" || strings.Contains(database, "/") {
		return d, errors.New("no database, want mysql://user@host/database")
	}
	d.Database = database
	if err := d.parseOptions(query); err != nil {
		return d, err
	}
	if (hosts == "") == (d.Socket == "") {
		return d, errors.New("want either hosts or ?socket=/path")
	}
	if hosts == "" {
		return d, nil
	}
	for _, host := range strings.Split(hosts, ",") {
		address, err := hostPort(host)
		if err != nil {
			return d, err
		}
		d.Hosts = append(d.Hosts, address)
	}
	return d, nil
}

func (d *DSN) parseOptions(query string) error {
	if query == "" {
		return nil
	}
	for _, option := range strings.Split(query, "&") {
		key, value, _ := strings.Cut(option, "=")
		switch {
		case key == "socket" && strings.HasPrefix(value, "/"):
			d.Socket = value
		case key == "tls" && value == "false":
			d.PlainText = true
		case key == "tls" && value == "true":
			d.PlainText = false
		default:
			return fmt.Errorf("unknown option %q, known are tls=true, tls=false and socket=/path", option)
		}
	}
	return nil
}

func hostPort(host string) (string, error) {
	name, port := host, "3306"
	if i := strings.LastIndexByte(host, ':'); i > strings.LastIndexByte(host, ']') {
		name, port = host[:i], host[i+1:]
	}
	if n := len(name); n > 1 && name[0] == '[' && name[n-1] == ']' {
		name = name[1 : n-1]
		if a, err := netip.ParseAddr(name); err != nil || !a.Is6() {
			return "", fmt.Errorf("host %q: not an IPv6 address in brackets", host)
		}
	} else if strings.ContainsAny(name, ":[]") {
		return "", fmt.Errorf("host %q: put an IPv6 address in brackets", host)
	}
	if _, err := net.LookupPort("tcp", port); name == "" || err != nil {
		return "", fmt.Errorf("host %q: want host or host:port", host)
	}
	return net.JoinHostPort(name, port), nil
}

// hidePassword returns text without what may be a password: all between the first : and the last @ of the user part.
func hidePassword(text string) string {
	scheme, rest, ok := strings.Cut(text, "://")
	if !ok {
		scheme, rest = "", text
	} else {
		scheme += "://"
	}
	at := strings.LastIndexByte(rest, '@')
	if colon := strings.IndexByte(rest, ':'); colon >= 0 && colon < at {
		return scheme + rest[:colon] + ":***" + rest[at:]
	}
	return scheme + rest
}

// String returns the DSN without its password.
func (d DSN) String() string {
	if d.Path != "" {
		return "sqlite://" + d.Path
	}
	s := "mysql://" + d.User + "@" + strings.Join(d.Hosts, ",") + "/" + d.Database
	if d.Socket != "" {
		s += "?socket=" + d.Socket
	}
	return s
}

// local reports whether host:port is on this machine, where a connection needs no encryption.
func local(address string) bool {
	host, _, _ := net.SplitHostPort(address)
	a, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && a.IsLoopback()
}

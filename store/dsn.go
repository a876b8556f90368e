package store

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// DSN says where a store is:
//
//	mysql://user:password@host1,host2:3307,[2001:db8::1]/database?option&option
//	mysql://user@/database?socket=/run/mysqld/mysqld.sock
//	sqlite:///var/lib/f2bc/f2bc.db
//
// User and password may hold %-escapes. Hosts are tried in order, the last good one first; the port is 3306 unless
// given. A connection to another host is encrypted and the server's certificate verified, unless an option says otherwise:
//
//	tls=true                        also where it is not needed, on loopback
//	tls=false                       neither, where the network is trusted
//	tls=sha256:HEX,HEX              the certificate has one of these SHA-256 fingerprints; its name and dates do not matter
//	tls-ca=/path                    trust the CAs in this PEM file instead of the system's
//	tls-cert=/path&tls-key=/path    show this client certificate; without tls-key the key stands in the same PEM file
//
// The files are read again at every connect, so that certificates can be renewed. Without TLS a server that asks for
// the password itself, as those of MySQL 8 do, does not get it, unless there is
//
//	server-key=/path                encrypt it with this RSA public key of the server, a PEM file
type DSN struct {
	Path           string   // the file of an embedded store; empty for MySQL
	User, Password string   // the password is never printed
	Hosts          []string // host:port
	Socket         string   // instead of hosts
	Database       string

	TLS                       string   // "true", "false", "sha256"; empty: "true" for hosts other than loopback
	Pins                      []string // with "sha256": fingerprints, 64 lower-case hex digits each
	CAFile, CertFile, KeyFile string
	ServerKey                 string // without TLS: the file of the server's public key
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
	if d.Socket != "" && d.ServerKey != "" {
		return d, errors.New("a socket needs no server-key: remove it")
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
	if d.ServerKey != "" && !slices.ContainsFunc(d.Hosts, func(address string) bool { return !d.encrypted(address) }) {
		return d, errors.New("server-key is for a connection without TLS: remove it")
	}
	return d, nil
}

func (d *DSN) parseOptions(query string) error {
	if query == "" {
		return nil
	}
	seen := map[string]bool{}
	paths := map[string]*string{"socket": &d.Socket, "tls-ca": &d.CAFile, "tls-cert": &d.CertFile, "tls-key": &d.KeyFile,
		"server-key": &d.ServerKey}
	for _, option := range strings.Split(query, "&") {
		key, value, _ := strings.Cut(option, "=")
		if seen[key] {
			return fmt.Errorf("option %q stands twice", key)
		}
		seen[key] = true
		pins, pinned := strings.CutPrefix(value, "sha256:")
		switch path := paths[key]; {
		case path != nil && strings.HasPrefix(value, "/"):
			*path = value
		case path != nil:
			return fmt.Errorf("option %q: want an absolute path", option)
		case key == "tls" && (value == "true" || value == "false"):
			d.TLS = value
		case key == "tls" && pinned:
			d.TLS = "sha256"
			if err := d.parsePins(pins); err != nil {
				return err
			}
		default:
			return fmt.Errorf("unknown option %q, known are tls=true, tls=false, tls=sha256:HEX, tls-ca, tls-cert, "+
				"tls-key, server-key and socket", option)
		}
	}
	return d.checkTLS()
}

// parsePins takes fingerprints as sha256sum prints them or, with colons, as openssl does.
func (d *DSN) parsePins(pins string) error {
	for _, pin := range strings.Split(pins, ",") {
		sum, err := hex.DecodeString(strings.ReplaceAll(pin, ":", ""))
		if err != nil || len(sum) != sha256.Size {
			return fmt.Errorf("tls=sha256: %q is no fingerprint, want 64 hex digits as printed by openssl x509 -noout -fingerprint -sha256", pin)
		}
		d.Pins = append(d.Pins, hex.EncodeToString(sum))
	}
	return nil
}

// checkTLS refuses options of which one would silently have no effect.
func (d *DSN) checkTLS() error {
	files := d.CAFile != "" || d.CertFile != ""
	switch {
	case d.KeyFile != "" && d.CertFile == "":
		return errors.New("tls-key without tls-cert")
	case d.CAFile != "" && d.Pins != nil:
		return errors.New("tls-ca and tls=sha256 contradict each other: a pinned certificate needs no CA")
	case d.TLS == "false" && files:
		return errors.New("tls=false contradicts tls-ca and tls-cert")
	case d.Socket != "" && (files || d.TLS == "true" || d.Pins != nil):
		return errors.New("a socket needs no TLS: remove the tls options")
	case d.TLS == "" && files:
		d.TLS = "true"
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
	if n, err := strconv.ParseUint(port, 10, 16); name == "" || err != nil || n == 0 {
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

// String returns the DSN without its password and its TLS options, as it stands in messages.
func (d DSN) String() string {
	if d.Path != "" {
		return "sqlite://" + d.Path
	}
	s := "mysql://" + url.User(d.User).String() + "@" + strings.Join(d.Hosts, ",") + "/" + d.Database
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

var passwordInURL = regexp.MustCompile(`(://[^\s:@/"]*):[^\s"]*@`)

// HidePasswords is the last line of defence, for a DSN that was typed where something else belongs; messages are
// written without passwords in the first place.
func HidePasswords(s string) string { return passwordInURL.ReplaceAllString(s, "$1:***@") }

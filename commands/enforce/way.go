package enforce

import (
	"bufio"
	"bytes"
	"context"
	"net"
	"net/netip"
	"os/exec"
	"strings"

	"f2bc/commands/neverban"
	"f2bc/routes"
)

// Way is the way from this host to the store, which must never be cut off.
type Way struct {
	Hosts []string // host:port of the database
	SSH   string   // destination of ssh, through which they are reached; empty: directly
	Env   []string // of ssh
	Names neverban.Resolver
}

// Entries returns the addresses of all hosts of the database and of the machines that ssh connects to.
func (w Way) Entries(ctx context.Context) (entries []routes.Entry) {
	var hosts []neverban.Entry
	add := func(host, why string) {
		if entry, err := neverban.ParseEntry(host); err == nil {
			entry.Why = why
			hosts = append(hosts, entry)
		}
	}
	if w.SSH != "" {
		for _, host := range w.sshHosts(ctx) {
			add(host, "ssh hub "+w.SSH)
		}
	}
	for _, address := range w.Hosts {
		host, _, err := net.SplitHostPort(address)
		_, parseErr := netip.ParseAddr(host)
		if isIP := parseErr == nil; err == nil && (w.SSH == "" || isIP) { // a name would be resolved as the hub does
			add(host, "database host "+host)
		}
	}
	names := w.Names.Resolve(ctx, hosts)
	for _, entry := range hosts {
		addrs := names[entry.Host]
		if entry.Host == "" {
			addrs = []netip.Addr{entry.Prefix.Addr()}
		}
		for _, addr := range addrs {
			if !addr.IsLoopback() {
				entries = append(entries, routes.Entry{Prefix: netip.PrefixFrom(addr, addr.BitLen()), Why: entry.Why})
			}
		}
	}
	return entries
}

// sshHosts returns the host behind the ssh destination, which may be an alias, and the jump hosts before it.
func (w Way) sshHosts(ctx context.Context) (hosts []string) {
	destination := w.SSH
	ctx, cancel := context.WithTimeout(ctx, neverban.LookupTime)
	defer cancel()
	for range 5 { // jump hosts of jump hosts
		_, host, found := strings.Cut(destination, "@")
		if !found {
			host = destination
		}
		jump := ""
		cmd := exec.CommandContext(ctx, "ssh", "-G", "--", destination)
		cmd.Env = w.Env
		out, err := cmd.Output()
		if err == nil {
			for lines := bufio.NewScanner(bytes.NewReader(out)); lines.Scan(); {
				switch key, value, _ := strings.Cut(lines.Text(), " "); key {
				case "hostname":
					host = value
				case "proxyjump":
					jump, _, _ = strings.Cut(value, ",")
				}
			}
		}
		hosts = append(hosts, strings.Trim(host, "[]"))
		if jump == "" || jump == "none" {
			return hosts
		}
		destination = "ssh://" + strings.TrimPrefix(jump, "ssh://") // a jump host may have a port
	}
	return hosts
}

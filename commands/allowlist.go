package commands

import (
	"bytes"
	"context"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// allowEntry is an entry of a never-ban list: a prefix, or a host name that stands for its addresses.
type allowEntry struct {
	prefix netip.Prefix // valid unless host is set
	host   string
	why    string // where it comes from, for messages: "allow in /etc/f2bc/f2bc.toml"
}

// String is the entry in the form in which the store keeps it.
func (e allowEntry) String() string {
	if e.host != "" {
		return e.host
	}
	return bare(e.prefix)
}

// bare writes a prefix, a single address without its length.
func bare(p netip.Prefix) string {
	if p.IsSingleIP() {
		return p.Addr().String()
	}
	return p.String()
}

// parseAllow reads an address, a CIDR or a host name.
func parseAllow(text string) (allowEntry, error) {
	text = strings.TrimSpace(text)
	if prefix, err := parsePrefix(text); err == nil {
		return allowEntry{prefix: prefix}, nil
	}
	name := strings.ToLower(strings.TrimSuffix(text, "."))
	if !isHostName(name) {
		return allowEntry{}, fmt.Errorf("parse %q: not an address, CIDR or host name", text)
	}
	return allowEntry{host: name}, nil
}

// isHostName accepts what can be a name in the DNS or /etc/hosts. The last label must not be all digits, so that a
// mistyped address is no host name.
func isHostName(s string) bool {
	if s == "" || len(s) > 253 {
		return false
	}
	labels := strings.Split(s, ".")
	for _, label := range labels {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		if strings.Trim(label, "abcdefghijklmnopqrstuvwxyz0123456789-_") != "" {
			return false
		}
	}
	return strings.Trim(labels[len(labels)-1], "0123456789") != ""
}

// localAllows reads this host's own never-ban list. A file that cannot be read is an error: going on without it would
// ban what it shields.
func localAllows(ctx context.Context, cfg *config) ([]allowEntry, error) {
	var entries []allowEntry
	for _, text := range cfg.Allow {
		entry, err := parseAllow(text)
		if err != nil {
			return nil, cfg.wrongf("allow: %w", err)
		}
		entry.why = "allow in the configuration"
		if cfg.path != "" {
			entry.why = "allow in " + cfg.path
		}
		entries = append(entries, entry)
	}
	for _, pattern := range cfg.AllowFiles {
		files, err := filepath.Glob(pattern)
		if err != nil {
			return nil, cfg.wrongf("allow_files %q: %w", pattern, err)
		}
		if len(files) == 0 && !strings.ContainsAny(pattern, `*?[\`) {
			return nil, cfg.wrongf("allow_files: %q does not exist", pattern)
		}
		slices.Sort(files)
		for _, file := range files {
			more, err := readAllowFile(ctx, file)
			if err != nil {
				return nil, err
			}
			entries = append(entries, more...)
		}
	}
	return entries, nil
}

func readAllowFile(ctx context.Context, file string) (entries []allowEntry, err error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read allow_files: %w", err)
	}
	err = eachLine(ctx, bytes.NewReader(text), func(line int, text string) error {
		entry, err := parseAllow(text)
		if err != nil {
			return invalidf("%s:%d: %w", file, line, err)
		}
		entry.why = file
		entries = append(entries, entry)
		return nil
	})
	return entries, err
}

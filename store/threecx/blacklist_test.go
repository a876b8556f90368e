//go:build linux

package threecx

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"f2bc/store/threecx/postgrestest"
)

func testBlacklist(t *testing.T, s *postgrestest.Server) {
	ctx := context.Background()
	opts := database(t, s, "black", `CREATE TABLE blacklist (idblacklist serial PRIMARY KEY, ipaddr varchar(50), ipmask varchar(50),
		blocktype integer, expiresat timestamp, description text, addedby integer);
		INSERT INTO blacklist (ipaddr, ipmask, blocktype, expiresat, description, addedby) VALUES
		('203.0.113.6', '255.255.255.255', 0, '2099-01-01 01:00', 'attack', 1),
		('203.0.113.0', '255.255.255.0', 0, NULL, NULL, NULL),
		('2001:db8::6', NULL, 0, 'infinity', '', 0),
		('203.0.113.61', '255.255.255.255', 0, '2020-01-01', 'expired', 1),
		('203.0.113.62', '255.255.255.255', 0, '2099-01-01', 'from the maker', 3),
		('bad'||chr(27), '255.255.255.255', 0, NULL, 'unreadable', 1),
		('192.0.2.0', '255.255.255.0', 1, NULL, 'trunk', 1),
		('192.0.2.99', '255.255.255.255', 1, '2099-01-01', 'allowed by the maker', 3),
		('198.51.100.1', '255.255.255.255', 1, '2020-01-01', 'no longer allowed', 1);
		INSERT INTO blacklist (ipaddr, ipmask, blocktype, addedby)
		SELECT host('198.18.0.0'::inet + i), '255.255.255.255', 0, 3 FROM generate_series(1, 5000) i`)
	db := open(t, opts)
	var got, skipped []string
	entry := func(e Entry) error {
		got = append(got, fmt.Sprintf("%v %s %s %q", e.Prefix, e.Time.Format(time.DateTime), e.Expires.Format(time.DateTime), e.Description))
		return nil
	}
	skip := func(row string, err error) { skipped = append(skipped, row+": "+err.Error()) }
	if err := db.Blacklist(ctx, entry, skip); err != nil {
		t.Fatal(err)
	}
	same(t, "blacklist", got,
		`203.0.113.6/32 0001-01-01 00:00:00 2099-01-01 00:00:00 "attack"`,
		`203.0.113.0/24 0001-01-01 00:00:00 0001-01-01 00:00:00 ""`,
		`2001:db8::6/128 0001-01-01 00:00:00 0001-01-01 00:00:00 ""`)
	same(t, "skipped", skipped, `blacklist: "bad\x1b 255.255.255.255": no address in it`)
	allowed, err := db.Allowed(ctx, nil)
	if err != nil {
		t.Fatal(err)
	}
	if want := []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("192.0.2.99/32")}; !slices.Equal(allowed, want) {
		t.Errorf("allowed %v, want %v", allowed, want)
	}

	s.Exec(t, "black", `ALTER TABLE blacklist ADD added timestamptz DEFAULT '2026-03-01 10:00Z'; DELETE FROM blacklist WHERE idblacklist > 1`)
	got = nil
	if err := db.Blacklist(ctx, entry, skip); err != nil {
		t.Fatal(err)
	}
	same(t, "with a time", got, `203.0.113.6/32 2026-03-01 10:00:00 2099-01-01 00:00:00 "attack"`)

	s.Exec(t, "black", `ALTER TABLE blacklist RENAME addedby TO origin`)
	if err := db.Blacklist(ctx, entry, skip); !errors.Is(err, ErrColumns) || !strings.Contains(err.Error(), "addedby") {
		t.Errorf("without addedby: %v", err)
	}
	if _, err := db.Allowed(ctx, nil); err != nil {
		t.Errorf("allowed without addedby: %v", err)
	}
	s.Exec(t, "black", `DROP TABLE blacklist`)
	if _, err := db.Allowed(ctx, nil); !errors.Is(err, ErrTable) {
		t.Errorf("without table: %v", err)
	}
}

func TestParseMasked(t *testing.T) {
	for _, test := range []struct{ addr, mask, want string }{
		{"203.0.113.6", "255.255.255.255", "203.0.113.6/32"},
		{"203.0.113.6", "", "203.0.113.6/32"},
		{"203.0.113.6", "255.255.255.0", "203.0.113.0/24"},
		{"203.0.113.6", "24", "203.0.113.0/24"},
		{"203.0.113.6", "/24", "203.0.113.0/24"},
		{"203.0.113.6/24", "", "203.0.113.0/24"},
		{"203.0.113.6", "255.254.0.0", "203.0.0.0/15"},
		{"203.0.113.6", "0.0.0.0", "0.0.0.0/0"},
		{"::ffff:203.0.113.6", "255.255.255.0", "203.0.113.0/24"},
		{"2001:db8::6", "255.255.255.255", "2001:db8::6/128"},
		{"2001:db8::6", "ffff:ffff:ffff::", "2001:db8::/48"},
		{"2001:db8::6", "64", "2001:db8::/64"},
		{"203.0.113.6", "255.0.255.0", ""},
		{"203.0.113.6", "255.253.0.0", ""},
		{"203.0.113.6", "33", ""},
		{"203.0.113.6", "-1", ""},
		{"203.0.113.6", "wide", ""},
		{"2001:db8::6", "255.255.0.0", ""},
		{"example.com", "", ""},
		{"", "", ""},
	} {
		got, err := parseMasked(test.addr, test.mask)
		if want, _ := netip.ParsePrefix(test.want); got != want || (err == nil) != want.IsValid() {
			t.Errorf("parseMasked(%q, %q) = %v, %v, want %q", test.addr, test.mask, got, err, test.want)
		}
	}
}

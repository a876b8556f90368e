//go:build linux

package commands

import (
	"testing"
	"time"

	"f2bc/store"
	"f2bc/store/threecx/postgrestest"
)

// A blacklist that does not say when an entry was made.
func testImportBlacklist(t *testing.T, pg *postgrestest.Server) {
	b := newPhone(t, pg, 1)
	b.sql(`INSERT INTO public.blacklist (ipaddr, ipmask, blocktype, expiresat, description, addedby) VALUES
		('203.0.113.6', '255.255.255.255', 0, '2099-01-01 00:00Z', 'attack', 1),
		('203.0.113.6', '255.255.255.255', 0, '2098-01-01 00:00Z', 'an older one', 1),
		('203.0.113.7', '255.255.255.255', 0, NULL, 'by hand', 0),
		('2001:db8::', 'ffff:ffff:ffff:ffff::', 0, NULL, 'a network', 0),
		('203.0.113.8', '255.255.255.255', 0, '2020-01-01 00:00Z', 'expired', 1),
		('203.0.113.9', '255.255.255.255', 0, '2099-01-01 00:00Z', 'of the maker', 3),
		('10.0.0.5', '255.255.255.255', 0, NULL, 'a phone', 1),
		('198.51.100.0', '255.255.255.0', 0, NULL, 'holds the trunk', 1),
		('192.0.0.0', '255.192.0.0', 0, NULL, 'too wide', 1),
		('198.51.100.7', '255.255.255.255', 1, NULL, 'trunk', 1)`)
	from := []string{"--from", "blacklist"}
	b.event(0, "203.0.113.100", "3600") // the events are not read
	said := b.imports(from...)
	has(t, "refused", said, "10.0.0.5 is not globally routable", "198.51.100.0/24 is not reported: the phone system allows it, or a part of it", "192.0.0.0/10 is wider")
	b.banned("blacklist", "203.0.113.6", "203.0.113.7", "2001:db8::/64")
	six := b.report("203.0.113.6")
	if want := store.TimeOf(time.Date(2099, 1, 1, 0, 0, 0, 0, time.UTC)); six.Expires != want || six.Reason != "3CX-banned" {
		t.Errorf("%+v, want the end %v", six, want)
	}
	before := b.history()
	b.imports(from...)
	b.forget()
	b.imports(from...)
	if after := b.history(); after != before {
		t.Errorf("history was\n%sand is\n%s", before, after)
	}
	b.run(0, "unban", "203.0.113.6", "203.0.113.7")
	b.imports(from...)
	b.forget()
	b.setClock(10 * time.Minute) // no reason to take the old entries for new ones
	b.imports(from...)
	b.banned("after an unban", "2001:db8::/64")

	// An event of the same address ends earlier: the entry is still the one that was lifted.
	b.setClock(0)
	b.event(0, "203.0.113.7", "3600")
	b.imports()
	b.run(0, "unban", "203.0.113.7")
	b.imports(from...)
	b.banned("after an event and an unban", "2001:db8::/64", "203.0.113.100")

	b.sql(`UPDATE public.blacklist SET expiresat = '2099-06-01 00:00Z' WHERE description = 'attack'`)
	b.imports(from...)
	b.banned("the attacker came again", "2001:db8::/64", "203.0.113.100", "203.0.113.6")
}

// A blacklist that does say it: each entry is an event.
func testImportBlacklistDated(t *testing.T, pg *postgrestest.Server) {
	b := newPhone(t, pg, 1)
	b.sql(`ALTER TABLE public.blacklist ADD added timestamptz`)
	insert := func(addr, added string) {
		b.sql(`INSERT INTO public.blacklist (ipaddr, ipmask, blocktype, expiresat, addedby, description, added)
			VALUES ('` + addr + `', '255.255.255.255', 0, '2099-01-01 00:00Z', 1, 'why', '` + added + `')`)
	}
	at := time.Now().Add(-time.Hour).Truncate(time.Microsecond)
	insert("203.0.113.6", at.Format(time.RFC3339Nano))
	insert("203.0.113.7", "0001-01-01 00:00Z") // how a program writes no time
	insert("203.0.113.8", "2099-06-01 00:00Z") // after its end, and ahead of all clocks
	insert("203.0.113.9", "1999-01-01 00:00Z") // long ago is no time either
	b.imports("--from", "blacklist", "--keep-reason")
	b.banned("dated", "203.0.113.6", "203.0.113.7", "203.0.113.9")
	if r := b.report("203.0.113.6"); r.At != store.TimeOf(at) || r.Reason != "why" {
		t.Errorf("%+v, want %v", r, at)
	}
	b.run(0, "unban", "203.0.113.6")
	b.forget()
	b.imports("--from", "blacklist", "--keep-reason")
	b.banned("after an unban", "203.0.113.7", "203.0.113.9")
	insert("203.0.113.6", time.Now().Format(time.RFC3339Nano))
	b.imports("--from", "blacklist", "--keep-reason")
	b.banned("blacklisted anew", "203.0.113.6", "203.0.113.7", "203.0.113.9")

	b.sql(`ALTER TABLE public.blacklist DROP addedby`)
	_, said := b.run(1, append([]string{"import-3cx", "--from", "blacklist"}, b.flags...)...)
	has(t, "unknown version", said, "no column addedby", "--show-schema")
}

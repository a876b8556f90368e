package store

import (
	"database/sql"
	"database/sql/driver"
	"fmt"
	"maps"
	"net/netip"
	"testing"
	"time"
)

// try lets the thief send statements, and judges by may what became of web1's own rows.
func (s *siege) try(t *testing.T, statements string, may func(before, after ownRow, ahead Time) string) error {
	t.Helper()
	s.count++
	sent := s.other.clock.now()
	err := attempt(t, s.thief, statements)
	others, own, events := s.look(t)
	fail := func(what string) {
		t.Helper()
		t.Errorf("%s\n%v: %s", statements, err, what)
	}
	if others != s.others {
		fail("it changed what is not web1's:\n" + s.others + others)
		s.others = others
	}
	now := s.other.clock.now()
	for key, after := range own {
		before, had := s.own[key]
		switch {
		case had && after == before:
		case after.mark != before.mark && (after.mark < sent.Add(-4*time.Second) || after.mark > now):
			fail(fmt.Sprintf("the mark of %+v is not the time of the write", after))
		default:
			if why := may(before, after, now.Add(maxAhead)); why != "" {
				fail(fmt.Sprintf("%s: %+v to %+v", why, before, after))
			}
		}
	}
	for key := range s.own {
		if _, there := own[key]; !there && key.source != "host" && !s.views {
			fail(fmt.Sprintf("it deleted %+v", key))
		}
	}
	for event := range s.events {
		if !events[event] {
			fail("it took away the event " + event)
		}
	}
	bans := map[netip.Prefix]bool{}
	check(t, s.other.Bans(t.Context(), Filter{}, func(p netip.Prefix, forced bool) { bans[p] = bans[p] || forced }))
	changed := !maps.Equal(own, s.own)
	if changed {
		s.bans = s.list(t)
	}
	if got := fmt.Sprint(bans); got != s.bans {
		fail("web2 sees " + got + ", not " + s.bans)
	}
	if changed || !maps.Equal(events, s.events) {
		s.restore(t)
	}
	return err
}

// sense says why no fact of web1's own makes a row, or makes it of the one that was there.
func sense(before, after ownRow, ahead Time) string {
	switch {
	case after.source == "host":
		if at := string(after.addr); at != "127.0.0.1" && at != "localhost" || after.at < 1 || after.at > ahead {
			return "a host's row"
		}
	case after.source == "lift":
		if !(modelLift{after.modelKey, after.at}).fact(ahead) {
			return "no lift"
		}
	case after.facts(ahead) != after.modelReport || after.reason == "":
		return "no report"
	case after.forced == after.at && after.at > 0 && (before.forced != after.forced || before.at != after.at ||
		before.expires < after.expires):
		return "forced"
	}
	return ""
}

// grows says besides why a row went back.
func grows(before, after ownRow, ahead Time) string {
	switch b, a := before, after; {
	case sense(before, after, ahead) != "":
		return sense(before, after, ahead)
	case a.at < b.at || a.at == b.at && a.expires < b.expires || a.longest < b.longest || a.lifted < b.lifted ||
		a.mark < b.mark || a.forced != b.forced:
		return "it went back"
	}
	return ""
}

// attempt runs statements on a connection of their own.
func attempt(t *testing.T, db *sql.DB, statements string) error {
	t.Helper()
	conn, err := db.Conn(t.Context())
	check(t, err)
	defer conn.Close()
	defer conn.Raw(func(any) error { return driver.ErrBadConn }) // what it set must not stay
	rows, err := conn.QueryContext(t.Context(), statements)
	for err == nil && rows.NextResultSet() {
	}
	if err == nil {
		err = rows.Err()
		rows.Close()
	}
	return err
}

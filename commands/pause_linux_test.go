package commands

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"f2bc/commands/lab"
	"f2bc/store/mariadbtest"
)

// wrongClock configures h for a database whose clock is so far ahead of the host's as its sessions can tell: MariaDB sets
// it at every login.
func wrongClock(t *testing.T, h *lab.Host, ahead time.Duration) *mariadbtest.Server {
	t.Helper()
	db := mariadbtest.New(t)
	db.Args = append(db.Args,
		fmt.Sprintf("--init-connect=SET timestamp = UNIX_TIMESTAMP(SYSDATE(6)) + %d", int(ahead.Seconds())))
	if err := db.Start(); err != nil {
		t.Fatal(err)
	}
	name := db.Database(t)
	// Not root's account, which MariaDB spares that.
	db.Exec(t, "CREATE USER f2bc@localhost; GRANT ALL ON "+name+".* TO f2bc@localhost")
	h.Configure("mysql://f2bc@/"+name+"?socket="+db.Socket(), "")
	h.F2bc("init")
	return db
}

// A pause of the fleet lasts as long as it was meant to on a host whose clock is an hour wrong.
func TestFleetPauseWrongClock(t *testing.T) {
	for name, ahead := range map[string]time.Duration{"the host is ahead": -time.Hour, "the host is behind": time.Hour} {
		t.Run(name, func(t *testing.T) {
			h := newLabHost(t, "web1")
			db := wrongClock(t, h, ahead)
			rules := func() bool { return strings.Contains(h.NS.Run("ip", "rule"), "6686") }
			h.F2bc("ban", "203.0.113.6")
			h.F2bc("sync-routes")
			if !enforces(h, "203.0.113.6") {
				t.Fatal("not enforced")
			}
			pause := func(span string) {
				t.Helper()
				h.F2bc("pause", "--fleet", "--for", span)
			}

			pause("1h")
			if h.F2bc("sync-routes"); rules() {
				t.Error("a single run ignores the pause")
			}
			db.Kill()
			if _, stderr, code := h.Try("sync-routes"); code != 1 || rules() {
				t.Errorf("while the store is away: exit code %d, the rules are there: %v\n%s", code, rules(), stderr)
			}
			if err := db.Start(); err != nil {
				t.Fatal(err)
			}
			pause("1s")
			lab.Wait(t, "a single run after the pause", func() bool { h.F2bc("sync-routes"); return rules() })
			db.Kill()
			h.NS.Run("ip", "rule", "del", "pref", "6686")
			if h.Try("sync-routes"); !rules() {
				t.Error("while the store is away a pause that is over goes on")
			}
			if err := db.Start(); err != nil {
				t.Fatal(err)
			}

			watching(h, "--interval", "100ms")
			h.F2bc("ban", "203.0.113.9")
			lab.Wait(t, "the watcher", func() bool { return enforces(h, "203.0.113.6", "203.0.113.9") })
			pause("1h")
			lab.Wait(t, "the pause", func() bool { return !rules() })
			h.F2bc("ban", "203.0.113.11")
			time.Sleep(lab.Brief)
			if rules() {
				t.Error("the watcher ends the pause")
			}
			pause("2s")
			all := []string{"203.0.113.6", "203.0.113.9", "203.0.113.11"}
			lab.Wait(t, "the watcher after the pause", func() bool { return enforces(h, all...) })
			if t.Failed() {
				t.Log(h.Read("watch.log"))
			}
		})
	}
}

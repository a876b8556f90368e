package commands

import (
	"testing"
	"time"
)

// TestSeen: every command that reaches the store lets it know that the host was seen, once an hour.
func TestSeen(t *testing.T) {
	s := newShielded(t)
	commands := [][]string{
		{"list"}, {"list", "203.0.113.1"}, {"export"}, {"ban", "203.0.113.1"}, {"ban", "203.0.113.2", "203.0.113.3"},
		{"unban", "--own", "203.0.113.2"}, {"unban", "--own", "--reason", "manual", "203.0.113.3"},
		{"allow", "list"}, {"host", "list"}, {"sync-routes", "--check"},
		{"status"}, {"sync-routes"}, {"import-3cx", "--threecx-dsn", "host=127.0.0.1 port=1 user=nobody dbname=nothing"},
	}
	for _, args := range commands {
		for ago, moves := range map[time.Duration]bool{2 * time.Hour: true, 50 * time.Minute: false, 40 * day: true} {
			s.seen(ago)
			if _, stderr, code := s.web1.Try(args...); code != 0 && args[0] != "import-3cx" && args[0] != "sync-routes" {
				t.Errorf("%q: exit code %d: %s", args, code, stderr)
			}
			now := s.ago()
			writes := args[0] == "sync-routes" && len(args) == 1 // the row itself, each time
			if moved := now < 10*time.Minute; moved != (moves || writes) {
				t.Errorf("%q: last seen %v ago, and now %v", args, ago, now)
			}
		}
	}
}

// TestSeenByReaders: a host whose account may not write, or whose store takes no writes, lists all the same, without a
// word.
func TestSeenByReaders(t *testing.T) {
	s := newShielded(t)
	s.seen(2 * time.Hour)
	s.exec("SET GLOBAL general_log = ON, log_output = 'TABLE'")
	tries := func(account string) (n int) {
		const query = `
SELECT COUNT(*) FROM mysql.general_log
WHERE user_host LIKE ? AND (argument LIKE 'UPDATE host%' OR argument LIKE 'CALL touch%')`
		if err := s.db.QueryRow(query, account+"[%").Scan(&n); err != nil {
			t.Fatal(err)
		}
		s.exec("TRUNCATE mysql.general_log")
		return n
	}
	quiet := func(account string) {
		t.Helper()
		for _, args := range [][]string{{"list"}, {"export"}} {
			if _, stderr, code := s.web1.Try(args...); code != 0 || stderr != "" {
				t.Errorf("%s: %q: exit code %d: %s", account, args, code, stderr)
			}
			if n := tries(account); n != 1 {
				t.Errorf("%s: %q: tried %d times", account, args, n)
			}
		}
		if ago := s.ago(); ago < time.Hour {
			t.Errorf("%s: seen %v ago", account, ago)
		}
	}
	s.web1.Configure(s.dsn("f2bc_reader"), "sesame")
	quiet("f2bc_reader")
	s.web1.Configure(s.dsn("web1"), "sesame")
	s.exec("SET GLOBAL read_only = ON")
	quiet("web1")
	s.exec("SET GLOBAL read_only = OFF")
	s.web1.F2bc("list")
	if ago := s.ago(); ago > time.Hour {
		t.Errorf("seen %v ago", ago)
	}
}

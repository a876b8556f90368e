package commands

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"f2bc/store/mariadbtest"
)

// statements returns what an account sent since the log was last looked at.
func (f *testFleet) statements(account string) (texts []string) {
	f.t.Helper()
	rows, err := f.db.Query(`
SELECT CONVERT(argument USING utf8mb4) FROM mysql.general_log
WHERE user_host LIKE ? AND command_type <> 'Quit' ORDER BY event_time`, account+"[%")
	if err != nil {
		f.t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var text string
		if err := rows.Scan(&text); err != nil {
			f.t.Fatal(err)
		}
		texts = append(texts, text)
	}
	f.sql("TRUNCATE mysql.general_log")
	return texts
}

// wantOneCall wants one call of a procedure that writes, and nothing else.
func (f *testFleet) wantOneCall(account string) {
	f.t.Helper()
	if texts := f.statements(account); len(texts) != 1 || !strings.HasPrefix(texts[0], "CALL write_fact(") {
		f.t.Errorf("%d statements, want one call: %q", len(texts), texts)
	}
}

// wantCalls wants just so many calls of procedures that write.
func (f *testFleet) wantCalls(account string, n int) {
	f.t.Helper()
	texts := f.statements(account)
	calls := 0
	for _, text := range texts {
		if strings.HasPrefix(text, "CALL write_") {
			calls++
		}
	}
	if calls != n {
		f.t.Errorf("%d calls, want %d: %q", calls, n, texts)
	}
}

// setLookup makes the name servers of this test answer.
func setLookup(t *testing.T, answers map[string]string) {
	was := lookup
	t.Cleanup(func() { lookup = was })
	lookup = func(_ context.Context, host string) ([]netip.Addr, error) {
		if answers[host] == "" {
			return nil, &net.DNSError{Err: "no such host", Name: host}
		}
		return []netip.Addr{netip.MustParseAddr(answers[host])}, nil
	}
}

// logged starts a server that logs the statements that it gets.
func logged(t *testing.T) *mariadbtest.Server {
	return startMariaDB(t, "--general-log=ON", "--log-output=TABLE")
}

// TestOneCall: what fail2ban waits for is one statement after the login, wherever the store is.
func TestOneCall(t *testing.T) {
	f := newTestFleet(t, logged(t), "web1")
	f.statements("web1")
	at := fmt.Sprint(time.Now().Unix())
	for _, command := range []string{
		"ban 203.0.113.1", "ban 203.0.113.1", "ban 203.0.113.0/24",
		"ban --reason sshd --bantime 600 --at " + at + " 2001:db8::/64",
		"unban --own --reason manual --at " + at + " --bantime 600 203.0.113.1",
	} {
		if out := f.host("web1", 0, strings.Fields(command)...); out != "" {
			t.Errorf("%s: %s", command, out)
		}
		f.wantOneCall("web1")
	}
	f.host("web1", 3, "ban", "10.1.2.3")
	f.host("web1", 2, "ban", "nonsense")
	if texts := f.statements("web1"); len(texts) > 0 {
		t.Errorf("for nothing: %q", texts)
	}
	if out := f.banned("web1"); out != "203.0.113.0/24 2001:db8::/64" {
		t.Errorf("banned: %s", out)
	}
}

// TestNeverBanInOneCall: what the store knows must never be banned is refused by that call.
func TestNeverBanInOneCall(t *testing.T) {
	f := newTestFleet(t, logged(t), "web1", "web2")
	answers := map[string]string{"office.example": "198.51.100.77", "late.example": "203.0.113.200"}
	setLookup(t, answers)
	f.run("f2bc_admin", "hub", 0, "allow", "add", "198.51.100.0/26", "192.0.2.1", "2001:db8:1::/48", "office.example")
	f.sql(`
INSERT INTO host (source, version, address, at, wanted, installed, mode, error)
VALUES ('web2', '', '198.51.100.99', 1, 0, 0, '', '')`)
	f.statements("web1")
	facts := func() string {
		return f.value("SELECT CONCAT(COUNT(*), ' ', (SELECT COUNT(*) FROM event)) FROM report")
	}
	for i, c := range []struct {
		prefix, why string
	}{
		{"198.51.100.0", "198.51.100.0/26 on the never-ban list"},
		{"198.51.100.63", "198.51.100.0/26 on the never-ban list"},
		{"198.51.100.32/28", "198.51.100.0/26 on the never-ban list"},
		{"192.0.2.1", "192.0.2.1 on the never-ban list"},
		{"2001:db8:1:2::3", "2001:db8:1::/48 on the never-ban list"},
		{"198.51.100.99", "198.51.100.99 the address of host web2"},
		{"198.51.100.77", "198.51.100.77 on the never-ban list, host name office.example"},
	} {
		out := f.host("web1", 3, "ban", c.prefix)
		if want := "f2bc: " + c.prefix + " must never be banned: " + c.why + "\n"; out != want {
			t.Errorf("%d: printed %q, want %q", i, out, want)
		}
		f.wantCalls("web1", 1)
	}
	if got := facts(); got != "0 0" {
		t.Errorf("reports and events: %s", got)
	}

	// Around an allow: the name is known by now, so that it costs nothing.
	wantText(t, f.host("web1", 0, "ban", "198.51.100.0/24"), "198.51.100.0/24 holds allowed addresses, which stay free\n")
	f.wantCalls("web1", 2)
	if out := f.host("web1", 0, "ban", "198.51.100.64"); out != "" {
		t.Errorf("beside the allow: %s", out)
	}
	f.wantOneCall("web1")

	// A host that does not know what a name stands for yet asks once more, the first time.
	f.statements("web2")
	f.host("web2", 0, "ban", "203.0.113.5")
	f.wantCalls("web2", 2)
	f.host("web2", 0, "ban", "203.0.113.6")
	f.wantOneCall("web2")
	f.host("web2", 3, "ban", "198.51.100.77")
	f.wantCalls("web2", 1)

	// The name moves: it shields where it is now, and where it was as far as this host knows.
	answers["office.example"] = "203.0.113.77"
	f.host("web2", 3, "ban", "203.0.113.77")
	f.host("web2", 0, "ban", "198.51.100.77")
	answers["office.example"] = "" // no answer: the last one counts
	wantText(t, f.host("web2", 3, "ban", "203.0.113.77"), "203.0.113.77 must never be banned")
	f.statements("web2")
	f.host("web2", 0, "ban", "203.0.113.78")
	f.wantOneCall("web2")

	// Another name comes: known by nobody, it costs the second call again.
	f.run("f2bc_admin", "hub", 0, "allow", "add", "late.example")
	f.host("web2", 3, "ban", "203.0.113.200")
	f.statements("web2")
	f.host("web2", 0, "ban", "203.0.113.201")
	f.wantOneCall("web2")
	f.run("f2bc_admin", "hub", 0, "allow", "remove", "late.example")
	f.host("web2", 0, "ban", "203.0.113.200")
	f.wantOneCall("web2")
}

// TestNothingTookIt: a ban that neither the store nor the outbox took is not said to be done.
func TestNothingTookIt(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "state"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("F2BC_DSN", "mysql://web1@127.0.0.1:1/f2bc")
	t.Setenv("F2BC_SOURCE", "web1")
	t.Setenv("F2BC_STATE_DIR", filepath.Join(dir, "state"))
	var stdout, stderr bytes.Buffer
	code := Run(t.Context(), []string{"f2bc", "ban", "203.0.113.6"}, nil, &stdout, &stderr)
	if code == 0 || !strings.Contains(stderr.String(), "neither the store nor the outbox took 1 fact") ||
		strings.Contains(stderr.String(), "banned before") {
		t.Errorf("%d: %s", code, &stderr)
	}
}

// TestForeignStateDir: where others can write into the state directory, every command refuses; only facts still go to the
// store, as long as it takes them, and nothing is read that somebody may have planted.
func TestForeignStateDir(t *testing.T) {
	f := newTestFleet(t, mariadbtest.Shared(t), "web1")
	f.host("web1", 0, "ban", "203.0.113.6")
	dir := f.state["web1"]
	planted := "mysql://web1:***@" + f.addr + "/" + f.database + "\nplanted"
	if err := os.WriteFile(filepath.Join(dir, "store-away"), []byte(planted), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	const refused = "belongs to another user, or others can write into it (mode 0777)"
	wantText(t, f.host("web1", 0, "ban", "203.0.113.7"), refused)
	wantText(t, f.host("web1", 0, "unban", "--own", "203.0.113.6"), refused)
	for _, command := range []string{"list", "export", "status", "pause", "allow list", "sync-routes --dry-run", "setup cron", "unban 203.0.113.7"} {
		wantText(t, f.host("web1", 2, strings.Fields(command)...), refused)
	}
	if err := os.Chmod(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if got := f.banned("web1"); got != "203.0.113.7" {
		t.Errorf("banned: %s", got)
	}
}

// TestRefusedIsNotKept: where the store says what must not be banned and then takes nothing, the outbox gets what is left.
func TestRefusedIsNotKept(t *testing.T) {
	f := newTestFleet(t, mariadbtest.Shared(t), "web1")
	f.run("f2bc_admin", "hub", 0, "allow", "add", "203.0.113.0/30")
	f.sql("DROP PROCEDURE write_facts")
	out := f.host("web1", 3, "ban", "203.0.113.1", "203.0.113.6", "203.0.113.2", "203.0.113.7")
	wantText(t, out, "203.0.113.1 must never be banned", "203.0.113.2 must never be banned", "2 facts wait in the outbox")
	f.run("f2bc_owner", "hub", 0, "init")
	f.host("web1", 0, "list")
	if got := f.banned("web1"); got != "203.0.113.6/31" {
		t.Errorf("web1 exports %s", got)
	}
}

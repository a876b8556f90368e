package commands

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/pem"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"f2bc/store"
	"f2bc/store/mariadbtest"
)

// TestSetupMySQL runs what setup mysql prints on a real MariaDB: as it is,
// twice, before init. Then the server's account bans, with the certificate and the settings that it printed.
func TestSetupMySQL(t *testing.T) {
	server := mariadbtest.New(t)
	var printed, stderr bytes.Buffer
	p := &process{out: newOutput(&printed, &stderr)}
	if err := p.setupMySQL(&config{store: store.DSN{Hosts: []string{"db.example:3306"}, Database: "bans_1"}}, "web1"); err != nil {
		t.Fatal(err)
	}
	pin := makeCertificate(t, printed.String(), server.Dir)
	settings := regexp.MustCompile(`(?m)^--\t(\w[\w-]+) +=( +\S+).*$`).FindAllStringSubmatch(printed.String(), -1)
	for _, s := range settings {
		if s[1] != "dsn" && s[1] != "source" && s[1] != "ssh" && s[1] != "bind-address" {
			server.Args = append(server.Args, "--"+s[1]+"="+strings.Replace(strings.TrimSpace(s[2]), "/etc/mysql", server.Dir, 1))
		}
	}
	if len(server.Args) != 4 {
		t.Fatalf("settings: %q", server.Args)
	}
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}

	client := func(statements string) (string, error) {
		cmd := exec.Command("mariadb", "--no-defaults", "--user=root", "--socket="+server.Socket())
		cmd.Stdin = strings.NewReader(statements)
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	statements := printed.String()
	for range 2 {
		if out, err := client(statements); err != nil {
			t.Fatalf("before init: %v\n%s", err, out)
		}
	}
	passwords := map[string]string{}
	for _, m := range regexp.MustCompile(`CREATE USER IF NOT EXISTS '(\w+)'@'%' IDENTIFIED BY '(\w{26})'`).FindAllStringSubmatch(statements, -1) {
		passwords[m[1]] = m[2]
	}
	if len(passwords) != 4 || passwords["web1"] == passwords["f2bc_owner"] {
		t.Fatalf("passwords: %q", passwords)
	}
	dsn := func(account string) string {
		return strings.Replace(server.DSN("bans_1"), "root@", account+":"+passwords[account]+"@", 1) + "?tls=sha256:" + pin
	}
	owner, err := store.Init(t.Context(), store.Options{DSN: dsn("f2bc_owner")})
	if err != nil {
		t.Fatal(err)
	}
	owner.Close()
	if out, err := client(statements); err != nil {
		t.Fatalf("after init: %v\n%s", err, out)
	}

	run := func(account string, want int, args ...string) string {
		t.Helper()
		t.Setenv("F2BC_DSN", dsn(account))
		t.Setenv("F2BC_SOURCE", "web1")
		t.Setenv("F2BC_STATE_DIR", t.TempDir())
		var stdout, stderr bytes.Buffer
		if got := Run(t.Context(), append([]string{"f2bc"}, args...), nil, &stdout, &stderr); got != want {
			t.Errorf("%s: %q ended with %d, want %d: %s", account, args, got, want, &stderr)
		}
		return stdout.String() + stderr.String()
	}
	run("web1", 0, "ban", "203.0.113.6", "198.51.100.0/24")
	run("web1", 0, "unban", "--own", "198.51.100.0/24")
	if out := run("f2bc_reader", 0, "list"); !strings.Contains(out, "203.0.113.6") || strings.Contains(out, "198.51.100.0") {
		t.Errorf("list: %s", out)
	}
	refusal := run("web1", 1, "unban", "203.0.113.6") + run("web1", 1, "allow", "add", "203.0.113.6") +
		run("web1", 1, "ban", "--source", "web2", "203.0.113.6") + run("web1", 1, "ban", "--force", "192.168.1.1")
	for _, want := range []string{"this host's account can lift only its own reports; use your admin configuration\n",
		"this host's account cannot change the never-ban list; use your admin configuration\n",
		"this host's account can report only as source \"web1\", not as \"web2\"; use your admin configuration\n",
		"this host's account cannot force a ban; use your admin configuration\n"} {
		if !strings.Contains(refusal, want) {
			t.Errorf("%q, want %q", refusal, want)
		}
	}
	run("f2bc_admin", 0, "unban", "203.0.113.6")
	run("f2bc_admin", 0, "allow", "add", "203.0.113.6")
	run("f2bc_owner", 0, "prune")

	// What an older f2bc granted is found, and the printed statements take it away.
	status := func() string {
		return run("f2bc_owner", 1, "status") // nothing syncs here
	}
	if out, err := client("GRANT INSERT, UPDATE ON bans_1.own_report TO web1@'%'; GRANT INSERT, UPDATE ON bans_1.own_lift TO web1@'%';" +
		"GRANT INSERT, UPDATE ON bans_1.own_host TO web1@'%'; GRANT INSERT ON bans_1.own_event TO web1@'%'"); err != nil {
		t.Fatal(out)
	}
	if out := status(); !strings.Contains(out, "grants  BAD ") || !strings.Contains(out, "'web1'@'%'") {
		t.Errorf("status: %s", out)
	}
	revoke := strings.Join(regexp.MustCompile("(?m)^--\tREVOKE.*$").FindAllString(statements, -1), "\n")
	if out, err := client(strings.ReplaceAll(revoke, "--\t", "")); err != nil || revoke == "" {
		t.Fatalf("%q: %s", revoke, out)
	}
	if out := status(); strings.Contains(out, "grants") {
		t.Errorf("status: %s", out)
	}
	run("web1", 0, "ban", "203.0.113.9")

	// So is the loss of procedures, by the owner and by a server; others may not see them.
	if out, err := client("DROP PROCEDURE bans_1.write_facts; DROP PROCEDURE bans_1.write_fact"); err != nil {
		t.Fatal(out)
	}
	const lost = "server  BAD  the database has lost f2bc's procedures"
	for account, want := range map[string]bool{"f2bc_owner": true, "web1": true, "f2bc_reader": false} {
		if out := run(account, 1, "status"); strings.Contains(out, lost) != want {
			t.Errorf("%s: status: %s", account, out)
		}
	}
	run("f2bc_owner", 0, "init")
	if out := status(); strings.Contains(out, lost) {
		t.Errorf("status: %s", out)
	}
	if out := run("f2bc_reader", 0, "list"); strings.Contains(out, "203.0.113.6") {
		t.Errorf("list: %s", out)
	}
}

// makeCertificate runs the printed commands in dir, and returns the fingerprint that the last one prints.
func makeCertificate(t *testing.T, printed, dir string) string {
	t.Helper()
	text := regexp.MustCompile(`(?s)--\t(openssl req.*?sha256sum)\n`).FindStringSubmatch(printed)
	script := strings.NewReplacer("\n--\t", "\n", "/etc/mysql", dir, "chown mysql", "test -f").Replace(text[1])
	out, err := exec.Command("sh", "-euc", script).Output()
	if err != nil {
		t.Fatalf("%s: %v", script, err)
	}
	cert, err := os.ReadFile(filepath.Join(dir, "f2bc-cert.pem"))
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(cert)
	sum := sha256.Sum256(block.Bytes)
	pin, _, _ := strings.Cut(string(out), " ")
	if pin != hex.EncodeToString(sum[:]) {
		t.Errorf("the printed fingerprint is %q", pin)
	}
	return pin
}

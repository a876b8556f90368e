package commands

import (
	"io"
	"net"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"
)

// What comes later replaces what was there, and a password goes with the store it belongs to.
func TestOverride(t *testing.T) {
	base := configFile{DSN: "mysql://a@db1/f2bc", PasswordFile: "/etc/f2bc/password", Allow: []string{"192.0.2.1"}}
	for _, c := range []struct {
		name      string
		variables map[string]string
		want      configFile
	}{
		{"nothing", nil, base},
		{"a store without a password", map[string]string{"DSN": "mysql://a@db2/f2bc"},
			configFile{DSN: "mysql://a@db2/f2bc", PasswordFile: base.PasswordFile, Allow: base.Allow}},
		{"a store with a password", map[string]string{"DSN": "mysql://a:b@db2/f2bc"},
			configFile{DSN: "mysql://a:b@db2/f2bc", Allow: base.Allow}},
		{"a password", map[string]string{"PASSWORD": "b"},
			configFile{DSN: base.DSN, Password: "b", Allow: base.Allow}},
		{"lists and the rest", map[string]string{"ALLOW": "192.0.2.2, 192.0.2.3", "ALLOW_FILES": "/a /b", "ALLOW_PRIVATE": "1", "SSH": "hub", "SOURCE": "w", "STATE_DIR": "/s"},
			configFile{DSN: base.DSN, PasswordFile: base.PasswordFile, Allow: []string{"192.0.2.2", "192.0.2.3"}, AllowFiles: []string{"/a", "/b"},
				AllowPrivate: true, SSH: "hub", Source: "w", StateDir: "/s"}},
	} {
		cfg := &config{configFile: base}
		err := cfg.override(func(name string) (string, bool) { v, ok := c.variables[name]; return v, ok })
		if err != nil || !equalConfig(cfg.configFile, c.want) {
			t.Errorf("%s: %+v, %v, want %+v", c.name, cfg.configFile, err, c.want)
		}
	}
}

func equalConfig(a, b configFile) bool {
	lists := func(c configFile) string { return strings.Join(c.Allow, "|") + "#" + strings.Join(c.AllowFiles, "|") }
	same := lists(a) == lists(b)
	a.Allow, a.AllowFiles, b.Allow, b.AllowFiles = nil, nil, nil, nil
	return same && a.DSN == b.DSN && a.Password == b.Password && a.PasswordFile == b.PasswordFile && a.SSH == b.SSH &&
		a.Source == b.Source && a.AllowPrivate == b.AllowPrivate && a.StateDir == b.StateDir
}

// A mistake anywhere in a file never shows the password in it.
func FuzzReadConfig(f *testing.F) {
	f.Add("source = \"web1\"", "allow = [\"192.0.2.1\"]\n")
	f.Add("x = \"\"\"", "")
	f.Add("", "password = 1")
	f.Add("[table]", "dsn = [")
	f.Fuzz(func(t *testing.T, before, after string) {
		if strings.Contains(before+after, "s3cret") {
			t.Skip()
		}
		text := before + "\npassword = \"s3cret\"\ndsn = \"mysql://f2bc:s3cret@db/f2bc\"\n" + after
		path := filepath.Join(t.TempDir(), "f2bc.toml")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		cfg, err := readConfig(path)
		if err == nil {
			err = cfg.complete(place{})
		}
		if err != nil && strings.Contains(err.Error(), "s3cret") {
			t.Errorf("a password is shown: %v", err)
		}
	})
}

// Lines go to syslog when nobody looks at stderr.
func TestSyslog(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "log")
	daemon, err := net.ListenPacket("unixgram", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer daemon.Close()
	p, said := testProcess(t)
	syslogSocket = socket
	defer p.out.close()
	finished := make(chan int)
	go func() { // the socket holds only a few lines that nobody has read
		for range maxSyslog + 5 {
			p.out.say("row %q of mysql://a:secret@b/c", "\x1b")
		}
		finished <- strings.Count(said.String(), "\n")
	}()
	buffer := make([]byte, 1000)
	for i := range maxSyslog {
		daemon.SetReadDeadline(time.Now().Add(time.Minute))
		n, _, err := daemon.ReadFrom(buffer)
		if err != nil {
			t.Fatalf("line %d: %v", i, err)
		}
		line := string(buffer[:n])
		if !strings.HasPrefix(line, "<29>f2bc[") || !strings.Contains(line, `]: row "\x1b" of mysql://a:***@b/c`) {
			t.Fatalf("line %d: %q", i, line)
		}
		if last := i == maxSyslog-1; strings.Contains(line, "further lines") != last {
			t.Errorf("line %d: %q", i, line)
		}
	}
	if n := <-finished; n != maxSyslog+5 {
		t.Errorf("%d lines on stderr", n)
	}
	daemon.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
	if n, _, err := daemon.ReadFrom(buffer); err == nil {
		t.Errorf("one line more: %q", buffer[:n])
	}
}

// The example has every key once, with the default that the key has.
func TestConfigExample(t *testing.T) {
	for _, key := range knownKeys {
		if n := strings.Count("\n"+configExample, "\n"+key+" = ") + strings.Count(configExample, "\n#"+key+" = "); n != 1 {
			t.Errorf("%s stands there %d times", key, n)
		}
	}
	host, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	at := place{stateHome: t.TempDir()}
	var got [2]configFile
	for i, text := range []string{configExample, strings.ReplaceAll(configExample, "\n#", "\n")} {
		_, settings, _ := strings.Cut(text, "\n\n")
		if i == 1 { // sentences stay comments
			settings = regexp.MustCompile(`(?m)^( .*)$`).ReplaceAllString(settings, "#$1")
		}
		cfg, err := readConfig(writeFile(t, filepath.Join(t.TempDir(), "f2bc.toml"), settings))
		if err == nil {
			err = cfg.complete(at)
		}
		if err != nil {
			t.Fatalf("%v\n%s", err, settings)
		}
		got[i] = cfg.configFile
		set := cfg.routesSettings().WithDefaults()
		got[i].Table, got[i].Pref, got[i].Protocol = set.Table, set.Pref, set.Protocol
		got[i].Allow, got[i].AllowFiles = nil, nil
	}
	if !reflect.DeepEqual(got[0], got[1]) || got[0].Source != cleanName(host, "") {
		t.Errorf("as printed %+v, with what is commented out %+v", got[0], got[1])
	}
}

// testProcess is a process that prints into the returned builder.
func testProcess(t *testing.T) (*process, *strings.Builder) {
	t.Helper()
	syslogSocket = ""
	said := &strings.Builder{}
	return &process{out: newOutput(io.Discard, said)}, said
}

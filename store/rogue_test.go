package store

import (
	"crypto/rand"
	"crypto/rsa"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"f2bc/store/mysqldouble"
)

const secret = "not-for-rogues-7Qx"

// hasten makes everything that waits for a server give up soon, until the test ends.
func hasten(t testing.TB, patience, progress time.Duration) {
	was, wasProgress := Patience, ProgressTime
	Patience, ProgressTime = patience, progress
	t.Cleanup(func() { Patience, ProgressTime = was, wasProgress })
}

// fakeSSH puts an ssh into the PATH that connects at once.
func fakeSSH(t *testing.T) {
	dir := t.TempDir()
	script := "#!/bin/bash\nwhile [ \"$1\" != -W ]; do shift; done\nexec 3<>/dev/tcp/${2%:*}/${2##*:}\n" +
		"cat <&3 &\ncat >&3\nkill $!\n"
	check(t, os.WriteFile(filepath.Join(dir, "ssh"), []byte(script), 0o755))
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
}

// TestRogueGetsNoPassword: whoever answers in the place of the server, with whatever plugin and whatever it asks for
// then, learns the password neither in clear nor encrypted with a key that it can have.
func TestRogueGetsNoPassword(t *testing.T) {
	fakeSSH(t)
	hasten(t, 40*time.Millisecond, time.Second)
	genuine, err := rsa.GenerateKey(rand.Reader, 2048)
	check(t, err)
	pinned := filepath.Join(t.TempDir(), "key.pem")
	check(t, os.WriteFile(pinned, mysqldouble.PEM(&genuine.PublicKey), 0o600))
	file := filepath.Join(t.TempDir(), "file")
	check(t, os.WriteFile(file, []byte(secret), 0o600))

	key, fileRequest := append([]byte{1}, mysqldouble.Key()...), append([]byte{0xfb}, file...)
	endings := map[string][][]byte{
		"in full":           {mysqldouble.Full, key},
		"in full, again":    {mysqldouble.Full, mysqldouble.Full, key},
		"a key":             {key, key},
		"an unannounced":    {mysqldouble.Key(), key},
		"enough, then full": {mysqldouble.Enough, mysqldouble.Full, key},
		"let in, a file":    {mysqldouble.OK, fileRequest, fileRequest},
		"a file at once":    {fileRequest, fileRequest},
		"old":               {mysqldouble.OldAuth, key},
	}
	plugins := []string{"", "mysql_native_password", "caching_sha2_password", "sha256_password", "mysql_clear_password",
		"mysql_old_password", "dialog", "client_ed25519", "parsec", strings.Repeat("x", 300)}
	configurations := map[string]struct{ dsn, ssh string }{
		"loopback":  {dsn: "mysql://f2bc@ROGUE/f2bc"},
		"localhost": {dsn: "mysql://f2bc@localhost:PORT/f2bc"},
		"two hosts": {dsn: "mysql://f2bc@ROGUE,127.0.0.1:1/f2bc"},
		"tls=false": {dsn: "mysql://f2bc@ROGUE/f2bc?tls=false"},
		"tls=true":  {dsn: "mysql://f2bc@ROGUE/f2bc?tls=true"},
		"ssh":       {dsn: "mysql://f2bc@ROGUE/f2bc", ssh: "hub"},
		"a key":     {dsn: "mysql://f2bc@ROGUE/f2bc?server-key=" + pinned},
	}
	for name, c := range configurations {
		t.Run(name, func(t *testing.T) {
			var heard atomic.Int64
			var running errgroup.Group
			running.SetLimit(50) // most of the time is waited
			attempt := func(what, plugin string, answers [][]byte) {
				l := mysqldouble.Listen(t)
				defer l.Close()
				rogue := mysqldouble.NewRogue(t, l, plugin, answers...)
				_, port, _ := net.SplitHostPort(l.Addr().String())
				dsn := strings.NewReplacer("ROGUE", l.Addr().String(), "PORT", port).Replace(c.dsn)
				s, err := Open(t.Context(), Options{DSN: dsn, Password: secret, SSH: c.ssh})
				if err == nil {
					s.Close()
					t.Errorf("%s: opened", what)
				} else if strings.Contains(err.Error(), secret) {
					t.Errorf("%s: %v", what, err)
				}
				for _, packet := range rogue.Packets() {
					heard.Add(1)
					if mysqldouble.Betrays(packet, []byte(secret), nil) {
						t.Errorf("%s: the rogue has it from %q", what, packet)
					}
				}
			}
			try := func(what, plugin string, answers ...[]byte) {
				running.Go(func() error { attempt(what, plugin, answers); return nil })
			}
			for _, plugin := range plugins {
				for ending, answers := range endings {
					try(plugin+", "+ending, plugin, answers...)
					if c.ssh != "" || testing.Short() {
						continue // a process for each is dear
					}
					for _, next := range plugins {
						change := mysqldouble.Switch(next, mysqldouble.Scramble)
						try(plugin+", "+next+", "+ending, plugin, slices.Insert(slices.Clone(answers), 0, change)...)
					}
				}
			}
			running.Wait()
			if heard.Load() == 0 && name != "tls=true" {
				t.Error("nothing was said to the rogue")
			}
		})
	}
}

// TestFullAuthentication: the account of MySQL 8 is told what it needs, and with its server's key in the dsn it gets
// in.
func TestFullAuthentication(t *testing.T) {
	hasten(t, time.Minute, time.Minute)
	genuine, err := rsa.GenerateKey(rand.Reader, 2048)
	check(t, err)
	pinned := filepath.Join(t.TempDir(), "key.pem")
	check(t, os.WriteFile(pinned, mysqldouble.PEM(&genuine.PublicKey), 0o600))
	for _, plugin := range []string{"caching_sha2_password", "sha256_password"} {
		answers := [][]byte{mysqldouble.Full, mysqldouble.Denied}
		if plugin == "sha256_password" {
			answers = answers[1:]
		}
		change := mysqldouble.Switch(plugin, mysqldouble.Scramble)
		for _, c := range []struct {
			greets  string
			answers [][]byte
		}{{plugin, answers}, {"mysql_native_password", append([][]byte{change}, answers...)}} {
			for _, option := range []string{"", "?server-key=" + pinned} {
				l := mysqldouble.Listen(t)
				rogue := mysqldouble.NewRogue(t, l, c.greets, c.answers...)
				dsn := fmt.Sprintf("mysql://f2bc@%s/f2bc%s", l.Addr(), option)
				_, err := Open(t.Context(), Options{DSN: dsn, Password: secret})
				tells := func(p []byte) bool { return mysqldouble.Betrays(p, []byte(secret), genuine) }
				got := slices.ContainsFunc(rogue.Packets(), tells)
				if n := len(rogue.Packets()); n > 3 {
					t.Errorf("%s, greeted as %s, dsn %q: tried again, %d packets", plugin, c.greets, option, n)
				}
				want := "needs TLS, the server's socket, or its public key"
				if option != "" {
					want = "Access denied" // by a server that was told the password and does not like it
				} else if c.greets == "sha256_password" {
					want = "Access denied" // the driver answers for mysql_native_password instead
				}
				if err == nil || !strings.Contains(err.Error(), want) || got != (option != "") {
					t.Errorf("%s, greeted as %s, dsn %q: the server has it: %v; %v", plugin, c.greets, option, got, err)
				}
			}
		}
	}
	for _, plugin := range []string{"mysql_clear_password", "mysql_old_password", "dialog"} {
		l := mysqldouble.Listen(t)
		mysqldouble.NewRogue(t, l, "mysql_native_password", mysqldouble.Switch(plugin, mysqldouble.Scramble))
		_, err := Open(t.Context(), Options{DSN: fmt.Sprintf("mysql://f2bc@%s/f2bc", l.Addr()), Password: secret})
		if err == nil || !strings.Contains(err.Error(), "give this account one of them") {
			t.Errorf("%s: %v", plugin, err)
		}
	}
	const broken = "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"
	for text, want := range map[string]string{"": "no PEM public key", broken: "server-key: "} {
		check(t, os.WriteFile(pinned, []byte(text), 0o600))
		_, err := Open(t.Context(), Options{DSN: "mysql://f2bc@127.0.0.1:1/f2bc?server-key=" + pinned})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"f2bc/store/mariadbtest"
	"f2bc/store/mysqldouble"
)

// TestSilence: a server that stops in the middle of the list ends the read, over TCP, a socket and ssh, with words that
// say so, and without another try that would take as long.
func TestSilence(t *testing.T) {
	server := mariadbtest.Shared(t)
	database := server.Database(t)
	s := initStore(t, Options{DSN: server.DSN(database)})
	var facts []Fact
	for i := range 20_000 {
		facts = append(facts, report(fmt.Sprintf("203.%d.%d.1/32", i/200, i%200), "web1", 1, Forever))
	}
	check(t, s.Write(t.Context(), facts))
	fakeSSH(t)
	socket := filepath.Join(t.TempDir(), "s")
	for name, c := range map[string]struct{ network, addr, ssh string }{
		"tcp":    {"tcp", "127.0.0.1:0", ""},
		"ssh":    {"tcp", "127.0.0.1:0", "hub"},
		"socket": {"unix", socket, ""},
	} {
		t.Run(name, func(t *testing.T) {
			l, err := net.Listen(c.network, c.addr)
			check(t, err)
			mysqldouble.Stall(t, l, fmt.Sprint("127.0.0.1:", server.Port), 100_000)
			dsn := fmt.Sprintf("mysql://root@%s/%s", l.Addr(), database)
			if c.network == "unix" {
				dsn = "mysql://root@/" + database + "?socket=" + socket
			}
			hasten(t, time.Minute, 2*time.Second)
			s, err := Open(t.Context(), Options{DSN: dsn, SSH: c.ssh})
			check(t, err)
			defer s.Close()
			rows := 0
			err = s.Bans(t.Context(), Filter{}, func(netip.Prefix, bool) { rows++ })
			if err == nil || !strings.HasSuffix(err.Error(), ": no answer for 2s") || rows == 0 {
				t.Errorf("%v after %d rows", err, rows)
			}
		})
	}
}

// TestSilentCommit: a commit and a rollback end with their context, though the driver's do not know of it.
func TestSilentCommit(t *testing.T) {
	server := mariadbtest.Shared(t)
	database := server.Database(t)
	initStore(t, Options{DSN: server.DSN(database)})
	for _, end := range []string{"commit", "rollback"} {
		l := mysqldouble.Listen(t)
		stop := make(chan bool, 1)
		silent := false
		mysqldouble.Replace(t, l, fmt.Sprint("127.0.0.1:", server.Port), func(_ int, packet []byte) ([]byte, bool) {
			select {
			case silent = <-stop:
			default:
			}
			if silent {
				return nil, true
			}
			return packet, false
		})
		s, err := Open(t.Context(), Options{DSN: fmt.Sprintf("mysql://root@%s/%s", l.Addr(), database)})
		check(t, err)
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		tx, err := s.db.BeginTx(ctx, nil)
		check(t, err)
		stop <- true
		if end == "commit" {
			err = tx.Commit()
		} else if err = tx.Rollback(); errors.Is(err, sql.ErrTxDone) { // by the end of ctx
			err = context.DeadlineExceeded
		}
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Error(end, err)
		}
		cancel()
		check(t, s.Close())
	}
}

// TestIdle: a connection that was not used for longer than a server may say nothing is used again.
func TestIdle(t *testing.T) {
	hasten(t, time.Minute, time.Second)
	s := initStore(t, mariadbOptions(t))
	s, err := Open(t.Context(), Options{DSN: "mysql://root@" + s.dsn.Hosts[0] + "/" + s.dsn.Database})
	check(t, err)
	defer s.Close()
	id := func() (id int) {
		check(t, s.db.QueryRowContext(t.Context(), "SELECT CONNECTION_ID()").Scan(&id))
		return id
	}
	before := id()
	time.Sleep(1500 * time.Millisecond)
	if after := id(); after != before {
		t.Errorf("connection %d after %d", after, before)
	}
}

// TestLongInit: a step of init takes as long as its table is large.
func TestLongInit(t *testing.T) {
	server := mariadbtest.Shared(t)
	database := server.Database(t)
	o := Options{DSN: server.DSN(database)}
	initStore(t, o)
	db := server.Open(t, database)
	check(t, func() error { _, err := db.Exec("UPDATE meta SET value = '0' WHERE name = 'schema'"); return err }())
	conn, err := db.Conn(t.Context())
	check(t, err)
	defer conn.Close()
	_, err = conn.ExecContext(t.Context(), "LOCK TABLES event WRITE")
	check(t, err)
	time.AfterFunc(4*time.Second, func() { conn.ExecContext(context.Background(), "UNLOCK TABLES") })
	hasten(t, 2*time.Second, 2*time.Second)
	begin := time.Now()
	s, err := Init(t.Context(), o)
	check(t, err)
	s.Close()
	if took := time.Since(begin); took < 2*time.Second {
		t.Errorf("nothing had to be waited for: it took %v", took)
	}
}

// TestLostInSnapshot: where the connection is gone in the middle of a transaction, what follows fails instead of
// waiting for the end of it.
func TestLostInSnapshot(t *testing.T) {
	s := initStore(t, mariadbOptions(t))
	done := make(chan error, 1)
	go func() {
		done <- s.snapshot(t.Context(), func(conn *sql.Conn) error {
			conn.ExecContext(t.Context(), "KILL CONNECTION_ID()")
			conn.ExecContext(t.Context(), "SELECT 1")
			return s.query(t.Context(), conn, "SELECT 1", nil, func(scanner) error { return nil })
		})
	}()
	select {
	case err := <-done:
		if err == nil {
			t.Error("a dead connection answers")
		}
	case <-time.After(time.Minute):
		t.Fatal("it waits for itself")
	}
}

// TestSocketOwner: nothing is said to a socket that anybody could have put there.
func TestSocketOwner(t *testing.T) {
	if os.Geteuid() != 0 {
		mariadbtest.Unavailable(t, errors.New("only root can give files away"))
	}
	const mysql, other = 101, 102
	for _, c := range []struct {
		name            string
		dirOwner, owner int
		mode            os.FileMode
		linkedFrom      os.FileMode // a directory with a link to it; 0: none
		linkOwner       int
		want            string
	}{
		{name: "Debian's", dirOwner: mysql, owner: mysql, mode: 0o755},
		{name: "root's", owner: 0, mode: 0o755},
		{name: "root's in /tmp", owner: 0, mode: 0o777 | os.ModeSticky},
		{name: "a container's", dirOwner: mysql, owner: mysql, mode: 0o777 | os.ModeSticky},
		{name: "somebody's in /tmp", owner: other, mode: 0o777 | os.ModeSticky, want: "belongs to user 102"},
		{name: "somebody's", dirOwner: mysql, owner: other, mode: 0o755, want: "belongs to user 102"},
		{name: "all may write", owner: 0, mode: 0o777, want: "others can put another socket"},
		{name: "a group may write", dirOwner: mysql, owner: mysql, mode: 0o775, want: "others can put another socket"},
		{name: "root's link", dirOwner: mysql, owner: mysql, mode: 0o755, linkedFrom: 0o777 | os.ModeSticky},
		{name: "somebody's link", dirOwner: other, owner: other, mode: 0o755,
			linkedFrom: 0o777 | os.ModeSticky, linkOwner: other, want: "belongs to user 102"},
	} {
		t.Run(c.name, func(t *testing.T) {
			hasten(t, time.Minute, time.Minute)
			dir := t.TempDir()
			path := filepath.Join(dir, "s")
			l, err := net.Listen("unix", path)
			check(t, err)
			rogue := mysqldouble.NewRogue(t, l, "mysql_native_password", mysqldouble.Denied)
			check(t, os.Chown(path, c.owner, -1))
			check(t, os.Chown(dir, c.dirOwner, -1))
			check(t, os.Chmod(dir, c.mode))
			if c.linkedFrom != 0 {
				from := t.TempDir()
				check(t, os.Chmod(from, c.linkedFrom))
				check(t, os.Symlink(path, filepath.Join(from, "s")))
				path = filepath.Join(from, "s")
				check(t, os.Lchown(path, c.linkOwner, -1))
			}
			_, err = Open(t.Context(), Options{DSN: "mysql://f2bc@/f2bc?socket=" + path, Password: secret})
			want := c.want
			if want == "" {
				want = "Access denied"
			}
			if err == nil || !strings.Contains(err.Error(), want) || (len(rogue.Packets()) > 0) != (c.want == "") {
				t.Errorf("%v; it was told %q", err, rogue.Packets())
			}
		})
	}
}

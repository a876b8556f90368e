package store

import (
	"bytes"
	"context"
	"database/sql"
	"io"
	"net"
	"net/netip"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"

	"f2bc/store/mysqldouble"
)

// FuzzWire: whatever bytes come from a server, from the start or after an honest login, everything ends without a
// panic, and the password does not go out.
func FuzzWire(f *testing.F) {
	packet := func(sequence byte, payload ...byte) []byte { return mysqldouble.Packet(sequence, payload...) }
	greeting := packet(0, mysqldouble.Greeting("caching_sha2_password")...)
	column := packet(2, append([]byte("\x03def\x00\x00\x00\x01a\x01a\x0c\x3f\x00\xff\xff\x00\x00\xfd"), 0, 0, 0, 0, 0)...)
	answer := slices.Concat(packet(1, 1), column, packet(3, []byte("\x0816777216")...), packet(4, 0xfe, 0, 0, 2, 0, 0, 0))
	ok := func(sequence byte) []byte { return packet(sequence, mysqldouble.OK...) }
	login := slices.Concat(greeting, ok(2), answer, ok(1))
	for _, start := range []byte{0, 1, 2, 3} {
		f.Add(start, login)
		f.Add(start, slices.Concat(ok(1), answer, answer, ok(1)))
		for _, nonsense := range mysqldouble.Nonsense(packet(2, mysqldouble.OK...), "/etc/hostname") {
			f.Add(start, append(bytes.Clone(greeting), nonsense...))
			f.Add(start, append(ok(1), nonsense...))
		}
	}
	was, wasProgress := Patience, ProgressTime
	Patience, ProgressTime = 2*time.Millisecond, 100*time.Millisecond
	f.Cleanup(func() { Patience, ProgressTime = was, wasProgress })
	f.Fuzz(func(t *testing.T, start byte, answers []byte) {
		if manyColumns(answers) {
			t.Skip() // the driver makes room for as many as it is told
		}
		if start&1 != 0 {
			answers = append(bytes.Clone(login), answers...)
		}
		sent := &bytes.Buffer{}
		s := fuzzStore(t, answers, sent)
		defer s.Close()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		switch start >> 1 % 4 {
		case 0:
			s.readMeta(ctx)
		case 1:
			s.Bans(ctx, Filter{}, func(netip.Prefix, bool) {})
		case 2:
			s.Write(ctx, []Fact{report("203.0.113.6/32", "f2bc", 1, Forever)})
		case 3:
			s.List(ctx, Filter{})
			s.NeverBan(ctx)
		}
		if ctx.Err() != nil {
			t.Fatal("it does not end")
		}
		s.Close()
		if mysqldouble.Betrays(sent.Bytes(), []byte(secret), nil) {
			t.Fatalf("the password is in %q", sent)
		}
	})
}

// manyColumns reports whether a packet may be taken for the announcement of more columns than there is memory for.
func manyColumns(answers []byte) bool {
	for i := range answers {
		left := answers[i:]
		if left[0] == 0xfd && len(left) > 3 || left[0] == 0xfe && len(left) > 8 && !bytes.Equal(left[4:9], make([]byte, 5)) {
			return true
		}
	}
	return false
}

// fuzzStore returns a store whose server says the same on every connection and then hangs up.
func fuzzStore(t *testing.T, answers []byte, sent *bytes.Buffer) *Store {
	m := &mysqlConnector{progress: ProgressTime}
	cfg := mysql.NewConfig()
	cfg.User, cfg.Passwd, cfg.InterpolateParams, cfg.Logger = "f2bc", secret, true, &mysql.NopLogger{}
	cfg.Net, cfg.Addr, cfg.ServerPubKey = "tcp", "127.0.0.1:1", noKey
	cfg.DialFunc = func(ctx context.Context, _, _ string) (net.Conn, error) {
		return lineOf(ctx).begin(&fuzzConn{answers: bytes.NewReader(answers), sent: sent}, &login{}), nil
	}
	check(t, m.add(cfg))
	s := &Store{db: sql.OpenDB(m), engine: mysqlEngine, warn: func(string, ...any) {}}
	s.dsn.User = "f2bc"
	s.db.SetMaxOpenConns(1) // what is sent is written by one at a time
	s.clock.set(time.Now(), "")
	return s
}

// fuzzConn is a server without a network.
type fuzzConn struct {
	answers io.Reader
	sent    *bytes.Buffer
	closed  atomic.Bool
}

func (c *fuzzConn) Read(b []byte) (int, error) {
	if c.closed.Load() {
		return 0, net.ErrClosed
	}
	return c.answers.Read(b)
}

func (c *fuzzConn) Write(b []byte) (int, error)      { return c.sent.Write(b) }
func (c *fuzzConn) Close() error                     { c.closed.Store(true); return nil }
func (c *fuzzConn) LocalAddr() net.Addr              { return sshAddr{} }
func (c *fuzzConn) RemoteAddr() net.Addr             { return sshAddr{} }
func (c *fuzzConn) SetDeadline(time.Time) error      { return nil }
func (c *fuzzConn) SetReadDeadline(time.Time) error  { return nil }
func (c *fuzzConn) SetWriteDeadline(time.Time) error { return nil }

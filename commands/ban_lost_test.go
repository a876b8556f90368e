package commands

import (
	"bytes"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"f2bc/store"
)

// TestLostAnswer: the store takes a fact and its answer is lost, and before that fact is repeated somebody says
// otherwise. That stands: a repetition has the time of what it repeats.
func TestLostAnswer(t *testing.T) {
	f := newTestFleet(t, startMariaDB(t), "web1")
	admin, web1 := f.open("f2bc_admin"), f.open("web1")
	direct := f.addr
	write := func(st *store.Store, fact store.Fact) {
		facts := []store.Fact{fact}
		if err := st.Stamp(t.Context(), facts, time.Time{}); err != nil {
			t.Error(err)
		}
		if err := st.Write(t.Context(), facts); err != nil {
			t.Error(err)
		}
	}
	unban := func(prefix string) func() {
		return func() { write(admin, store.Fact{Lift: true, Prefix: netip.MustParsePrefix(prefix)}) }
	}
	ban := func(address string) func() { return func() { write(web1, fact(address, "web1", 0)) } }

	at := fmt.Sprint(time.Now().Unix())
	const own = "unban --own --reason sshd --bantime 600 --at "
	for _, gone := range []bool{false, true} { // and with it the store, until later
		for i, c := range []struct {
			command string
			between func()
			banned  string
		}{
			{"ban 203.0.113.9", func() {}, "203.0.113.9"},
			{"ban 203.0.113.1", unban("203.0.113.1/32"), ""},
			{"ban 203.0.113.2", unban("203.0.113.0/24"), ""},
			{"ban --reason sshd --bantime 600 --at " + at + " 203.0.113.3", unban("203.0.113.3/32"), ""},
			{"ban 203.0.113.4 2001:db8::4", unban("203.0.113.4/32"), "2001:db8::4"},
			{own + at + " 203.0.113.5", ban("203.0.113.5"), "203.0.113.5"},
			{own + at + " 203.0.113.0/24", ban("203.0.113.6"), "203.0.113.6"},
		} {
			proxy := newLosingProxy(t, direct, func(p *losingProxy) {
				c.between()
				if gone {
					p.Close()
				}
			})
			f.addr = proxy.Addr().String()
			out := f.host("web1", 0, strings.Fields(c.command)...)
			if kept := strings.Contains(out, "in the outbox"); kept != gone {
				t.Errorf("%s: %s", c.command, out)
			}
			f.addr = direct
			if out := f.host("web1", 0, "list"); strings.Contains(out, "set aside") {
				t.Errorf("%s: %s", c.command, out)
			}
			if got := f.banned("web1"); got != c.banned {
				t.Errorf("%d, gone %v: %s: banned %q, want %q", i, gone, c.command, got, c.banned)
			}
			unban("0.0.0.0/0")()
			unban("::/0")()
		}
	}
}

// losingProxy passes connections on to a database, but for the first answer to a call that writes.
type losingProxy struct {
	net.Listener
	calls atomic.Int32
}

// newLosingProxy returns a proxy that calls lose before it cuts the connection.
func newLosingProxy(t *testing.T, target string, lose func(*losingProxy)) *losingProxy {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &losingProxy{Listener: l}
	t.Cleanup(func() {
		l.Close()
		if p.calls.Load() == 0 {
			t.Error("no answer was lost")
		}
	})
	go func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			server, err := net.Dial("tcp", target)
			if err != nil {
				client.Close()
				return
			}
			var called atomic.Bool
			go relay(server, client, func(sent []byte) bool {
				if bytes.Contains(sent, []byte("CALL write_fact")) {
					called.Store(true)
				}
				return true
			})
			go relay(client, server, func([]byte) bool {
				if called.Load() && p.calls.Add(1) == 1 {
					lose(p)
					return false
				}
				return true
			})
		}
	}()
	return p
}

// relay passes on what pass agrees to.
func relay(to, from net.Conn, pass func([]byte) bool) {
	defer to.Close()
	defer from.Close()
	buffer := make([]byte, 1<<16)
	for {
		n, err := from.Read(buffer)
		if err != nil || !pass(buffer[:n]) {
			return
		}
		if _, err := to.Write(buffer[:n]); err != nil {
			return
		}
	}
}

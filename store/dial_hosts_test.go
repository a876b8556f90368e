package store

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"f2bc/store/mariadbtest"
	"f2bc/store/state"
)

// pair is two databases that know nothing of each other, so that a test sees where a fact went. Its account is bound by
// read_only, as root is not.
type pair struct {
	t       *testing.T
	servers [2]*mariadbtest.Server
	stores  [2]*Store
	state   state.Dir
	facts   int
}

func newPair(t *testing.T) *pair {
	p := &pair{t: t, servers: [2]*mariadbtest.Server{mariadbtest.Shared(t), mariadbtest.New(t)}, state: state.Dir(t.TempDir())}
	check(t, p.servers[1].Start())
	for i, server := range p.servers {
		server.Exec(t, "CREATE DATABASE hosts; CREATE USER pair@'%'; GRANT ALL ON hosts.* TO pair@'%'")
		t.Cleanup(func() {
			p.set(i, "read_only", 0)
			p.set(i, "tx_read_only", 0)
			server.Exec(t, "DROP DATABASE hosts; DROP USER pair@'%'")
		})
		p.stores[i] = initStore(t, Options{DSN: server.DSN("hosts")})
	}
	return p
}

func (p *pair) set(i int, variable string, value int) {
	p.servers[i].Exec(p.t, fmt.Sprintf("SET GLOBAL %s = %d", variable, value))
}

func (p *pair) address(i int) string { return fmt.Sprint("127.0.0.1:", p.servers[i].Port) }

func (p *pair) options(hosts ...string) Options {
	return Options{DSN: "mysql://pair@" + strings.Join(hosts, ",") + "/hosts", State: p.state}
}

func (p *pair) open(o Options) *Store {
	p.t.Helper()
	s, err := Open(p.t.Context(), o)
	check(p.t, err)
	p.t.Cleanup(func() { s.Close() })
	return s
}

// write writes a fact and wants it to be in server i only.
func (p *pair) write(s *Store, i int) { p.writeMany(s, i, 1) }

func (p *pair) writeMany(s *Store, i, n int) {
	p.t.Helper()
	var facts []Fact
	for range n {
		p.facts++
		facts = append(facts, report(fmt.Sprintf("203.0.113.%d/32", p.facts), "web1", 1_700_000_000_000_000, Forever))
	}
	check(p.t, s.Write(p.t.Context(), facts))
	for j, there := range p.stores {
		list := " " + banned(p.t, there, Filter{}) + " "
		for _, f := range facts {
			if got := strings.Contains(list, " "+f.Prefix.String()+" "); got != (i == j) {
				p.t.Errorf("server %d has %s: %v", j, f.Prefix, got)
			}
		}
	}
}

func (p *pair) wantLast(i int) {
	p.t.Helper()
	if text, err := p.state.Read(lastHostFile); string(text) != p.address(i)+"\n" {
		p.t.Errorf("last-host is %q, %v; want server %d", text, err, i)
	}
}

// TestReadOnlyHost: writes find the host that takes them, from the start and when that changes in a long run; where there
// is none, reads still work.
func TestReadOnlyHost(t *testing.T) {
	p := newPair(t)
	p.set(0, "read_only", 1)
	o := p.options(p.address(0), p.address(1))
	s := p.open(o)
	p.write(s, 1)
	p.wantLast(1)
	p.write(p.open(o), 1) // goes there at once

	p.set(0, "read_only", 0)
	p.write(s, 1) // no reason to leave
	p.set(1, "read_only", 1)
	p.write(s, 0)
	p.wantLast(0)
	p.write(p.open(o), 0)

	// So do the statements of many batches, which the host that was left had prepared.
	smallBatches(t)
	p.writeMany(s, 0, 20)
	p.set(1, "read_only", 0)
	p.set(0, "read_only", 1)
	p.writeMany(s, 1, 20)
	p.set(0, "read_only", 0)
	p.set(1, "read_only", 1)
	p.writeMany(s, 0, 20)
	p.set(0, "max_prepared_stmt_count", 0)
	p.writeMany(p.open(o), 0, 20)
	p.set(0, "max_prepared_stmt_count", 16382)

	// Transactions that are read-only by default are found out by the write alone. They are for new connections.
	p.set(1, "read_only", 0)
	p.set(0, "tx_read_only", 1)
	p.write(p.open(o), 1)

	p.set(0, "read_only", 1)
	p.set(1, "read_only", 1)
	s = p.open(o)
	if banned(t, s, Filter{}) == "" {
		t.Error("nothing to be read where all are read-only")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	err := s.Write(ctx, []Fact{report("192.0.2.1/32", "web1", 1_700_000_000_000_000, Forever)})
	if !readOnly(number(err)) || !strings.Contains(err.Error(), "name the server that takes writes") {
		t.Error("a write where all are read-only:", err)
	}
}

// TestHostAway: a host that is away or says nothing leaves time for the next, and is not asked first again.
func TestHostAway(t *testing.T) {
	p := newPair(t)
	mute := newWire(t, p.address(0))
	mute.set(true)
	silent := mute.Addr().String()
	refusing := fmt.Sprint("127.0.0.1:", freePort(t))

	o := p.options(silent, refusing, p.address(1))
	ctx, cancel := context.WithTimeout(t.Context(), 1500*time.Millisecond)
	defer cancel()
	s, err := Open(ctx, o)
	check(t, err)
	defer s.Close()
	p.wantLast(1)
	before := mute.set(true)
	p.write(p.open(o), 1)
	if after := mute.set(true); before == 0 || after != before {
		t.Errorf("the silent host was asked %d times, then %d", before, after)
	}

	// The open store's host is killed: the next write goes to the other one, without an error.
	o = p.options(refusing, p.address(1), p.address(0))
	s = p.open(o)
	p.write(s, 1)
	p.servers[1].Kill()
	check(t, s.Write(t.Context(), []Fact{report("192.0.2.1/32", "web1", 1_700_000_000_000_000, Forever)}))
	p.wantLast(0)
	check(t, p.servers[1].Start())
	p.write(p.open(o), 0) // the last good one, though it comes last in the DSN

	// What the file says is only advice.
	check(t, p.state.Note(lastHostFile, "db9.example:3306"))
	p.write(p.open(o), 1)
	o.State = state.Dir(p.state.Path("missing"))
	p.write(p.open(o), 1)

	_, err = Open(t.Context(), p.options(refusing, fmt.Sprint("127.0.0.1:", freePort(t))))
	if err == nil || strings.Count(err.Error(), "connection refused") != 2 || strings.Contains(err.Error(), "\n") {
		t.Error("two hosts away:", err)
	}
}

// TestNoWsrep: a server that was built without Galera is used without its setting.
func TestNoWsrep(t *testing.T) {
	defer func(was string) { causalReads = was }(causalReads)
	causalReads = ", no_such_variable = 1"
	server := mariadbtest.Shared(t)
	s := initStore(t, Options{DSN: server.DSN(server.Database(t))})
	wantBanned(t, s, "")
	var wait int
	check(t, s.db.QueryRow("SELECT @@innodb_lock_wait_timeout").Scan(&wait))
	if wait != 2 {
		t.Errorf("lock waits last %d s", wait)
	}
}

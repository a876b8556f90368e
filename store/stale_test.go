package store

import (
	"testing"
	"time"
)

// TestStaleClock: a call of a procedure that began before an admin's unban does not take it for one that is dated
// ahead, however long it waits for a lock. The thief dates his reports as far ahead as he may, so the unban is too.
func TestStaleClock(t *testing.T) {
	for _, c := range []struct{ facts, reason string }{
		{`["CB007106",32,"73736864",1,-1,0]`, "sshd"}, // merges with the unban
		{`["CB007100",24,"73736864",1,-1,1]`, "sshd"}, // resets what is ahead
		{`["CB007106",32,"",1,-1,1]`, ""},             // merges with it in lift
	} {
		f := newFleet(t, "web1")
		ctx := t.Context()
		web1 := f.raw(t, "web1")
		exec := func(query string) {
			t.Helper()
			_, err := web1.Exec(query)
			check(t, err)
		}
		exec(`CALL write_facts('[["CB007101",32,"73736864",1,-1,0],["CB007106",32,"73736864",1,-1,0]]')`)
		holder, err := web1.Conn(ctx)
		check(t, err)
		defer holder.Close()
		for _, query := range []string{"START TRANSACTION",
			"SELECT * FROM report WHERE addr = X'CB007101' AND len = 32 AND source = 'web1' AND reason = 'sshd' LOCK IN SHARE MODE"} {
			_, err = holder.ExecContext(ctx, query)
			check(t, err)
		}
		done := make(chan error)
		go func() {
			_, err := web1.Exec("CALL write_facts(?)", `[["CB007101",32,"73736864",1,-1,0],`+c.facts+"]")
			done <- err
		}()
		waitFor(t, f, "attack waits", "SELECT COUNT(*) FROM information_schema.INNODB_LOCK_WAITS")

		exec(`CALL write_facts('[["CB007106",32,"73736864",9223372036854775807,-1,0]]')`)
		unban := []Fact{lift("203.0.113.6/32", "web1", c.reason, 0)}
		check(t, f.admin.Stamp(ctx, unban, time.Time{}))
		check(t, f.admin.Write(ctx, unban))
		_, err = holder.ExecContext(ctx, "ROLLBACK")
		check(t, err)
		if err := <-done; number(err) != 1205 { // on a slow machine it waited for too long
			check(t, err)
		}
		if has, err := f.admin.has(ctx, unban[0]); !has || err != nil {
			t.Errorf("%s: took back an unban: %v\n%s", c.facts, err, dumpRows(t, f.admin))
		}
	}
}

// waitFor waits until a count that root asks for is not zero. InnoDB counts anew only where nobody asked for 0.1 s.
func waitFor(t *testing.T, f *fleet, what, query string) {
	t.Helper()
	db := f.server.Open(t, f.database)
	for deadline := time.Now().Add(time.Minute); ; {
		time.Sleep(150 * time.Millisecond)
		var n int
		check(t, db.QueryRow(query).Scan(&n))
		if n > 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("never: " + what)
		}
	}
}

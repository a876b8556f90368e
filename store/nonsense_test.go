package store

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"f2bc/store/state"
)

// TestHistoryNonsense: events that no fact makes, however many and however new, hide none: they are passed over and counted.
func TestHistoryNonsense(t *testing.T) {
	onEngines(t, func(t *testing.T, o Options) {
		s := initStore(t, o)
		now := s.clock.now()
		check(t, s.Write(t.Context(), []Fact{report("203.0.113.6/32", "web1", now-1000, time.Hour), lift("203.0.113.0/24", "", "", now-900)}))
		var rows []string
		for i := range 2000 {
			at := int64(now) - int64(i%500*2)
			row := fmt.Sprintf("(X'CB0071%02x', 32, %d, 'web1', 'r%d', %d, 0, 'x')", i%256, at, i, at-1) // it ends before it begins
			switch i % 4 {
			case 1:
				row = fmt.Sprintf("(X'CB0071', 32, %d, 'web1', 'r%d', 0, 0, 'x')", at, i)
			case 2:
				row = fmt.Sprintf("(X'CB007106', 99, %d, 'web1', 'r%d', 0, 0, 'x')", at, i)
			case 3:
				row = fmt.Sprintf("(X'CB007106', 32, %d, 'web1', 'r%d', 0, 0, 'x')", at+3_600_000_000, i) // ahead
			}
			rows = append(rows, row)
		}
		_, err := s.db.Exec("INSERT INTO event (addr, len, at, source, reason, expires, forced, who) VALUES " + strings.Join(rows, ", "))
		check(t, err)
		events, senseless, err := s.History(t.Context(), netip.Prefix{}, Filter{}, 10)
		check(t, err)
		if len(events) != 2 || !events[0].Lift || events[1].Source != "web1" || senseless != 2000 {
			t.Errorf("%d senseless, %+v", senseless, events)
		}
		if events, senseless, err = s.History(t.Context(), netip.Prefix{}, Filter{}, 1); len(events) != 1 || senseless != 1856 || err != nil {
			t.Errorf("one event of two: %d senseless, %+v, %v", senseless, events, err)
		}
		_, err = s.db.Exec("DELETE FROM event WHERE who <> 'x'")
		check(t, err)
		if events, senseless, err = s.History(t.Context(), netip.Prefix{}, Filter{}, 10); len(events) != 0 || senseless != 2000 || err != nil {
			t.Errorf("nothing else: %d senseless, %+v, %v", senseless, events, err)
		}
	})
}

// TestAheadWaits: what a clock that was wrong dated ahead is not a fact yet: the outbox delivers all else, and a restored store
// gets back what it can take.
func TestAheadWaits(t *testing.T) {
	s := initStore(t, mariadbOptions(t))
	ctx, dir := t.Context(), state.Dir(t.TempDir())
	year := s.clock.now().Add(365 * 24 * time.Hour)
	ahead, good := report("192.0.2.1/32", "web1", year, Forever), report("192.0.2.2/32", "web1", s.clock.now(), Forever)
	o := openOutbox(t, dir)
	check(t, o.Add(ctx, []Fact{ahead, good}, time.Time{}))
	d, err := o.Deliver(ctx, s, "web1")
	if err != nil || d.Delivered != 1 || len(d.Aside) != 0 {
		t.Errorf("%+v, %v", d, err)
	}
	wantState(t, o, 1, 0)
	wantBanned(t, s, "192.0.2.2/32")

	check(t, noteTaken(dir, s, []Fact{ahead}))
	if n, err := s.Recall(ctx, dir); n != 0 || err != nil {
		t.Error("nothing is lost:", n, err)
	}
	_, err = s.db.Exec("DELETE FROM report")
	check(t, err)
	if n, err := s.Recall(ctx, dir); n != 1 || err != nil {
		t.Error("recalled", n, err)
	}
	wantBanned(t, s, "192.0.2.2/32")
}

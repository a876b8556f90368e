package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"time"
)

const (
	// wholeEvery is how long a Live trusts marks before it reads everything anew.
	wholeEvery = 10 * time.Minute

	// manyChanged is from where reading everything is cheaper than asking for each prefix.
	manyChanged = 5000
)

// Live is the active list kept up to date by asking only for what changed. It is not for concurrent use. What it knows
// it keeps in memory, about 100 bytes a ban.
type Live struct {
	s       *Store
	bans    map[netip.Prefix]liveBan
	lifts   *lifts
	blocked []string         // sources of which nothing counts
	read    time.Time        // of everything; zero before the first time
	mark    int64            // newest seen, µs
	moved   time.Time        // when mark last moved
	seen    map[uint64]int64 // the marks of the rows within the slack, by change.hash: known already
	next    Time             // when the first ban ends
}

type liveBan struct {
	expires Time
	forced  bool
}

// Live returns a Live that has read nothing yet.
func (s *Store) Live() *Live { return &Live{s: s} }

// Bans calls yield for every prefix banned as of the last Refresh, in no order.
func (l *Live) Bans(yield func(p netip.Prefix, forced bool)) {
	for p, b := range l.bans {
		yield(p, b.forced)
	}
}

// Mark returns what Store.Mark would have returned at the last Refresh.
func (l *Live) Mark() Time { return Time(l.mark) }

// ErrReplaced says that behind the same DSN there is another store now. It must be opened anew.
var ErrReplaced = errors.New("the store was replaced by another one")

// ErrUpgraded says that the store has other tables than when it was opened. It must be opened anew.
var ErrUpgraded = errors.New("the store's tables were upgraded")

// Refresh asks the store for what changed, and reports whether the bans or the never-ban list did. Where nothing did it
// is one small query. After an error the bans are those of the last success.
func (l *Live) Refresh(ctx context.Context) (changed bool, err error) {
	if l.read.IsZero() || time.Since(l.read) > wholeEvery {
		return l.readAll(ctx)
	}
	prefixes, changed, err := l.readChanges(ctx)
	if err != nil {
		return false, fmt.Errorf("read from %v: %w", l.s.dsn, err)
	}
	if len(prefixes) > manyChanged {
		l.read = time.Time{} // until it is read, also where that fails
	}
	if l.read.IsZero() {
		return l.readAll(ctx)
	}
	for batch := range slices.Chunk(slices.Collect(maps.Keys(prefixes)), askBatch) {
		moved, err := l.reread(ctx, batch)
		if err != nil {
			l.read = time.Time{} // half-way: start over
			return false, fmt.Errorf("read from %v: %w", l.s.dsn, err)
		}
		changed = changed || moved
	}
	return l.Expire() || changed, nil
}

// readAll reads everything in one snapshot.
func (l *Live) readAll(ctx context.Context) (changed bool, err error) {
	fresh := Live{s: l.s, bans: map[netip.Prefix]liveBan{}, read: time.Now(), seen: map[uint64]int64{}}
	var a answer
	err = l.s.snapshot(ctx, func(conn *sql.Conn) (err error) {
		if err := conn.QueryRowContext(ctx, "SELECT "+l.s.newestMark()).Scan(&fresh.mark); err != nil {
			return err
		}
		window := fresh.mark - MarkSlack.Microseconds()
		a, err = fresh.ask(ctx, conn, window, window, func(c change) { fresh.seen[c.hash()] = c.mark })
		if err == nil {
			err = l.same(a)
		}
		if err != nil {
			return err
		}
		if fresh.lifts, err = l.s.readLifts(ctx, conn); err != nil {
			return err
		}
		if fresh.blocked, err = l.s.blockedSources(ctx, conn); err != nil {
			return err
		}
		query, args := l.s.activeQuery(activeColumns, Filter{}, fresh.blocked)
		return l.s.queryRaw(ctx, conn, query, args, 6, func(row []driver.Value) { fresh.take(activeReport(row)) })
	})
	if err != nil {
		return false, fmt.Errorf("read from %v: %w", l.s.dsn, withHint(err))
	}
	l.s.setPaused(a.pause)
	fresh.moved = time.Now()
	fresh.Expire()
	*l = fresh
	return true, nil
}

// take adds an active report, unless a wider lift covers it.
func (l *Live) take(r Report, err error) {
	if err != nil {
		l.s.warn("skipped a report that makes no sense: %v", err)
		return
	}
	if r.At <= l.lifts.newest(r.Prefix, r.Source, r.Reason) {
		return
	}
	b := l.bans[r.Prefix]
	l.bans[r.Prefix] = liveBan{expires: max(b.expires, r.Expires), forced: b.forced || r.Forced}
}

// reread asks for the active reports on exactly these prefixes.
func (l *Live) reread(ctx context.Context, prefixes []netip.Prefix) (changed bool, err error) {
	before := map[netip.Prefix]liveBan{}
	for _, p := range prefixes {
		if b, ok := l.bans[p]; ok {
			before[p] = b
		}
	}
	where, args := exactly(prefixes)
	others, names := notFrom(l.blocked)
	query := "SELECT " + activeColumns + " FROM report WHERE " + l.s.active() + " AND " + where + others
	args = append(args, names...)
	var rows []Report
	err = l.s.snapshot(ctx, func(conn *sql.Conn) error {
		return l.s.queryRaw(ctx, conn, query, args, 6, func(row []driver.Value) {
			if r, err := activeReport(row); err == nil {
				rows = append(rows, r)
			}
		})
	})
	if err != nil {
		return false, err
	}
	for _, p := range prefixes {
		delete(l.bans, p)
	}
	for _, r := range rows {
		l.take(r, nil)
	}
	for _, p := range prefixes {
		b, ok := l.bans[p]
		was, had := before[p]
		changed = changed || ok != had || b.forced != was.forced
		if ok {
			l.next = min(l.next, b.expires)
		}
	}
	return changed, nil
}

// Expire drops the bans that have ended, as Refresh does, and reports whether there were any. It does not ask the store.
func (l *Live) Expire() (changed bool) {
	now := l.s.clock.now()
	if now < l.next {
		return false
	}
	l.next = Permanent
	for p, b := range l.bans {
		if b.expires <= now {
			delete(l.bans, p)
			changed = true
		} else {
			l.next = min(l.next, b.expires)
		}
	}
	return changed
}

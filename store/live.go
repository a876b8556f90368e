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
	// markSlack is how far back of the newest mark a reader asks: rows become visible when their transaction commits,
	// not in the order of their marks, and the clocks of cluster nodes differ.
	markSlack = 10 * time.Second

	// wholeEvery is how long a Live trusts marks before it reads everything anew.
	wholeEvery = 10 * time.Minute

	// manyChanged is from where reading everything is cheaper than asking for each prefix.
	manyChanged = 5000
)

// Live is the active list kept up to date by asking only for what changed. It is not for concurrent use. What it knows
// it keeps in memory, about 100 bytes a ban.
type Live struct {
	s     *Store
	bans  map[netip.Prefix]liveBan
	lifts *lifts
	read  time.Time        // of everything; zero before the first time
	mark  int64            // newest seen, µs
	seen  map[string]int64 // the marks of the rows within the slack, by their key: known already
	next  Time             // when the first ban ends
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
	if l.read.IsZero() || len(prefixes) > manyChanged {
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
	fresh := Live{s: l.s, bans: map[netip.Prefix]liveBan{}, read: time.Now(), seen: map[string]int64{}}
	err = l.s.snapshot(ctx, func(conn *sql.Conn) (err error) {
		if fresh.lifts, err = l.s.readLifts(ctx, conn); err != nil {
			return err
		}
		if err := conn.QueryRowContext(ctx, "SELECT "+l.s.newestMark()).Scan(&fresh.mark); err != nil {
			return err
		}
		blocked, err := l.s.blockedSources(ctx, conn)
		if err != nil {
			return err
		}
		query, args := l.s.activeQuery(activeColumns, Filter{}, blocked)
		return l.s.queryRaw(ctx, conn, query, args, func(row []driver.Value) { fresh.take(activeReport(row)) })
	})
	if err != nil {
		return false, fmt.Errorf("read from %v: %w", l.s.dsn, withHint(err))
	}
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

// change is a row that is new within the slack, or what the store says of itself.
type change struct {
	table          string
	value          []byte // an address, or what else the row has
	len            int
	source, reason string
	at             Time
	mark           int64
}

func (c change) key() string {
	return fmt.Sprintf("%s %x/%d %q %q", c.table, c.value, c.len, c.source, c.reason)
}

func (l *Live) askChanges(ctx context.Context) (changes []change, err error) {
	after := l.s.engine.afterMark
	mark := l.s.engine.recorded
	query := `
SELECT 'report', addr, len, source, reason, at, ` + mark + ` FROM report WHERE ` + after + `
UNION ALL
SELECT 'lift',   addr, len, source, reason, at, ` + mark + ` FROM lift   WHERE ` + after + `
UNION ALL
SELECT 'allow',  entry, 0,  '',     '',     at, ` + mark + ` FROM allow  WHERE ` + after + `
UNION ALL
SELECT name,     value, 0,  '',     '',     0,  0 FROM meta WHERE name IN ('id', '` + pauseName + `')
UNION ALL
SELECT 'newest', '',    0,  '',     '',     0,  ` + l.s.newestMark()
	from := l.mark - markSlack.Microseconds()
	err = retry(ctx, func(ctx context.Context) error {
		changes = nil
		return l.s.query(ctx, l.s.db, query, []any{from, from, from}, func(scan scanner) error {
			var c change
			err := scan(&c.table, &c.value, &c.len, &c.source, &c.reason, &c.at, &c.mark)
			changes = append(changes, c)
			return err
		})
	})
	return changes, err
}

// readChanges reads the rows that are new within the slack, and returns the prefixes whose bans they may change. It
// takes up new lifts, and says whether the never-ban list changed.
func (l *Live) readChanges(ctx context.Context) (prefixes map[netip.Prefix]bool, allows bool, err error) {
	changes, err := l.askChanges(ctx)
	if err != nil {
		return nil, false, err
	}
	prefixes, seen := map[netip.Prefix]bool{}, map[string]int64{}
	var id, pause string
	var newest int64
	for _, c := range changes {
		switch c.table {
		case "id":
			id = string(c.value)
		case pauseName:
			pause = string(c.value)
		case "newest":
			newest = c.mark
		default:
			key := c.key()
			seen[key] = c.mark
			if l.seen[key] == c.mark {
				continue
			}
			if c.table == "allow" {
				allows = true
				continue
			}
			l.concern(c, prefixes)
		}
	}
	if id != l.s.id {
		return nil, false, ErrReplaced
	}
	l.s.setPaused(pause)
	if newest < l.mark {
		l.read = time.Time{} // rows are gone, so marks no longer tell what changed
	}
	l.seen, l.mark = seen, newest
	return prefixes, allows, nil
}

// concern adds the prefixes whose bans a new report or lift may change, and takes up a lift.
func (l *Live) concern(c change, to map[netip.Prefix]bool) {
	p, err := prefixOf(c.value, c.len)
	if err != nil {
		return // a row that makes no sense is about nothing
	}
	to[p] = true
	if c.table == "lift" {
		l.lifts.add(Fact{Lift: true, Prefix: p, Source: c.source, Reason: c.reason, At: c.at})
		l.bannedInside(p, to)
	}
}

// bannedInside adds the bans inside p. Inside a single address there is none but itself, and an unban of many addresses
// must not go through all bans for each.
func (l *Live) bannedInside(p netip.Prefix, to map[netip.Prefix]bool) {
	if p.IsSingleIP() {
		return
	}
	for banned := range l.bans {
		if p.Bits() <= banned.Bits() && p.Contains(banned.Addr()) {
			to[banned] = true
		}
	}
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
	query := "SELECT " + activeColumns + " FROM report WHERE " + l.s.active() + " AND " + where
	var rows []Report
	err = l.s.snapshot(ctx, func(conn *sql.Conn) error {
		return l.s.queryRaw(ctx, conn, query, args, func(row []driver.Value) {
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

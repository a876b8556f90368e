package store

import (
	"context"
	"fmt"
	"hash/maphash"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
)

// markSlack is how far back of the newest mark a reader looks for more: rows become visible when their transaction
// commits, not in the order of their marks, and the clocks of cluster nodes differ.
const markSlack = 10 * time.Second

// markModulus keeps sums of marks small: SQLite fails where 6,000 marks exceed 63 bits.
const markModulus = 1_000_000_000

// A markedTable has marks, and columns that tell its rows apart and what to read anew.
type markedTable struct{ table, columns string }

// markedTables are those that a Live follows.
var markedTables = []markedTable{
	{"report", "addr, len, source, reason, at"},
	{"lift", "addr, len, source, reason, at"},
	{"allow", "entry, 0, '', '', at"},
	{"source", "name, 0, '', '', blocked"}, // the last: an older f2bc makes none
}

// marked returns those that the store has.
func (s *Store) marked() []markedTable {
	if s.schema < s.engine.since {
		return markedTables[:len(markedTables)-1]
	}
	return markedTables
}

// change is a marked row.
type change struct {
	table          string
	value          []byte // an address, or what else the row has
	len            int
	source, reason string
	at             Time
	mark           int64
}

var rowSeed = maphash.MakeSeed()

// rowHash stands for a row in Live.seen. (A million rows may be new within the slack.)
func rowHash(c change) uint64 {
	return maphash.Comparable(rowSeed, struct {
		table, value   string
		len            int
		source, reason string
	}{c.table, string(c.value), c.len, c.source, c.reason})
}

// answer is what the store says besides the rows.
type answer struct {
	id, pause string
	schema    string
	newest    int64 // mark
	count     int   // of the rows in the window
	sum       int64 // of their marks, each modulo markModulus
}

// ask calls each for every row with a mark after since. The window is the rows with marks after its start.
func (l *Live) ask(ctx context.Context, q querier, since, window int64, each func(change)) (a answer, err error) {
	mark, after := l.s.engine.recorded, l.s.engine.afterMark
	var parts []string
	var args []any
	for _, t := range l.s.marked() {
		parts = append(parts,
			"SELECT '"+t.table+"', "+t.columns+", "+mark+" FROM "+t.table+" WHERE "+after,
			"SELECT 'window', '', COUNT(*), '', '', 0, COALESCE(SUM("+mark+" % "+fmt.Sprint(markModulus)+"), 0) FROM "+t.table+" WHERE "+after)
		args = append(args, since, window)
	}
	parts = append(parts,
		"SELECT name, value, 0, '', '', 0, 0 FROM meta WHERE name IN ('id', 'schema', '"+pauseName+"')",
		"SELECT 'newest', '', 0, '', '', 0, "+l.s.newestMark())
	err = l.s.query(ctx, q, strings.Join(parts, "\nUNION ALL\n"), args, func(scan scanner) error {
		var c change
		err := scan(&c.table, &c.value, &c.len, &c.source, &c.reason, &c.at, &c.mark)
		switch c.table {
		case "id":
			a.id = string(c.value)
		case "schema":
			a.schema = string(c.value)
		case pauseName:
			a.pause = string(c.value)
		case "newest":
			a.newest = c.mark
		case "window":
			a.count, a.sum = a.count+c.len, a.sum+c.mark
		default:
			each(c)
		}
		return err
	})
	return a, err
}

// readChanges reads the rows that are new, and returns the prefixes whose bans they may change. It takes up new lifts,
// and says whether the never-ban list changed.
//
// Rows with later marks than the newest seen are always new. Of the window before it only the number of rows and the sum
// of their marks are read, and all of it only where these are not what is known: then a transaction committed late.
func (l *Live) readChanges(ctx context.Context) (prefixes map[netip.Prefix]bool, allows bool, err error) {
	window := l.mark - markSlack.Microseconds()
	if time.Since(l.moved) > 2*markSlack {
		window = l.mark // whatever is late is here, and what is new gets a later mark
	}
	maps.DeleteFunc(l.seen, func(_ uint64, mark int64) bool { return mark <= window })
	a, seen, changes, err := l.since(ctx, l.mark, window, l.seen)
	if err == nil && !a.agrees(seen) {
		a, seen, changes, err = l.since(ctx, window, window, map[uint64]int64{})
	}
	if err != nil {
		return nil, false, err
	}
	if err := l.same(a); err != nil {
		return nil, false, err
	}
	l.s.setPaused(a.pause)
	if a.newest != l.mark {
		l.moved = time.Now()
	}
	if a.newest < l.mark {
		l.read = time.Time{} // rows are gone, so marks no longer tell what changed
	}
	l.seen, l.mark = seen, a.newest
	if slices.ContainsFunc(changes, func(c change) bool { return c.table == "source" }) {
		l.read = time.Time{} // a source was blocked or released: any ban may be its
	}
	prefixes, allows = l.concerned(changes)
	return prefixes, allows, nil
}

// same says why the store is not what it was when it was opened, nil if it is.
func (l *Live) same(a answer) error {
	switch {
	case a.id != l.s.id:
		return ErrReplaced
	case a.schema != strconv.Itoa(l.s.schema):
		return ErrUpgraded
	}
	return nil
}

// since asks for the rows after a mark. It returns those that are new, and the marks of these and of the known rows.
func (l *Live) since(ctx context.Context, since, window int64, known map[uint64]int64) (
	a answer, seen map[uint64]int64, changes []change, err error) {
	err = retry(ctx, func(ctx context.Context) (err error) {
		seen, changes = maps.Clone(known), nil
		a, err = l.ask(ctx, l.s.db, since, window, func(c change) {
			key := rowHash(c)
			if seen[key] = c.mark; l.seen[key] != c.mark {
				changes = append(changes, c)
			}
		})
		return err
	})
	return a, seen, changes, err
}

// agrees reports whether the window has the rows seen and no others.
func (a answer) agrees(seen map[uint64]int64) bool {
	var sum int64
	for _, mark := range seen {
		sum += mark % markModulus
	}
	return a.count == len(seen) && a.sum == sum
}

// concerned returns the prefixes whose bans new rows may change, takes up lifts, and says whether the never-ban list
// changed.
func (l *Live) concerned(changes []change) (prefixes map[netip.Prefix]bool, allows bool) {
	prefixes = map[netip.Prefix]bool{}
	ahead := l.s.clock.now().Add(maxAhead)
	var wide lifts
	for _, c := range changes {
		if c.table == "allow" {
			allows = true
			continue
		}
		p, err := prefixOf(c.value, c.len)
		if err != nil || c.table == "lift" && (c.at < 1 || c.at > ahead) {
			continue // a row that makes no sense is about nothing, nor is a lift that is not a fact yet
		}
		prefixes[p] = true
		if c.table == "lift" {
			l.lifts.add(Fact{Lift: true, Prefix: p, Source: c.source, Reason: c.reason, At: c.at})
			if !p.IsSingleIP() { // inside a single address there is no ban but itself
				wide.add(Fact{Prefix: p, At: 1})
			}
		}
	}
	if wide.any() {
		for banned := range l.bans { // once, however many lifts there are
			if wide.newest(banned, "", "") != 0 {
				prefixes[banned] = true
			}
		}
	}
	return prefixes, allows
}

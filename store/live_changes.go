package store

import (
	"bytes"
	"cmp"
	"context"
	"database/sql"
	"database/sql/driver"
	"fmt"
	"hash/maphash"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
)

// MarkSlack is how far back of the newest mark a reader looks for more: rows become visible when their transaction
// commits, not in the order of their marks, and the clocks of cluster nodes differ.
const MarkSlack = 10 * time.Second

// markModulus keeps sums of marks small: SQLite fails where 6,000 marks exceed 63 bits.
const markModulus = 1_000_000_000

// A markedTable is one that a Live follows by its marks, with the columns that tell rows apart, which the index of the marks has
// too, and the time where that is needed.
type markedTable struct{ table, key, at string }

var markedTables = []markedTable{
	{"report", "addr, len, source, reason", "0"},
	{"lift", "addr, len, source, reason", "at"},
	{"allow", "entry, 0, '', ''", "0"},
	{"source", "name, 0, '', ''", "0"}, // the last: an older f2bc makes none
}

// marked returns those that the store has.
func (s *Store) marked() []markedTable {
	if s.schema < s.engine.since {
		return markedTables[:len(markedTables)-1]
	}
	return markedTables
}

// change is a marked row. Its bytes are good until the next one.
type change struct {
	table          string
	value          []byte // an address, or what else the row has
	len            int
	source, reason []byte
	at             Time
	mark           int64
}

var rowSeed = maphash.MakeSeed()

// hash stands for the row in Live.seen: a million rows may be new within the slack.
func (c change) hash() uint64 {
	var h maphash.Hash
	h.SetSeed(rowSeed)
	h.WriteString(c.table)
	for _, part := range [][]byte{c.value, c.source, c.reason} {
		h.WriteByte(byte(len(part)))
		h.Write(part)
	}
	h.WriteByte(byte(c.len))
	return h.Sum64()
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
func (l *Live) ask(ctx context.Context, conn *sql.Conn, since, window int64, each func(change)) (a answer, err error) {
	mark, after := l.s.engine.recorded, l.s.engine.afterMark
	var parts []string
	var args []any
	for _, t := range l.s.marked() {
		from := " FROM " + t.table + " WHERE " + after
		parts = append(parts,
			"SELECT '"+t.table+"', "+t.key+", "+t.at+", "+mark+from,
			"SELECT 'window', '', COUNT(*), '', '', 0, COALESCE(SUM("+mark+" % "+fmt.Sprint(markModulus)+"), 0)"+from)
		args = append(args, since, window)
	}
	parts = append(parts,
		"SELECT 'now', "+cmp.Or(l.s.engine.now, "''")+", 0, '', '', 0, 0",
		"SELECT name, value, 0, '', '', 0, 0 FROM meta WHERE name IN ('id', 'schema', '"+pauseName+"')",
		"SELECT 'newest', '', 0, '', '', 0, "+l.s.newestMark())
	asked, now := time.Now(), ""
	err = l.s.queryRaw(ctx, conn, strings.Join(parts, "\nUNION ALL\n"), args, 7, func(row []driver.Value) {
		kind, _ := bytesOf(row[0])
		c := change{len: int(intOf(row[2])), at: Time(intOf(row[5])), mark: intOf(row[6])}
		c.value, _ = bytesOf(row[1])
		switch string(kind) {
		case "id":
			a.id = string(c.value)
		case "schema":
			a.schema = string(c.value)
		case "now":
			now = string(c.value)
		case pauseName:
			a.pause = string(c.value)
		case "newest":
			a.newest = c.mark
		case "window":
			a.count, a.sum = a.count+c.len, a.sum+c.mark
		default:
			for _, t := range markedTables {
				if t.table == string(kind) {
					c.table = t.table
				}
			}
			c.source, _ = bytesOf(row[3])
			c.reason, _ = bytesOf(row[4])
			each(c)
		}
	})
	if err == nil {
		// It is asked at every poll: after a suspend, or where the store's clock was set right, all that is new would count as ahead.
		l.s.clock.set(asked, now)
	}
	return a, err
}

// intOf reads a number, which a union may make a decimal one.
func intOf(v driver.Value) int64 {
	if text, ok := v.([]byte); ok {
		n, _ := strconv.ParseInt(string(text), 10, 64)
		return n
	}
	n, _ := v.(int64)
	return n
}

// readChanges reads the rows that are new, and returns the prefixes whose bans they may change. It takes up new lifts,
// and says whether the never-ban list changed.
//
// Rows with later marks than the newest seen are always new. Of the window before it only the number of rows and the
// sum of their marks are read, and all of it only where these are not what is known: then a transaction committed late.
func (l *Live) readChanges(ctx context.Context) (prefixes map[netip.Prefix]bool, allows bool, err error) {
	window := l.mark - MarkSlack.Microseconds()
	if time.Since(l.moved) > 2*MarkSlack {
		window = l.mark // what could commit late has done so, and what is written now gets a later mark
	}
	a, seen, changes, err := l.after(ctx, l.mark, window, l.seen)
	if err == nil && !a.agrees(seen) {
		a, seen, changes, err = l.after(ctx, window, window, nil)
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
	prefixes, allows = l.affected(changes)
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

// after asks for the rows after a mark. It returns those that are new, and the marks of all of these rows and of those in
// the window that are known.
func (l *Live) after(ctx context.Context, since, window int64, known map[uint64]int64) (
	a answer, seen map[uint64]int64, changes []change, err error) {
	err = retry(ctx, func(ctx context.Context) (err error) {
		conn, err := l.s.db.Conn(ctx)
		if err != nil {
			return err
		}
		defer conn.Close()
		seen, changes = map[uint64]int64{}, nil
		for row, mark := range known {
			if mark > window {
				seen[row] = mark
			}
		}
		a, err = l.ask(ctx, conn, since, window, func(c change) {
			row := c.hash()
			if seen[row] = c.mark; l.seen[row] != c.mark {
				c.value, c.source, c.reason = bytes.Clone(c.value), bytes.Clone(c.source), bytes.Clone(c.reason)
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

// affected returns the prefixes whose bans new rows may change, takes up lifts, and says whether the never-ban list
// changed.
func (l *Live) affected(changes []change) (prefixes map[netip.Prefix]bool, allows bool) {
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
			l.lifts.add(Fact{Lift: true, Prefix: p, Source: string(c.source), Reason: string(c.reason), At: c.at})
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

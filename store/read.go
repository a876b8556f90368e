package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strings"
)

// Report is the latest report of one source and reason on a prefix, as the store has it.
type Report struct {
	Prefix         netip.Prefix
	Source, Reason string
	At, Expires    Time
	Forced         bool
	Lifted         Time // the latest lift that covers it, zero if none
	Blocked        bool // nothing of its source counts
}

// Active reports whether r bans its prefix at the time now.
func (r Report) Active(now Time) bool { return r.At > r.Lifted && r.Expires > now && !r.Blocked }

// Ban is a prefix with at least one active report.
type Ban struct {
	Prefix      netip.Prefix
	First, Last Time     // times of the earliest and the latest of its active reports
	Expires     Time     // the latest expiry
	Sources     []string // sorted
	Reasons     []string // sorted
	Forced      bool     // at least one of its active reports is forced
}

// Filter narrows what is read. Its zero value narrows nothing.
type Filter struct {
	Source, Reason string // only reports of this source, for this reason
	Since          Time   // only reports at or after this time
	MinSources     int    // only prefixes that at least so many sources report
}

// Bans calls yield for the prefix of every active report that passes the filter, in no order and repeated where several
// sources report it, read in one snapshot. After an error the list is not whole and must not be used.
func (s *Store) Bans(ctx context.Context, f Filter, yield func(p netip.Prefix, forced bool)) error {
	if f.MinSources > 1 {
		bans, err := s.List(ctx, f)
		for _, b := range bans {
			yield(b.Prefix, b.Forced)
		}
		return err
	}
	return s.activeReports(ctx, f, false, func(r Report) { yield(r.Prefix, r.Forced) })
}

// List returns the bans that pass the filter, sorted by prefix, IPv4 first, read in one snapshot.
func (s *Store) List(ctx context.Context, f Filter) ([]Ban, error) {
	var reports []Report
	err := s.activeReports(ctx, f, true, func(r Report) { reports = append(reports, r) })
	if err != nil {
		return nil, err
	}
	slices.SortFunc(reports, func(a, b Report) int { return a.Prefix.Compare(b.Prefix) })
	var bans []Ban
	for len(reports) > 0 {
		n := 1
		for n < len(reports) && reports[n].Prefix == reports[0].Prefix {
			n++
		}
		if b := newBan(reports[:n]); len(b.Sources) >= f.MinSources {
			bans = append(bans, b)
		}
		reports = reports[n:]
	}
	return bans, nil
}

// newBan sums up the active reports on one prefix.
func newBan(reports []Report) Ban {
	b := Ban{Prefix: reports[0].Prefix, First: Permanent}
	for _, r := range reports {
		b.First, b.Last, b.Expires = min(b.First, r.At), max(b.Last, r.At), max(b.Expires, r.Expires)
		b.Sources, b.Reasons = append(b.Sources, r.Source), append(b.Reasons, r.Reason)
		b.Forced = b.Forced || r.Forced
	}
	slices.Sort(b.Sources)
	slices.Sort(b.Reasons)
	b.Sources, b.Reasons = slices.Compact(b.Sources), slices.Compact(b.Reasons)
	return b
}

// activeReports reads the active reports that pass the filter. Unless whole is set, only prefix and forced are filled in, since
// a million rows take as long as their columns.
//
// Lifts by NOT EXISTS cost 3 to 6 times the bare read, so the wider ones are read first and applied here.
func (s *Store) activeReports(ctx context.Context, f Filter, whole bool, yield func(Report)) error {
	err := s.snapshot(ctx, func(conn *sql.Conn) error {
		lifts, err := s.readLifts(ctx, conn)
		if err != nil {
			return err
		}
		blocked, err := s.blockedSources(ctx, conn)
		if err != nil {
			return err
		}
		columns := 2
		switch {
		case whole:
			columns = 6
		case lifts.named():
			columns = 5
		case lifts.any():
			columns = 3
		}
		query, args := s.activeQuery(firstColumns(columns), f, blocked)
		return s.queryRaw(ctx, conn, query, args, columns, func(row []driver.Value) {
			r, err := activeReport(row)
			if err != nil {
				s.warn("skipped a report that makes no sense: %v", err)
			} else if r.At > lifts.newest(r.Prefix, r.Source, r.Reason) || !lifts.any() {
				yield(r)
			}
		})
	})
	if err != nil {
		return fmt.Errorf("read from %v: %w", s.dsn, withHint(err))
	}
	return nil
}

// activeColumns are all the columns that activeReport reads.
const activeColumns = "addr, CASE WHEN forced = at THEN len + 256 ELSE len END, at, source, reason, expires"

func firstColumns(n int) string {
	return strings.Join(strings.SplitN(activeColumns, ", ", n+1)[:n], ", ")
}

// activeReport reads as many of the active columns as row has. A length of 256 more means forced.
func activeReport(row []driver.Value) (r Report, err error) {
	addr, _ := row[0].([]byte)
	len64, _ := row[1].(int64)
	r.Forced = len64 >= 256
	if r.Prefix, err = prefixOf(addr, int(len64&255)); err != nil || len(row) == 2 {
		return r, err
	}
	at, _ := row[2].(int64)
	r.At = Time(at)
	if len(row) > 3 {
		source, _ := row[3].([]byte)
		reason, _ := row[4].([]byte)
		r.Source, r.Reason = string(source), string(reason)
	}
	if len(row) > 5 {
		expires, _ := row[5].(int64)
		r.Expires = Time(expires)
	}
	return r, nil
}

// activeQuery returns the statement that reads the columns of active reports, wider lifts not yet applied, but for those of
// blocked sources.
func (s *Store) activeQuery(columns string, f Filter, blocked []string) (query string, args []any) {
	where, args := notFrom(blocked)
	query = "SELECT " + columns + " FROM report " + s.engine.active + " WHERE " + s.active() + where
	for _, c := range []struct {
		set       bool
		condition string
		value     any
	}{
		{f.Source != "", " AND source = ?", []byte(f.Source)},
		{f.Reason != "", " AND reason = ?", []byte(f.Reason)},
		{f.Since != 0, " AND at >= ?", f.Since},
	} {
		if c.set {
			query, args = query+c.condition, append(args, c.value)
		}
	}
	return query, args
}

// snapshot runs f on a connection in a transaction in which all reads see the same moment.
func (s *Store) snapshot(ctx context.Context, f func(*sql.Conn) error) error {
	// Beginning is retried, reading is not: what was yielded cannot be taken back.
	var conn *sql.Conn
	var tx *sql.Tx
	err := retry(ctx, func(context.Context) (err error) {
		if conn, err = s.db.Conn(ctx); err != nil {
			return err
		}
		if tx, err = conn.BeginTx(ctx, &sql.TxOptions{ReadOnly: true}); err != nil {
			conn.Close()
		}
		return err
	})
	if err != nil {
		return err
	}
	defer conn.Close()
	defer tx.Rollback()
	return f(conn)
}

// rowKey is the key of a report or a lift as a row has it.
type rowKey struct {
	addr           sql.RawBytes
	len            int
	source, reason sql.RawBytes
}

func (k *rowKey) prefix() (netip.Prefix, error) { return prefixOf(k.addr, k.len) }

// prefixOf returns the prefix of a row, which may have been written by somebody else.
func prefixOf(addr []byte, bits int) (netip.Prefix, error) {
	a, ok := netip.AddrFromSlice(addr)
	p := netip.PrefixFrom(a, bits)
	if !ok || !p.IsValid() || !p.IsSingleIP() && p.Masked() != p || a.Is4In6() {
		return netip.Prefix{}, fmt.Errorf("addr %x, len %d: not a masked prefix", addr, bits)
	}
	return p, nil
}

// queryRaw calls each for every row, as the driver has it: database/sql would take as long again to convert a million
// of them. The arguments may be Time and []byte. each relies on the number of columns.
func (s *Store) queryRaw(ctx context.Context, conn *sql.Conn, query string, args []any, columns int, each func([]driver.Value)) error {
	named := make([]driver.NamedValue, len(args))
	for i, arg := range args {
		if t, ok := arg.(Time); ok {
			arg = int64(t)
		}
		named[i] = driver.NamedValue{Ordinal: i + 1, Value: arg}
	}
	return conn.Raw(func(c any) error {
		rows, err := c.(driver.QueryerContext).QueryContext(ctx, query, named)
		if err != nil {
			return err
		}
		defer rows.Close()
		row := make([]driver.Value, len(rows.Columns()))
		if len(row) != columns {
			return fmt.Errorf("%w: %d columns instead of %d", errNonsense, len(row), columns)
		}
		for {
			if err := rows.Next(row); err == io.EOF {
				return nil
			} else if err != nil {
				return err
			}
			each(row)
		}
	})
}

type scanner func(dest ...any) error

// query calls each for every row.
func (s *Store) query(ctx context.Context, q interface {
	QueryContext(context.Context, string, ...any) (*sql.Rows, error)
}, query string, args []any, each func(scanner) error) error {
	rows, err := q.QueryContext(ctx, query, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := each(rows.Scan); err != nil {
			return err
		}
	}
	return rows.Err()
}

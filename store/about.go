package store

import (
	"context"
	"database/sql"
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// About returns what bears on p: the latest reports on prefixes that cover it or lie inside it, active or not, and the
// wider lifts that do, both sorted by prefix.
func (s *Store) About(ctx context.Context, p netip.Prefix) (reports []Report, wider []Fact, err error) {
	where, args := overlapping(p)
	err = s.snapshot(ctx, func(conn *sql.Conn) error {
		err := s.query(ctx, conn, "SELECT addr, len, source, reason, at FROM lift WHERE "+where, args, func(scan scanner) error {
			f, err := scanLift(scan)
			if err == nil && f.Prefix.IsValid() {
				wider = append(wider, f)
			}
			return err
		})
		if err != nil {
			return err
		}
		query := "SELECT addr, len, source, reason, at, expires, forced = at, lifted FROM report WHERE " + where
		return s.query(ctx, conn, query, args, func(scan scanner) error {
			var key rowKey
			var r Report
			err := scan(&key.addr, &key.len, &key.source, &key.reason, &r.At, &r.Expires, &r.Forced, &r.Lifted)
			if err != nil {
				return err
			}
			if r.Prefix, err = key.prefix(); err != nil {
				return nil
			}
			r.Source, r.Reason = string(key.source), string(key.reason)
			reports = append(reports, r)
			return nil
		})
	})
	if err != nil {
		return nil, nil, fmt.Errorf("read from %v: %w", s.dsn, withHint(err))
	}

	// A lift that is wider than p and covers a report inside p is among those read: it overlaps p as well.
	var all lifts
	for _, f := range wider {
		all.add(f)
	}
	for i, r := range reports {
		reports[i].Lifted = max(r.Lifted, all.newest(r.Prefix, r.Source, r.Reason))
	}
	slices.SortStableFunc(reports, func(a, b Report) int { return a.Prefix.Compare(b.Prefix) })
	slices.SortStableFunc(wider, func(a, b Fact) int { return a.Prefix.Compare(b.Prefix) })
	return reports, wider, nil
}

// overlapping returns the condition for rows whose prefix lies in p or covers it.
func overlapping(p netip.Prefix) (condition string, args []any) {
	condition, args = inside(p)
	or := []string{condition}
	for bits := range p.Bits() {
		wider, _ := p.Addr().Prefix(bits)
		or = append(or, "(addr = ? AND len = ?)")
		args = append(args, wider.Addr().AsSlice(), bits)
	}
	return "(" + strings.Join(or, " OR ") + ")", args
}

// Event is a fact as it was written, kept 90 days.
type Event struct {
	Fact
	Who      string // the database account that wrote it first, as the server saw it: user@host
	Recorded Time   // when the store took it
}

// History returns the newest events, newest first, at most limit: of all prefixes, or where p is valid of those that
// cover it or lie inside it. The filter's MinSources is not looked at.
func (s *Store) History(ctx context.Context, p netip.Prefix, f Filter, limit int) ([]Event, error) {
	query := "SELECT addr, len, source, reason, at, expires, forced, who, " + s.engine.recorded + " FROM event WHERE at >= ?"
	args := []any{f.Since}
	if p.IsValid() {
		where, a := overlapping(p)
		query, args = query+" AND "+where, append(args, a...)
	}
	// A lift of any source, or of any reason, concerns this one too.
	if f.Source != "" {
		query, args = query+" AND source IN (?, ?)", append(args, []byte(f.Source), []byte{})
	}
	if f.Reason != "" {
		query, args = query+" AND reason IN (?, ?)", append(args, []byte(f.Reason), []byte{})
	}
	query, args = query+" ORDER BY at DESC LIMIT ?", append(args, limit)

	var events []Event
	err := retry(ctx, func(ctx context.Context) error {
		events = nil
		return s.query(ctx, s.db, query, args, func(scan scanner) error {
			var key rowKey
			var e Event
			var expires Time
			err := scan(&key.addr, &key.len, &key.source, &key.reason, &e.At, &expires, &e.Forced, &e.Who, &e.Recorded)
			if err != nil {
				return err
			}
			if e.Prefix, err = key.prefix(); err != nil {
				return nil
			}
			e.Source, e.Reason = string(key.source), string(key.reason)
			e.Lift = expires == 0
			e.Bantime = bantime(e.At, expires)
			events = append(events, e)
			return nil
		})
	})
	if err != nil {
		return nil, fmt.Errorf("read from %v: %w", s.dsn, err)
	}
	return events, nil
}

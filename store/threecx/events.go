package threecx

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
)

// batch is how many rows are in memory at a time, sample how many rows are looked at to find the text of an event.
const (
	batch  = 1000
	sample = 200
)

// source is where events come from: a SELECT of (id, time, event id, text as an array), whose parameter $1 is the time from which.
type source struct {
	sql   string
	args  []any  // from $2
	found string // what it is, for people
	fail  func(error) error
}

// Events calls yield for each event that is not older than since, by the clock of the 3CX box, oldest first; only those
// with the event ids of Options, and never one of the informational kind. Where no address or no time can be read it
// calls skipped, if not nil, with the row as it may be shown. An error of yield ends the reading and is returned as it is.
//
// No events is no error. The kinds of errors are ErrAway, ErrTable, ErrColumns, ErrPrivilege, ErrTimeout and ErrQuery.
func (d *DB) Events(ctx context.Context, since time.Time, yield func(Event) error, skipped func(row string, err error)) error {
	return d.read(ctx, func(tx pgx.Tx) error {
		src, err := d.source(ctx, tx)
		if err != nil || src.sql == "" {
			return err
		}
		args := append([]any{since}, src.args...)
		if _, err := tx.Exec(ctx, "DECLARE f2bc_events NO SCROLL CURSOR FOR "+src.sql, args...); err != nil {
			return src.fail(err)
		}
		return fetch(ctx, tx, "f2bc_events", src.fail, scanEvent, yield, skipped)
	})
}

// fetch reads what a cursor has, batch by batch: each is received whole before its rows are yielded, so that neither
// side holds all rows, and the statement timeout does not count the time that yield takes. The error of scan is why a row is skipped.
func fetch[T any](ctx context.Context, tx pgx.Tx, cursor string, fail func(error) error,
	scan func(pgx.CollectableRow) (scanned[T], error), yield func(T) error, skipped func(string, error)) error {
	for {
		rows, err := tx.Query(ctx, "FETCH "+strconv.Itoa(batch)+" FROM "+cursor)
		if err != nil {
			return fail(err)
		}
		list, err := pgx.CollectRows(rows, scan)
		if err != nil {
			return fail(err)
		}
		for _, r := range list {
			if r.err == nil {
				if err := yield(r.value); err != nil {
					return err
				}
			} else if skipped != nil {
				skipped(r.row, r.err)
			}
		}
		if len(list) < batch {
			return nil
		}
	}
}

// scanned is a row that was read, or, with an error, the row as it may be shown.
type scanned[T any] struct {
	value T
	row   string
	err   error
}

func scanEvent(row pgx.CollectableRow) (r scanned[Event], err error) {
	var id *int64
	var at pgtype.Timestamptz
	var event *string
	var params []*string
	if err := row.Scan(&id, &at, &event, &params); err != nil {
		return r, err
	}
	e := &r.value
	if id != nil {
		e.ID = *id
	}
	if event != nil {
		e.Event, _ = strconv.Atoi(*event)
	}
	text := texts(params)
	r.err = e.readText(text)
	if at.Valid && at.InfinityModifier == pgtype.Finite {
		e.Time = at.Time.UTC()
	} else if r.err == nil {
		r.err = errors.New("no time")
	}
	if r.err != nil {
		r.row = fmt.Sprintf("event %d: %s", e.ID, quote(strings.Join(text, ",")))
	}
	return r, nil
}

func texts(params []*string) []string {
	list := make([]string, len(params))
	for i, p := range params {
		if p != nil {
			list[i] = *p
		}
	}
	return list
}

// source finds the table of events. Its sql is empty when there is nothing to read yet, so nothing to tell the text by.
func (d *DB) source(ctx context.Context, tx pgx.Tx) (source, error) {
	if d.opts.Query != "" {
		return d.querySource(ctx, tx)
	}
	// These names are proven; all others are not.
	t, err := d.find(ctx, tx, "eventlog", "eventid", "timegenerated")
	if err != nil {
		return source{}, err
	}
	event, _ := t.column("eventid")
	at, _ := t.column("timegenerated")
	if !at.time() {
		return source{}, problem(ErrColumns, nil, "column %s of table %s is %s, not a timestamp: give a query of (id, time, text)", at.sql(), t.sql(), at.typ)
	}
	id := "NULL"
	for _, c := range t.columns {
		if c.key && c.number {
			id = c.sql()
			break
		}
	}
	// 3CX's entrytype 4 is information: that an address was let in again, not that it was banned.
	where := event.sql() + "::text = ANY($2::text[])"
	if c, ok := t.column("entrytype"); ok {
		where += " AND " + c.sql() + "::text IS DISTINCT FROM '4'"
	}
	events := make([]string, len(d.opts.Events))
	for i, e := range d.opts.Events {
		events[i] = strconv.Itoa(e)
	}
	text, err := d.textColumn(ctx, tx, t, at, strings.ReplaceAll(where, "$2", "$1"), events)
	if err != nil {
		return source{}, err
	}
	src := source{
		found: fmt.Sprintf("%s, time %s (%s)", t.sql(), at.sql(), at.typ),
		args:  []any{events},
		fail:  func(err error) error { return d.failOn(t, err) },
	}
	if text.name == "" {
		src.found += ", none yet with event id " + strings.Join(events, ", ")
		return src, nil
	}
	src.found += fmt.Sprintf(", text %s (%s)", text.sql(), text.typ)
	src.sql = fmt.Sprintf("SELECT %s::bigint, %s, %s::text, %s\nFROM %s\nWHERE %s AND %s\nORDER BY 2, 1",
		id, at.timeSQL(), event.sql(), text.textSQL(), t.sql(), where, at.sinceSQL("$1"))
	return src, nil
}

// querySource wraps the query of Options.
func (d *DB) querySource(ctx context.Context, tx pgx.Tx) (source, error) {
	from := "FROM (\n" + d.opts.Query + "\n) AS f2bc" // on lines of its own: it may end in a comment
	prepared, err := tx.Prepare(ctx, "", "SELECT * "+from)
	if err != nil {
		return source{}, d.failQuery(err)
	}
	if n := len(prepared.Fields); n != 3 {
		return source{}, problem(ErrQuery, nil, "the query returns %d columns, want three: (id, time, text)", n)
	}
	at := column{name: "at"}
	switch prepared.Fields[1].DataTypeOID {
	case pgtype.TimestamptzOID:
		at.base = "timestamptz"
	case pgtype.TimestampOID:
		at.base = "timestamp"
	default:
		return source{}, problem(ErrQuery, nil, "the second column of the query, %q, is not a timestamp", prepared.Fields[1].Name)
	}
	text := column{name: "text", class: "S"}
	switch prepared.Fields[2].DataTypeOID {
	case pgtype.TextArrayOID, pgtype.VarcharArrayOID, pgtype.BPCharArrayOID:
		text.class = "A"
	}
	id := "NULL"
	switch prepared.Fields[0].DataTypeOID {
	case pgtype.Int2OID, pgtype.Int4OID, pgtype.Int8OID:
		id = "id"
	}
	return source{
		sql: fmt.Sprintf("SELECT %s::bigint, %s, NULL::text, %s\n%s(id, at, text)\nWHERE %s\nORDER BY 2, 1",
			id, at.timeSQL(), text.textSQL(), from, at.sinceSQL("$1")),
		found: "a query",
		fail:  d.failQuery,
	}, nil
}

// textSQL is a column of text as an array of texts.
func (c column) textSQL() string {
	if c.class == "A" {
		return c.sql() + "::text[]"
	}
	return "ARRAY[" + c.sql() + "::text]"
}

// textColumn finds the column with the text of an event by its type and by what the newest rows have in it: the one from
// which most can be read. It returns none if there are no rows.
//
// A ban time counts twice and different addresses break a tie, since a column with the system's own address would otherwise do as well.
func (d *DB) textColumn(ctx context.Context, tx pgx.Tx, t table, at column, where string, events []string) (column, error) {
	var candidates []column
	var names, exprs []string
	for _, c := range t.columns {
		if c.class == "S" || c.elem == "S" || c.base == "json" || c.base == "jsonb" {
			candidates = append(candidates, c)
			names, exprs = append(names, c.sql()), append(exprs, c.textSQL())
		}
	}
	if len(candidates) == 0 {
		return column{}, problem(ErrColumns, nil, "table %s has no column of text: give a query of (id, time, text)", t.sql())
	}
	rows, err := tx.Query(ctx, fmt.Sprintf("SELECT %s FROM %s WHERE %s ORDER BY %s DESC NULLS LAST LIMIT %d",
		strings.Join(exprs, ", "), t.sql(), where, at.sql(), sample), events)
	if err != nil {
		return column{}, d.failOn(t, err)
	}
	texts, scores := make([][]*string, len(candidates)), make([]score, len(candidates))
	targets := make([]any, len(candidates))
	for i := range texts {
		targets[i] = &texts[i]
	}
	tag, err := pgx.ForEachRow(rows, targets, func() error {
		for i := range texts {
			scores[i].add(texts[i])
		}
		return nil
	})
	if err != nil {
		return column{}, d.failOn(t, err)
	}
	best := 0
	for i := range scores {
		if scores[i].beats(scores[best]) {
			best = i
		}
	}
	if tag.RowsAffected() > 0 && scores[best].points == 0 {
		return column{}, problem(ErrColumns, nil, "none of the columns %s of table %s holds an address in the last %d events: give a query of (id, time, text)",
			strings.Join(names, ", "), t.sql(), tag.RowsAffected())
	}
	if tag.RowsAffected() == 0 {
		return column{}, nil
	}
	return candidates[best], nil
}

// score is how much of a sample a column can be read as events.
type score struct {
	points int
	addrs  map[netip.Addr]bool
}

func (s *score) add(params []*string) {
	var e Event
	if e.readText(texts(params)) != nil {
		return
	}
	s.points++
	if e.Bantime > 0 {
		s.points += 2
	}
	if s.addrs == nil {
		s.addrs = map[netip.Addr]bool{}
	}
	s.addrs[e.Addr] = true
}

func (s score) beats(other score) bool {
	if s.points != other.points {
		return s.points > other.points
	}
	return len(s.addrs) > len(other.addrs)
}

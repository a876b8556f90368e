package threecx

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// table is a table or view as the catalogue describes it. The catalogue can be read without any privilege on the table
// itself; so what is missing and what may not be read are told apart.
type table struct {
	schema, name string
	columns      []column
}

type column struct {
	name   string
	typ    string // as SQL writes it
	base   string // the type's own name, behind a domain
	class  string // pg_type.typcategory: S string, N number, A array, D date or time …
	elem   string // the class of an array's elements
	key    bool   // part of the primary key
	number bool   // a whole number
}

func (t table) sql() string { return pgx.Identifier{t.schema, t.name}.Sanitize() }

func identifier(name string) string { return pgx.Identifier{name}.Sanitize() }

// fold makes names alike that differ in case and underscores only: EventLog, event_log, eventlog.
func fold(name string) string { return strings.ToLower(strings.ReplaceAll(name, "_", "")) }

// column finds a column by its name, folded.
func (t table) column(name string) (column, bool) {
	i := slices.IndexFunc(t.columns, func(c column) bool { return fold(c.name) == name })
	if i < 0 {
		return column{}, false
	}
	return t.columns[i], true
}

func (c column) sql() string { return identifier(c.name) }

func (c column) zoned() bool { return c.base == "timestamptz" }
func (c column) time() bool  { return c.zoned() || c.base == "timestamp" }

// timeSQL is the column as timestamptz. For one without zone it is the first of two possible times.
func (c column) timeSQL() string {
	if c.zoned() {
		return c.sql()
	}
	return strings.ReplaceAll(`CASE WHEN (COL::timestamptz - interval '1 hour')::timestamp = COL
		     THEN COL::timestamptz - interval '1 hour' ELSE COL::timestamptz END`, "COL", c.sql())
}

// sinceSQL is true for the rows not older than the parameter; it compares the bare column, for the sake of an index. Where
// local time is set back soon after the parameter, what follows has an earlier local time.
func (c column) sinceSQL(param string) string {
	if c.zoned() {
		return c.sql() + " >= " + param + "::timestamptz"
	}
	return strings.NewReplacer("COL", c.sql(), "PARAM", param).Replace(
		`COL >= LEAST(PARAM::timestamptz::timestamp, (PARAM::timestamptz + interval '2 hours')::timestamp - interval '2 hours')`)
}

// tables returns those with the given name (folded), or all whose name contains it; those on the search path first.
func (d *DB) tables(ctx context.Context, tx pgx.Tx, name string, contains bool) ([]table, error) {
	if contains {
		name = "%" + name + "%"
	}
	rows, err := tx.Query(ctx, `
		SELECT n.nspname, c.relname, a.attname, format_type(a.atttypid, a.atttypmod), b.typname, b.typcategory::text,
		       COALESCE(e.typcategory::text, ''), COALESCE(a.attnum = ANY(i.indkey::int2[]), false)
		FROM pg_catalog.pg_class c
		JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
		JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
		JOIN pg_catalog.pg_type t ON t.oid = a.atttypid
		JOIN pg_catalog.pg_type b ON b.oid = COALESCE(NULLIF(t.typbasetype, 0), t.oid)
		LEFT JOIN pg_catalog.pg_type e ON e.oid = b.typelem AND b.typcategory = 'A'
		LEFT JOIN pg_catalog.pg_index i ON i.indrelid = c.oid AND i.indisprimary
		WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f')
		  AND n.nspname NOT LIKE 'pg\_%' AND n.nspname <> 'information_schema'
		  AND replace(lower(c.relname), '_', '') LIKE $1
		ORDER BY array_position(current_schemas(false), n.nspname) NULLS LAST,
		         length(c.relname), c.relname DESC, n.nspname, a.attnum`, name)
	if err != nil {
		return nil, d.fail(err)
	}
	var found []table
	var schema, relation string
	var c column
	_, err = pgx.ForEachRow(rows, []any{&schema, &relation, &c.name, &c.typ, &c.base, &c.class, &c.elem, &c.key}, func() error {
		c.number = slices.Contains([]string{"int2", "int4", "int8"}, c.base)
		if n := len(found); n == 0 || found[n-1].schema != schema || found[n-1].name != relation {
			found = append(found, table{schema: schema, name: relation})
		}
		t := &found[len(found)-1]
		t.columns = append(t.columns, c)
		return nil
	})
	return found, d.fail(err)
}

// find returns the first table of that name that has all the columns, or says what is missing.
func (d *DB) find(ctx context.Context, tx pgx.Tx, name string, columns ...string) (table, error) {
	found, err := d.tables(ctx, tx, name, false)
	if err != nil {
		return table{}, err
	}
	if len(found) == 0 {
		return table{}, problem(ErrTable, nil, "no table %s in database %q: is this the database of the phone system?",
			name, d.conn.Config().Database)
	}
	var missing []string
	for i, t := range found {
		var lacks []string
		for _, c := range columns {
			if _, ok := t.column(c); !ok {
				lacks = append(lacks, c)
			}
		}
		if len(lacks) == 0 {
			return t, nil
		}
		if i == 0 {
			missing = lacks
		}
	}
	return table{}, problem(ErrColumns, nil, "table %s has no column %s: this version of 3CX is not known, report its schema",
		found[0].sql(), strings.Join(missing, ", "))
}

// Schema describes what was found, for a bug report: the versions, the tables of events and of the blacklist with columns,
// types and keys, what is taken for the text of an event. It has no data of the tables but the time of the newest event, and
// no password.
func (d *DB) Schema(ctx context.Context) (string, error) {
	var b strings.Builder
	err := d.read(ctx, func(tx pgx.Tx) error {
		var version, zone, database, role string
		err := tx.QueryRow(ctx, `SELECT version(), current_setting('TimeZone'), current_database(), current_user`).
			Scan(&version, &zone, &database, &role)
		if err != nil {
			return d.fail(err)
		}
		fmt.Fprintf(&b, "server    %s\ntime zone %s\ndatabase  %s\nrole      %s\n", version, zone, database, role)
		for _, name := range []string{"event", "blacklist"} {
			found, err := d.tables(ctx, tx, name, true)
			if err != nil {
				return err
			}
			if len(found) == 0 {
				fmt.Fprintf(&b, "\nno table with %s in its name\n", name)
			}
			for _, t := range found {
				t.describe(&b)
			}
		}
		src, err := d.source(ctx, tx) // last: its error may end the transaction
		if err != nil {
			fmt.Fprintf(&b, "\nevents: %v\n", err)
		} else {
			fmt.Fprintf(&b, "\nevents: %s\n", src.found)
			describeNewest(ctx, tx, src, &b)
		}
		return nil
	})
	return b.String(), err
}

// describeNewest sets the newest event beside the clock: a distance of whole hours shows that times without zone are read
// in another zone than they were written in.
func describeNewest(ctx context.Context, tx pgx.Tx, src source, b *strings.Builder) {
	if src.sql == "" {
		return
	}
	var newest *time.Time
	var clock time.Time
	sql := "SELECT max(e.at), clock_timestamp() FROM (\n" + src.sql + "\n) AS e(id, at, event, text)"
	if err := tx.QueryRow(ctx, sql, append([]any{time.Time{}}, src.args...)...).Scan(&newest, &clock); err != nil {
		fmt.Fprintf(b, "newest: %v\n", src.fail(err))
	} else if newest != nil {
		fmt.Fprintf(b, "newest: %s, the clock says %s\n", newest.UTC().Format(time.RFC3339), clock.UTC().Format(time.RFC3339))
	}
}

func (t table) describe(b *strings.Builder) {
	fmt.Fprintf(b, "\ntable %s\n", t.sql())
	for _, c := range t.columns {
		key := ""
		if c.key {
			key = ", primary key"
		}
		fmt.Fprintf(b, "  %s %s%s\n", c.sql(), c.typ, key)
	}
}

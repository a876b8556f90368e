package threecx

import (
	"context"
	"fmt"
	"math/bits"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
)

// The values of 3CX's object model in its table blacklist.
const (
	blocks       = "0" // blocktype
	allows       = "1"
	fromTheMaker = "3" // addedby: downloaded from the maker's list of about 400,000 addresses
)

// Entry is a row of 3CX's blacklist.
type Entry struct {
	Prefix netip.Prefix // masked, unmapped
	// Time is when it was entered, by the clock of the 3CX box, if the table has exactly one column that can say so.
	// Otherwise it is zero, and the caller needs a time that is the same at each reading.
	Time        time.Time
	Expires     time.Time // zero = never
	Description string
}

// Blacklist calls yield for each entry that blocks, has not expired and was not downloaded from the maker of the phone
// system. Where no prefix can be read it calls skipped, as Events does. Only the column ipaddr is proven; where the columns that tell
// these kinds apart are not found, it is ErrColumns, and nothing is read.
func (d *DB) Blacklist(ctx context.Context, yield func(Entry) error, skipped func(row string, err error)) error {
	return d.entries(ctx, blocks, yield, skipped)
}

// Allowed returns what the phone system itself always allows: it must never be reported. skipped as in Events.
func (d *DB) Allowed(ctx context.Context, skipped func(row string, err error)) ([]netip.Prefix, error) {
	var list []netip.Prefix
	err := d.entries(ctx, allows, func(e Entry) error {
		list = append(list, e.Prefix)
		return nil
	}, skipped)
	return list, err
}

func (d *DB) entries(ctx context.Context, blocktype string, yield func(Entry) error, skipped func(string, error)) error {
	return d.read(ctx, func(tx pgx.Tx) error {
		t, sql, err := d.blacklistSQL(ctx, tx, blocktype)
		if err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, "DECLARE f2bc_blacklist NO SCROLL CURSOR FOR "+sql, blocktype); err != nil {
			return d.failOn(t, err)
		}
		fail := func(err error) error { return d.failOn(t, err) }
		return fetch(ctx, tx, "f2bc_blacklist", fail, scanEntry, yield, skipped)
	})
}

// blacklistSQL is a SELECT of (address, mask, time, expiry, description), whose parameter $1 is the blocktype.
func (d *DB) blacklistSQL(ctx context.Context, tx pgx.Tx, blocktype string) (table, string, error) {
	wanted := []string{"ipaddr", "blocktype", "expiresat"}
	if blocktype == blocks {
		wanted = append(wanted, "addedby")
	}
	t, err := d.find(ctx, tx, "blacklist", wanted...)
	if err != nil {
		return t, "", err
	}
	kind, _ := t.column("blocktype")
	expires, _ := t.column("expiresat")
	addedby, hasAddedby := t.column("addedby")
	if !kind.number || !expires.time() || hasAddedby && !addedby.number {
		return t, "", problem(ErrColumns, nil, "the columns blocktype, addedby, expiresat of table %s are not numbers and a timestamp:"+
			" this version of 3CX is not known, report its schema", t.sql())
	}
	where := fmt.Sprintf("%s::text = $1::text AND (%s IS NULL OR %s > now())", kind.sql(), expires.sql(), expires.timeSQL())
	if blocktype == blocks {
		where += fmt.Sprintf(" AND %s IS DISTINCT FROM %s", addedby.sql(), fromTheMaker)
	}
	optional := map[string]string{"ipmask": "NULL", "description": "NULL"}
	for name := range optional {
		if c, ok := t.column(name); ok {
			optional[name] = c.sql()
		}
	}
	var times []column
	for _, c := range t.columns {
		if c.time() && c.name != expires.name {
			times = append(times, c)
		}
	}
	entered := "NULL::timestamptz"
	if len(times) == 1 {
		entered = times[0].timeSQL()
	}
	addr, _ := t.column("ipaddr")
	return t, fmt.Sprintf("SELECT %s::text, %s::text, %s, %s, %s::text\nFROM %s\nWHERE %s", addr.sql(), optional["ipmask"],
		entered, expires.timeSQL(), optional["description"], t.sql(), where), nil
}

func scanEntry(row pgx.CollectableRow) (r scanned[Entry], err error) {
	var addr, mask, description *string
	var entered, expires pgtype.Timestamptz
	if err := row.Scan(&addr, &mask, &entered, &expires, &description); err != nil {
		return r, err
	}
	text := texts([]*string{addr, mask, description})
	e := &r.value
	e.Description = text[2]
	if e.Prefix, r.err = parseMasked(text[0], text[1]); r.err != nil {
		r.row = "blacklist: " + quote(strings.TrimRight(text[0]+" "+text[1], " "))
	}
	if entered.Valid && entered.InfinityModifier == pgtype.Finite {
		e.Time = entered.Time.UTC()
	}
	if expires.Valid && expires.InfinityModifier == pgtype.Finite {
		e.Expires = expires.Time.UTC()
	}
	return r, nil
}

// parseMasked reads an address or CIDR with a mask of its own: a netmask (255.255.255.0), a number of bits, or none.
func parseMasked(addr, mask string) (netip.Prefix, error) {
	if mask = strings.Trim(mask, around+"/"); mask == "" {
		addr, mask, _ = strings.Cut(addr, "/")
	}
	a, err := netip.ParseAddr(strings.Trim(addr, around))
	if err != nil {
		return netip.Prefix{}, errNoAddress
	}
	a = a.WithZone("").Unmap()
	length := a.BitLen()
	if mask != "" {
		if length, err = maskBits(mask, a); err != nil {
			return netip.Prefix{}, err
		}
	}
	return a.Prefix(length)
}

// maskBits counts the leading ones of a mask. One of all ones means one address, also if it is of the other family.
func maskBits(mask string, a netip.Addr) (int, error) {
	if n, err := strconv.Atoi(mask); err == nil {
		if n < 0 || n > a.BitLen() {
			return 0, fmt.Errorf("mask of %d bits", n)
		}
		return n, nil
	}
	m, err := netip.ParseAddr(mask)
	if err != nil {
		return 0, fmt.Errorf("mask %s: not a netmask", quote(mask))
	}
	ones, all := 0, true
	for _, b := range m.AsSlice() {
		n := bits.LeadingZeros8(^b)
		if !all && b != 0 || b != ^(byte(0xff)>>n) {
			return 0, fmt.Errorf("mask %v: not a row of ones, then zeros", m)
		}
		ones, all = ones+n, all && n == 8
	}
	switch {
	case all:
		return a.BitLen(), nil
	case m.BitLen() != a.BitLen():
		return 0, fmt.Errorf("mask %v: of the other family", m)
	}
	return ones, nil
}

package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/go-sql-driver/mysql"

	"f2bc/store/state"
)

// outboxBound is how many facts may wait. An outage of weeks stays below it; an attack must not fill the disk.
const outboxBound = 1_000_000

// ErrOutboxFull says that too many facts wait.
var ErrOutboxFull = fmt.Errorf("the outbox is full: %d facts wait for the store", outboxBound)

// Outbox keeps durably on this host the facts that the store has not yet taken.
//
// The local clock may be wrong, or be stepped before delivery. So the age of a fact is measured by CLOCK_BOOTTIME while
// the machine is up, and its time is the store's clock minus that age, fixed durably before the first delivery: every
// later one carries the same. It is later than what the store had taken from this host when the fact was made, however
// slowly the store tells its clock.
type Outbox struct {
	dir state.Dir
	db  *sql.DB
}

// made and uptime are when the fact happened, by both clocks; after is the newest time that this host had given to a fact
// by then, 0 where that does not matter.
const outboxSchema = `
CREATE TABLE IF NOT EXISTS fact (
  seq     INTEGER PRIMARY KEY AUTOINCREMENT, -- never given again: a fact must not be deleted as its predecessor
  lift    INTEGER NOT NULL,
  addr    BLOB    NOT NULL,
  len     INTEGER NOT NULL,
  source  BLOB    NOT NULL,           -- empty: this host, as it is configured at delivery
  reason  BLOB    NOT NULL,
  bantime INTEGER NOT NULL,           -- nanoseconds
  forced  INTEGER NOT NULL,
  at      INTEGER NOT NULL,           -- µs by the store's clock, 0 until it is known
  made    INTEGER NOT NULL,           -- µs by the local clock
  boot    TEXT    NOT NULL,           -- boot id
  uptime  INTEGER NOT NULL,           -- µs of CLOCK_BOOTTIME
  after   INTEGER NOT NULL,           -- µs by the store's clock
  dated   INTEGER NOT NULL,           -- whether it was given its time, as fail2ban gives it
  error   TEXT    NOT NULL DEFAULT ''   -- why the store will never take it
);
CREATE INDEX IF NOT EXISTS fact_waiting ON fact (error, seq)`

// OpenOutbox opens the outbox in a state directory, and creates both when needed.
func OpenOutbox(ctx context.Context, dir state.Dir) (*Outbox, error) {
	path := OutboxPath(dir)
	if err := dir.Make(); err != nil {
		return nil, err
	}
	db, err := openSQLite(path)
	if err != nil {
		return nil, fmt.Errorf("open outbox %s: %w", path, err)
	}
	o := &Outbox{dir, db}
	err = retry(ctx, func(ctx context.Context) error {
		_, err := db.ExecContext(ctx, outboxSchema)
		return err
	})
	if err != nil {
		db.Close()
		return nil, fmt.Errorf("open outbox %s: %w", path, err)
	}
	return o, nil
}

// OutboxPath returns where the outbox of a state directory is.
func OutboxPath(dir state.Dir) string { return dir.Path(outboxFile) }

const outboxFile = "outbox.db"

// Close closes the outbox.
func (o *Outbox) Close() error { return o.db.Close() }

// Add keeps facts that the store could not be given, which happened at that time by the local clock, or now where at is
// zero. When it returns without an error they survive a power cut. A fact without a source is this host's, whatever it is called when it is delivered.
func (o *Outbox) Add(ctx context.Context, facts []Fact, at time.Time) error {
	return o.AddTried(ctx, facts, at, time.Now())
}

// AddTried is Add for facts that the store was first given at that moment. It may have taken them, and others have said
// something else since: so they are not later than that.
func (o *Outbox) AddTried(ctx context.Context, facts []Fact, at, tried time.Time) error {
	age := time.Since(tried)
	boot, uptime := bootClock()
	now := time.Now().UnixMicro()
	made := now - age.Microseconds()
	var after Time
	if dated := !at.IsZero(); dated { // then it may well have been before what was taken, too
		made = min(at.UnixMicro(), now)
	} else if newest, _, err := newestTaken(o.dir, "", (TimeOf(time.Now()) + keptOffset(o.dir)).Add(maxAhead)); err != nil {
		return fmt.Errorf("write to the outbox: %w", err)
	} else {
		after = newest.At
	}
	uptime -= now - made
	err := o.transact(ctx, func(tx *sql.Tx) error {
		var waiting int
		query := "SELECT COUNT(*) FROM (SELECT 1 FROM fact WHERE error = '' LIMIT ?)"
		if err := tx.QueryRowContext(ctx, query, outboxBound).Scan(&waiting); err != nil {
			return err
		}
		if waiting+len(facts) > outboxBound {
			return ErrOutboxFull
		}
		insert, err := tx.PrepareContext(ctx, `
INSERT INTO fact (lift, addr, len, source, reason, bantime, forced, at, made, boot, uptime, after, dated)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`)
		if err != nil {
			return err
		}
		defer insert.Close()
		for _, f := range facts {
			_, err := insert.ExecContext(ctx, f.Lift, f.Prefix.Addr().AsSlice(), f.Prefix.Bits(), []byte(f.Source), []byte(f.Reason),
				int64(f.Bantime), f.Forced, int64(f.At), made, boot, uptime, int64(after), !at.IsZero())
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("write to the outbox: %w", err)
	}
	return nil
}

func (o *Outbox) transact(ctx context.Context, f func(*sql.Tx) error) error {
	return retry(ctx, func(ctx context.Context) error {
		tx, err := o.db.BeginTx(ctx, nil)
		if err != nil {
			return err
		}
		defer tx.Rollback()
		if err := f(tx); err != nil {
			return err
		}
		return tx.Commit()
	})
}

// OutboxState is what an outbox holds.
type OutboxState struct {
	Waiting int
	Oldest  time.Time // when the oldest waiting fact happened, by the local clock; zero if none waits
	Aside   int       // facts that the store rejected for good
}

// State counts what the outbox holds.
func (o *Outbox) State(ctx context.Context) (s OutboxState, err error) {
	var oldest sql.NullInt64
	err = retry(ctx, func(ctx context.Context) error {
		query := `
SELECT COUNT(*) FILTER (WHERE error = ''), MIN(made) FILTER (WHERE error = ''), COUNT(*) FILTER (WHERE error <> '')
FROM fact`
		return o.db.QueryRowContext(ctx, query).Scan(&s.Waiting, &oldest, &s.Aside)
	})
	if oldest.Valid {
		s.Oldest = time.UnixMicro(oldest.Int64)
	}
	if err != nil {
		err = fmt.Errorf("read the outbox: %w", err)
	}
	return s, err
}

// Delivery is what was delivered.
type Delivery struct {
	Recalled  int     // facts that the store lost in a restore
	Delivered int     // facts that waited
	Aside     []error // facts that the store rejected for good: one each, naming it
	Errs      []error // why not all that waits was delivered
}

// Deliver gives the store what waits, oldest first. source is this host's. Several may do it at once.
func (o *Outbox) Deliver(ctx context.Context, st *Store, source string) (d Delivery, err error) {
	for {
		batch, err := o.fix(ctx, st, source)
		if err != nil || len(batch) == 0 {
			return d, err
		}
		facts := make([]Fact, len(batch))
		for i, w := range batch {
			facts[i] = w.Fact
		}
		err = st.Write(ctx, facts)
		if err == nil {
			err = o.taken(ctx, st, batch)
			d.Delivered += len(batch)
		} else if Rejected(err) || errors.Is(err, ErrNotOwn) {
			err = o.deliverSingly(ctx, st, source, batch, &d)
		}
		if err != nil {
			return d, err
		}
	}
}

// deliverSingly finds the facts in batch that the store rejects, so that they do not block the others.
//
// Where this host's account may not write under its source at all, the configuration is wrong, and all of it waits.
func (o *Outbox) deliverSingly(ctx context.Context, st *Store, source string, batch []waiting, d *Delivery) error {
	for _, w := range batch {
		err := st.Write(ctx, []Fact{w.Fact})
		switch {
		case err == nil:
			d.Delivered++
			err = o.taken(ctx, st, []waiting{w})
		case Rejected(err), errors.Is(err, ErrNotOwn) && (w.Forced || w.Source != source):
			d.Aside = append(d.Aside, err)
			reason := err.Error()
			err = o.transact(ctx, func(tx *sql.Tx) error {
				_, err := tx.ExecContext(ctx, "UPDATE fact SET error = ? WHERE seq = ?", reason, w.seq)
				return err
			})
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// taken forgets a batch that the store took, but for the note.
func (o *Outbox) taken(ctx context.Context, st *Store, batch []waiting) error {
	facts := make([]Fact, len(batch))
	for i, w := range batch {
		facts[i] = w.Fact
	}
	if err := noteTaken(o.dir, st, facts); err != nil {
		return err
	}
	return o.transact(ctx, func(tx *sql.Tx) error {
		done, err := tx.PrepareContext(ctx, "DELETE FROM fact WHERE seq = ?")
		if err != nil {
			return err
		}
		defer done.Close()
		for _, w := range batch {
			if _, err := done.ExecContext(ctx, w.seq); err != nil {
				return err
			}
		}
		return nil
	})
}

// waiting is a fact in the outbox.
type waiting struct {
	Fact
	seq, made, uptime int64
	boot              string
	after             Time
	dated             bool
}

// fix returns the oldest waiting facts, each with a source and with a time that it keeps.
func (o *Outbox) fix(ctx context.Context, st *Store, source string) ([]waiting, error) {
	// What is dated ahead, by a clock that was wrong, is not a fact yet: it waits.
	batch, err := o.read(ctx, "error = '' AND at <= ? ORDER BY seq LIMIT ?", int64(st.clock.now().Add(maxAhead)), batchSize)
	if err != nil || len(batch) == 0 {
		return nil, err
	}
	now, err := st.notAfter(ctx, time.Now()) // a lift must not pass a ban made after it
	if err != nil {
		return nil, err
	}
	boot, uptime := bootClock()
	local := time.Now().UnixMicro()
	err = o.transact(ctx, func(tx *sql.Tx) error {
		for i := range batch {
			w := &batch[i]
			if w.Source == "" {
				w.Source = source
			}
			if w.At != 0 {
				continue
			}
			age := local - w.made
			if w.boot == boot && boot != "" {
				age = uptime - w.uptime
			}
			stepped := time.Duration(local-w.made-age) * time.Microsecond
			if w.dated && stepped.Abs() < clockSlack {
				w.At = st.dated(Time(w.made)) // as if it had been delivered at once
			} else {
				w.At = max(now-Time(max(age, 0)), min(w.after+1, now.Add(maxAhead)), 1)
			}
			// Another delivery at the same time may have been first: then its time holds.
			query := "UPDATE fact SET at = CASE at WHEN 0 THEN ? ELSE at END WHERE seq = ? RETURNING at"
			err := tx.QueryRowContext(ctx, query, int64(w.At), w.seq).Scan(&w.At)
			if errors.Is(err, sql.ErrNoRows) {
				w.seq = 0 // it has delivered it under its time
			} else if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("write to the outbox: %w", err)
	}
	return slices.DeleteFunc(batch, func(w waiting) bool { return w.seq == 0 }), nil
}

func (o *Outbox) read(ctx context.Context, where string, args ...any) (batch []waiting, err error) {
	query := "SELECT lift, addr, len, source, reason, bantime, forced, at, seq, made, uptime, boot, after, dated FROM fact WHERE " + where
	err = retry(ctx, func(ctx context.Context) error {
		batch = nil
		rows, err := o.db.QueryContext(ctx, query, args...)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var w waiting
			var addr, source, reason []byte
			var bits int
			err := rows.Scan(&w.Lift, &addr, &bits, &source, &reason, &w.Bantime, &w.Forced, &w.At, &w.seq, &w.made, &w.uptime, &w.boot, &w.after, &w.dated)
			if err != nil {
				return err
			}
			if w.Prefix, err = prefixOf(addr, bits); err != nil {
				return err
			}
			w.Source, w.Reason = string(source), string(reason)
			batch = append(batch, w)
		}
		return rows.Err()
	})
	if err != nil {
		err = fmt.Errorf("read the outbox: %w", err)
	}
	return batch, err
}

// Rejected reports whether a write failed because of a fact in it, and would fail again with any store.
func Rejected(err error) bool {
	var m *mysql.MySQLError
	if errors.As(err, &m) {
		switch m.Number {
		case 1369, // CHECK OPTION of a view: another's source, or a time ahead
			1406, 1264, 1366, 1292, 1048, // too long, out of range, wrong value, null
			3819, 4025: // CHECK constraint
			return true
		}
	}
	var bad badFact
	return errors.As(err, &bad)
}
